"""`flyte-temporal run`: compile what a file says, check the inputs, start it and follow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.cli import usage
from flyte_temporal.cli.compiled import Compiled
from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.flags import Given, InputFlags
from flyte_temporal.cli.help_page import show_help
from flyte_temporal.cli.inputs_file import read_inputs, read_object
from flyte_temporal.cli.output import Output, output_format
from flyte_temporal.cli.words import RunCommand, RunOptions, read_run
from flyte_temporal.errors import BadRequest

if TYPE_CHECKING:
    from flyte_temporal.sdk.entity import Entity


def run_command(arguments: Sequence[str], output: Output) -> int:
    """Run the command.

    Args:
        arguments: The words after `run`.
        output: Where it prints.

    Returns:
        The exit code.

    Raises:
        BadRequest: If anything about the file, the entity or the inputs is wrong; nothing was started then.
        PlatformError: If the platform cannot be reached.
    """
    command = read_run(arguments)
    _settle(command.options, output)
    if command.file is None:
        output.result(usage.RUN)
        if not command.options.has("--help"):
            raise BadRequest(
                "run needs a FILE and an ENTITY, for example: flyte-temporal run hello.py hello."
            )
        return ExitCode.SUCCEEDED
    return _of_file(command, command.file, output)


def _settle(options: RunOptions, output: Output) -> None:
    output.format = output_format(options.get("--output") or "text")


def _of_file(command: RunCommand, file: Path, output: Output) -> int:
    from flyte_temporal.sdk.loader import entities_in, find_entity, load_file

    module = load_file(file)
    if command.entity is None:
        return _list(file, entities_in(module), output)
    from flyte_temporal.compiler import compile_entity

    entity = find_entity(module, command.entity)
    closure = compile_entity(entity, plain=command.options.has("--local"))
    compiled = Compiled(file, command.entity, entity, closure)
    given = _given(compiled, command)
    _settle(command.options, output)
    if command.options.has("--help"):
        show_help(usage.entity_page(file, command.entity, compiled.closure.entity()), output)
        return ExitCode.SUCCEEDED
    return _start(compiled, given, command.options, output)


def _list(file: Path, entities: dict[str, Entity], output: Output) -> int:
    if output.json:
        output.document({"entities": [usage.entity_document(n, e) for n, e in entities.items()]})
    else:
        show_help(usage.file_page(file, entities), output)
    return ExitCode.SUCCEEDED


def _start(compiled: Compiled, given: Given, options: RunOptions, output: Output) -> int:
    if options.has("--local"):
        _refuse_with_local(options)
        from flyte_temporal.cli.plain_run import run_plainly
        from flyte_temporal.sdk.answers import gate_answers

        file = options.get("--answers")
        with gate_answers(read_object("--answers", file, "answers") if file is not None else {}):
            return run_plainly(compiled.entity, compiled.closure.interface, given, output)
    if options.get("--answers") is not None:
        raise BadRequest(
            "--answers is for --local. A durable execution is answered by flyte-temporal approve, reject and set-input."
        )
    check_options(options)
    from flyte_temporal.cli.durable_run import run_durably

    return run_durably(compiled, given, options, output)


def _refuse_with_local(options: RunOptions) -> None:
    for option in ("--name", "--launcher", "--image", "--deadline"):
        if options.get(option) is not None:
            raise BadRequest(f"{option} is for durable executions; leave it out, or leave out --local.")
    for switch in ("--detach", "--overwrite-cache", "--no-cache", "--pause-on-failure"):
        if options.has(switch):
            raise BadRequest(f"{switch} is for durable executions; leave it out, or leave out --local.")


def check_options(options: RunOptions) -> None:
    """Refuse names that could not be stored or found, and what contradicts itself, before anything is started."""
    from flyte_temporal.client.checks import check_caching, check_launcher
    from flyte_temporal.spec.identifiers import execution_id, project_name

    both = ("--overwrite-cache", "--no-cache")
    check_caching(both, overwrite=options.has(both[0]), no_cache=options.has(both[1]))
    for option, check in (("--name", execution_id), ("--project", project_name), ("--domain", project_name)):
        if (given := options.get(option)) is not None:
            check(given)
    if (launcher := options.get("--launcher")) is not None:
        check_launcher(launcher, "--launcher")


def _given(compiled: Compiled, command: RunCommand) -> Given:
    """Read the words after ENTITY and the file of inputs; flags win over the file."""
    interface, fixed = compiled.closure.interface, compiled.entity.fixed_inputs
    given = InputFlags(compiled.name, interface, fixed).read(command.rest, command.options)
    file = command.options.get("--inputs")
    if file is not None and not command.options.has("--help"):
        try:
            given.merge(read_inputs(file, compiled.name, interface, fixed))
        except BadRequest as error:
            given.faults.append(error.message)
            # What the file would have given is not missing as well.
            given.named |= {variable.name for variable in interface.inputs}
    return given
