"""All commands but `run`, declared with typer. Each opens the client, asks it one thing and prints the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flyte_temporal.cli import usage
from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output, output_format
from flyte_temporal.cli.place import Place
from flyte_temporal.errors import BadRequest

app = typer.Typer(
    name="flyte-temporal",
    help="Typed Python DAGs in the style of Flyte, run durably on Temporal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="--version shows the version; --debug, anywhere, shows the traceback of an error.",
)
get = typer.Typer(help="Show executions and their nodes.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(get, name="get")
cache = typer.Typer(
    help="Show and remove remembered outputs of cached tasks.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(cache, name="cache")

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of an execution.", show_default=False)]
Project = Annotated[str | None, typer.Option(metavar="NAME", help="Project, if not the usual one.")]
Domain = Annotated[str | None, typer.Option(metavar="NAME", help="Domain, if not the usual one.")]
Fmt = Annotated[str, typer.Option("--output", "-o", metavar="text|json", help="Format of the result.")]


def invoke(words: Sequence[str], output: Output) -> int:
    """Run the command that the words name.

    Args:
        words: The words after the program's name.
        output: Where it prints.

    Returns:
        The exit code.

    Raises:
        BadRequest: If the words fit no command.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(list(words), prog_name="flyte-temporal", standalone_mode=False, obj=output)
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            # Its message is the help text: no error, but not a command either.
            output.note(error.format_message())
            return ExitCode.BAD_REQUEST
        raise BadRequest(_usage_error(error)) from error
    return int(code or ExitCode.SUCCEEDED)


def _usage_error(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "flyte-temporal"
    said = error.format_message().strip()
    return f"{said or 'No command was given.'} See '{where} --help'."


def _prepare(context: typer.Context, format_: str) -> Output:
    output = context.obj
    if not isinstance(output, Output):
        raise TypeError("commands are run by `invoke`, which gives them an Output")
    output.format = output_format(format_)
    return output


@app.command(help=usage.RUN.partition("\n\n")[2], add_help_option=False)
def run() -> None:
    """Stand in the list of commands; `program` hands `run` to its own module before typer is asked."""


@app.command(help=usage.RECOVER.partition("\n\n")[2], add_help_option=False)
def recover() -> None:
    """Stand in the list of commands, as `run` does."""


@get.command("executions")
def get_executions(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of rows.")] = 20,
    phase: Annotated[list[str] | None, typer.Option(help="Only this phase; may be repeated.")] = None,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """List executions, newest first."""
    from flyte_temporal.cli.queries import executions

    return executions(_prepare(context, output), Place(project, domain), limit, phase or [])


@get.command("execution")
def get_execution(
    context: typer.Context, id_: Id, output: Fmt = "text", project: Project = None, domain: Domain = None
) -> int:
    """Show an execution: phase, outputs, error."""
    from flyte_temporal.cli.queries import execution

    return execution(_prepare(context, output), Place(project, domain), id_)


@get.command("nodes")
def get_nodes(
    context: typer.Context,
    id_: Id,
    below: Annotated[
        str,
        typer.Option(
            metavar="NODE", help="Only this node and what stands below it; also items of large maps."
        ),
    ] = "",
    phase: Annotated[
        list[str] | None,
        typer.Option("--phase", metavar="PHASE", help="Only nodes in this phase; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="With --below or --phase: most nodes listed.")] = 1_000,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many at the beginning.")] = 0,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """List the nodes of an execution; the items of large maps only if they are asked for."""
    from flyte_temporal.cli.queries import Wanted, nodes

    wanted = Wanted(below, phase or (), limit, offset)
    return nodes(_prepare(context, output), Place(project, domain), id_, wanted)


@app.command()
def wait(
    context: typer.Context,
    id_: Id,
    until_paused: Annotated[
        bool, typer.Option("--until-paused", help="Also return, with 0, once it is PAUSED.")
    ] = False,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Follow an execution to its end; ends as 'run' would."""
    from flyte_temporal.cli.queries import wait as wait_

    return wait_(_prepare(context, output), Place(project, domain), id_, until_paused=until_paused)


@app.command()
def logs(
    context: typer.Context,
    id_: Id,
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Only this node.")] = None,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only this attempt of each node.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until it has ended: lines appear as tasks print them.")
    ] = False,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Print what the tasks of an execution printed."""
    from flyte_temporal.cli.queries import logs as logs_

    return logs_(_prepare(context, output), Place(project, domain), id_, (node, attempt), follow_on=follow)


@app.command()
def deck(
    context: typer.Context,
    id_: Id,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Path or name of the node.")],
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Copy the deck here, instead of saying where it is.")
    ] = None,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Say where the deck of a node is: its report in HTML, kept also when it failed."""
    from flyte_temporal.cli.queries import deck as deck_

    return deck_(_prepare(context, output), Place(project, domain), id_, node, save)


@app.command()
def abort(
    context: typer.Context,
    id_: Id,
    reason: Annotated[str, typer.Option(help="Why; shown to everybody who looks at the execution.")] = "",
    node: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Stop only this node, by path or name: it fails, for good."),
    ] = None,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Stop an execution and all that it runs, or one node of it."""
    from flyte_temporal.cli.queries import abort as abort_
    from flyte_temporal.cli.queries import abort_node

    place = Place(project, domain)
    if node is not None:
        return abort_node(_prepare(context, output), place, id_, (node, reason))
    return abort_(_prepare(context, output), place, id_, reason)


Held = Annotated[
    str | None,
    typer.Argument(
        metavar="[NODE]", help="Path or name of a held node, or of one that holds others.", show_default=False
    ),
]


@app.command()
def retry(
    context: typer.Context,
    id_: Id,
    node: Held = None,
    all_: Annotated[bool, typer.Option("--all", help="All held nodes.")] = False,
    with_code: Annotated[
        Path | None, typer.Option("--with-code", metavar="FILE", help="Go on with the code of this file.")
    ] = None,
    only_this: Annotated[
        bool, typer.Option("--only-this", help="Only this node gets the code of --with-code.")
    ] = False,
    memory: Annotated[str, typer.Option(metavar="2Gi", help="Memory of its next attempts.")] = "",
    cpu: Annotated[str, typer.Option(metavar="2", help="CPUs of its next attempts.")] = "",
    gpu: Annotated[str, typer.Option(metavar="1", help="GPUs of its next attempts.")] = "",
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Try a held node once more, with a fresh budget, perhaps with fixed code or more memory."""
    from flyte_temporal.cli.repairs import Retry
    from flyte_temporal.cli.repairs import retry as retry_

    given = {"memory": memory, "cpu": cpu, "gpu": gpu}
    wish = Retry(node, all_, with_code, only_this, {name: value for name, value in given.items() if value})
    return retry_(_prepare(context, output), Place(project, domain), id_, wish)


@app.command()
def skip(
    context: typer.Context,
    id_: Id,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Path or name of the held node.")],
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="NAME=VALUE",
            help="An output of the node, written as for a flag of 'run'; or text|json, the format of the result.",
        ),
    ] = None,
    project: Project = None,
    domain: Domain = None,
) -> int:
    """End a held node with outputs that you give; what comes after it goes on."""
    from flyte_temporal.cli.repairs import outputs_and_format
    from flyte_temporal.cli.repairs import skip as skip_

    outputs, format_ = outputs_and_format(output or [])
    return skip_(_prepare(context, format_), Place(project, domain), id_, node, outputs)


Why = Annotated[str, typer.Option("--reason", help="Why; shown to everybody who looks at the execution.")]


@app.command()
def fail(
    context: typer.Context,
    id_: Id,
    reason: Why = "",
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Give up the held nodes of an execution: they fail, and it ends as if they had not been held."""
    from flyte_temporal.cli.repairs import fail as fail_

    return fail_(_prepare(context, output), Place(project, domain), id_, reason)


@app.command()
def pause(
    context: typer.Context,
    id_: Id,
    reason: Why = "",
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Let nothing new start in an execution; what runs goes on to its end."""
    from flyte_temporal.cli.repairs import pause as pause_

    return pause_(_prepare(context, output), Place(project, domain), id_, reason)


@app.command()
def resume(
    context: typer.Context, id_: Id, output: Fmt = "text", project: Project = None, domain: Domain = None
) -> int:
    """Let a paused execution go on."""
    from flyte_temporal.cli.repairs import resume as resume_

    return resume_(_prepare(context, output), Place(project, domain), id_)


Gate = Annotated[
    str, typer.Argument(metavar="GATE", help="Name of the gate, or the id of its node.", show_default=False)
]


@app.command()
def approve(
    context: typer.Context,
    id_: Id,
    gate: Gate,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Approve what a gate asks for; it may not have been reached yet."""
    from flyte_temporal.cli.gates import approve as approve_

    return approve_(_prepare(context, output), Place(project, domain), id_, gate)


@app.command()
def reject(
    context: typer.Context,
    id_: Id,
    gate: Gate,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Reject what a gate asks to approve: its node fails."""
    from flyte_temporal.cli.gates import reject as reject_

    return reject_(_prepare(context, output), Place(project, domain), id_, gate)


@app.command("set-input", context_settings={"ignore_unknown_options": True})
def set_input(
    context: typer.Context,
    id_: Id,
    gate: Gate,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As for a flag of 'run'.")],
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Give a gate the value that it waits for; it may not have been reached yet."""
    from flyte_temporal.cli.gates import set_input as set_input_

    return set_input_(_prepare(context, output), Place(project, domain), id_, (gate, value))


OfTask = Annotated[
    str, typer.Option("--task", metavar="NAME", help="Only of this task; the end of its name will do.")
]
OfExecution = Annotated[
    str, typer.Option("--execution", metavar="ID", help="Only what this execution computed.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be removed.")]


@cache.command("ls")
def cache_ls(
    context: typer.Context,
    task: OfTask = "",
    execution: OfExecution = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Largest number of rows.")] = 50,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """List remembered outputs, the most recently used first."""
    from flyte_temporal.cli.cache import ls

    return ls(_prepare(context, output), Place(project, domain), task, execution, limit)


@cache.command("rm")
def cache_rm(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="A key; its beginning will do.", show_default=False)
    ] = "",
    task: OfTask = "",
    execution: OfExecution = "",
    dry_run: DryRun = False,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Forget outputs: of a key, of a task, or those that an execution computed."""
    from flyte_temporal.cli.cache import rm

    return rm(_prepare(context, output), Place(project, domain), key, (task, execution), dry_run=dry_run)


@cache.command("gc")
def cache_gc(
    context: typer.Context,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="30d|12h|90m", help="Forget what was not used for so long.")
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size", metavar="10GiB", help="Forget the least recently used beyond this size of outputs."
        ),
    ] = None,
    dry_run: DryRun = False,
    output: Fmt = "text",
    project: Project = None,
    domain: Domain = None,
) -> int:
    """Forget outputs that were not used for long, or are too many."""
    from flyte_temporal.cli.cache import gc

    return gc(_prepare(context, output), Place(project, domain), ttl, max_size, dry_run=dry_run)


@app.command()
def port(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", show_default=False)],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print the differences.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave out notes on behaviour.")] = False,
    output: Fmt = "text",
) -> int:
    """Rewrite flytekit sources (files, folders) in place for this library; docs/porting.md has the table."""
    from flyte_temporal.cli.port.command import PortOptions
    from flyte_temporal.cli.port.command import port as port_

    return port_(_prepare(context, output), paths, PortOptions(check, diff, quiet))


@app.command()
def up(context: typer.Context) -> int:
    """Run the local stack in the foreground, until Ctrl-C."""
    from flyte_temporal.cli.stack import up as up_

    return up_(_prepare(context, "text"))


@app.command()
def down(context: typer.Context) -> int:
    """Stop the local stack; running executions go on when it is started again."""
    from flyte_temporal.cli.stack import down as down_

    return down_(_prepare(context, "text"))


@app.command()
def status(context: typer.Context, output: Fmt = "text") -> int:
    """Show the local stack: whether it runs, and where."""
    from flyte_temporal.cli.stack import status as status_

    return status_(_prepare(context, output))
