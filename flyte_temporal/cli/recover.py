"""`flyte-temporal recover`: read what is to be otherwise, say what will be copied and run, start it and follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_temporal.cli import usage
from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.flags import Given, InputFlags
from flyte_temporal.cli.follow import follow
from flyte_temporal.cli.help_page import show_help
from flyte_temporal.cli.images import given_images
from flyte_temporal.cli.inputs_file import read_inputs
from flyte_temporal.cli.output import Output, output_format
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.recovery_plan import plan_document, plan_lines
from flyte_temporal.cli.results import record_document, run_document
from flyte_temporal.cli.run import check_options
from flyte_temporal.cli.session import open_client
from flyte_temporal.cli.words import RecoverCommand, read_recover
from flyte_temporal.errors import BadRequest

if TYPE_CHECKING:
    from flyte_temporal.client import Client, RecoverySubmission
    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.spec.interface import Interface


def recover_command(arguments: Sequence[str], output: Output) -> int:
    """Run the command.

    Args:
        arguments: The words after `recover`.
        output: Where it prints.

    Returns:
        The exit code.

    Raises:
        BadRequest: If anything about the execution, the file, a node or the inputs is wrong; nothing was started then.
        PlatformError: If the platform cannot be reached.
    """
    command = read_recover(arguments)
    if command.id is None or command.options.has("--help"):
        output.result(usage.RECOVER)
        if not command.options.has("--help"):
            raise BadRequest(
                "recover needs the ID of an execution; 'flyte-temporal get executions' lists them."
            )
        return ExitCode.SUCCEEDED
    _settle(command, output)
    return _of_execution(command, command.id, output)


def _settle(command: RecoverCommand, output: Output) -> None:
    output.format = output_format(command.options.get("--output") or "text")


def _of_execution(command: RecoverCommand, id_: str, output: Output) -> int:
    # Project and domain lead to the execution, wherever they stand; what is wrong with the other words is told later.
    place = Place(
        command.options.get("--project") or command.rest.after("--project"),
        command.options.get("--domain") or command.rest.after("--domain"),
    )
    with open_client(output, place) as client:
        execution = client.execution(id_)
        root, interface = execution.record().request.root.name, execution.interface
        file = command.file([v.name for v in interface.inputs])
        entity = None if file is None else _entity(file, root)
        given, interface = _given(command, root, entity, interface)
        _settle(command, output)
        if command.options.has("--help"):
            show_help(usage.recover_page(id_, root, interface), output)
            return ExitCode.SUCCEEDED
        check_options(command.options)
        submission = _submission(command, id_, file, entity)
        read = given.values(root, interface, client.values())
        from flyte_temporal.cli.literals import literals

        inputs = literals(read, interface, entity, client.values())
        return _start(client, replace(submission, inputs=inputs), command, output, place)


def _entity(file: Path, root: str) -> Entity:
    """Return the entity of a file that an execution ran, in whatever module it was then.

    Raises:
        NotFound: If the file has none of that name.
        CompileError: If the file cannot be imported.
    """
    from flyte_temporal.sdk.loader import find_moved, load_file

    return find_moved(load_file(file), root)


def _given(
    command: RecoverCommand, root: str, entity: Entity | None, before: Interface
) -> tuple[Given, Interface]:
    interface = before if entity is None else entity.interface
    fixed = () if entity is None else entity.fixed_inputs
    given = InputFlags(root, interface, fixed).read(command.rest, command.options)
    file = command.options.get("--inputs")
    if file is not None and not command.options.has("--help"):
        given.merge(read_inputs(file, root, interface, fixed))
    # What is not given is as it was; what is new, and has no default, the stack asks for.
    given.named |= {variable.name for variable in interface.inputs}
    return given, interface


def _submission(
    command: RecoverCommand, id_: str, file: Path | None, entity: Entity | None
) -> RecoverySubmission:
    from flyte_temporal.client import RecoverySubmission

    options, images = command.options, given_images(command.options)
    plain = RecoverySubmission(
        source=id_,
        execution_id=options.get("--name"),
        launcher=options.get("--launcher") or "",
        image=images.get("", ""),
        images={name: uri for name, uri in images.items() if name},
        trust_code=options.has("--trust-code"),
        overwrite_cache=options.has("--overwrite-cache"),
        no_cache=options.has("--no-cache"),
        rerun=tuple(options.all.get("--from", ())),
    )
    if file is None or entity is None:
        return plain
    from flyte_temporal.compiler import compile_entity
    from flyte_temporal.sdk.loader import source_root

    return replace(plain, closure=compile_entity(entity), source_root=source_root(file))


def _start(
    client: Client, submission: RecoverySubmission, command: RecoverCommand, output: Output, place: Place
) -> int:
    plan = client.preview_recovery(submission)
    for line in plan_lines(plan):
        output.note(line)
    more: dict[str, Any] = {"plan": plan_document(plan)}
    if command.options.has("--dry-run"):
        if output.json:
            output.document({**run_document(None, None, {}, None), **more})
        return ExitCode.SUCCEEDED
    execution = client.submit_recovery(submission)
    if command.options.has("--detach"):
        if output.json:
            output.document({**record_document(execution.record(), {}), **more})
        else:
            output.result(execution.id)
        return ExitCode.SUCCEEDED
    began = f"Execution {execution.id} recovers {submission.source}. Temporal UI: {execution.ui_url}"
    return follow(execution, output, place.words, more, began=began)
