"""`run --local`: the entity as plain Python in this process; no engine, no records."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.cli.results import error_fields, error_text, print_outputs, run_document
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase

if TYPE_CHECKING:
    from pydantic import JsonValue

    from flyte_temporal.cli.flags import Given
    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.sdk.types.engine import ValueContext
    from flyte_temporal.spec.interface import Interface


def run_plainly(entity: Entity, interface: Interface, given: Given, output: Output) -> int:
    """Run an entity and print its result.

    Args:
        entity: What to run.
        interface: Its inputs and outputs.
        given: What the person gave for the inputs.
        output: Where to print; what the user's code prints goes to stderr (see `output.results_only`).

    Returns:
        The exit code.

    Raises:
        InvalidInputs: If the inputs do not fit; nothing was run.
    """
    from flyte_temporal.sdk.context import drop_if_without_files

    scratch = Path(tempfile.mkdtemp(prefix="flyte-temporal-"))
    try:
        return _run_in(scratch, entity, interface, given, output)
    finally:
        # The files that the run made are kept.
        drop_if_without_files(scratch)


def _run_in(scratch: Path, entity: Entity, interface: Interface, given: Given, output: Output) -> int:
    from flyte_temporal.sdk.plain import run_plain
    from flyte_temporal.sdk.types.engine import ValueContext

    context = ValueContext(blobs=None, scratch=scratch)
    inputs = _python_values(entity, given.values(entity.short_name, interface, context), context)
    id_ = f"local-{secrets.token_hex(4)}"
    try:
        outputs = _plain_values(entity, run_plain(entity, inputs, context.scratch), context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit too
        return _failed(id_, error, output)
    if output.json:
        output.document(run_document(id_, ExecutionPhase.SUCCEEDED, outputs, None))
    else:
        print_outputs(output, outputs)
    return ExitCode.SUCCEEDED


def _failed(id_: str, error: BaseException, output: Output) -> int:
    from flyte_temporal.sdk.failing import failure_of

    failure = failure_of(error)
    others = tuple(_document(other.node, other.error) for other in failure.others)
    document = _document(failure.node, error).model_copy(update={"others": others})
    if output.json:
        output.document(run_document(id_, ExecutionPhase.FAILED, {}, error_fields(document)))
    output.note(error_text(document))
    for note in getattr(error, "__notes__", ()):
        if str(note) not in document.traceback:  # which has them where there are frames to show
            output.note(visible(str(note)))
    return ExitCode.FAILED


def _document(node: str, error: BaseException) -> ErrorDocument:
    from flyte_temporal.sdk.failing import error_message
    from flyte_temporal.sdk.frames import user_traceback

    return ErrorDocument(
        kind=ErrorKind.USER,
        code=error.code if isinstance(error, FlyteTemporalError) else "UserCodeError",
        message=error_message(error),
        node=node,
        traceback=user_traceback(error),
    )


def _python_values(entity: Entity, given: dict[str, JsonValue], context: ValueContext) -> dict[str, Any]:
    from flyte_temporal.sdk.types.engine import default_engine

    parameters = entity.signature.parameters
    return {
        variable.name: default_engine().to_python(
            given[variable.name], variable.type, parameters[variable.name].annotation, context
        )
        for variable in entity.interface.inputs
        if variable.name in given
    }


def _plain_values(entity: Entity, outputs: dict[str, Any], context: ValueContext) -> dict[str, Any]:
    from flyte_temporal.sdk.types.display import show
    from flyte_temporal.sdk.types.engine import default_engine

    annotations = entity.signature.outputs
    return {
        variable.name: show(
            default_engine().to_json(outputs[variable.name], annotations[variable.name], context),
            variable.type,
        )
        for variable in entity.interface.outputs
    }
