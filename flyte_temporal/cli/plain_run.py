"""`run --local`: the entity as plain Python in this process; no engine, no records."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.results import error_fields, error_text, print_outputs, run_document
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase

if TYPE_CHECKING:
    from flyte_temporal.cli.flags import Given
    from flyte_temporal.sdk.entity import Entity
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
    from flyte_temporal.sdk.plain import run_plain
    from flyte_temporal.sdk.types.engine import ValueContext

    # Kept after the run: it holds the files that the run made.
    context = ValueContext(blobs=None, scratch=Path(tempfile.mkdtemp(prefix="flyte-temporal-")))
    inputs = given.values(entity.short_name, interface, context)
    id_ = f"local-{secrets.token_hex(4)}"
    try:
        literals = run_plain(entity, inputs, context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit too
        return _failed(id_, error, output)
    outputs = _shown(literals, interface)
    if output.json:
        output.document(run_document(id_, ExecutionPhase.SUCCEEDED, outputs, None))
    else:
        print_outputs(output, outputs)
    return ExitCode.SUCCEEDED


def _failed(id_: str, error: BaseException, output: Output) -> int:
    from flyte_temporal.sdk.loader import user_traceback

    document = ErrorDocument(
        kind=ErrorKind.USER,
        code=error.code if isinstance(error, FlyteTemporalError) else "UserCodeError",
        message=error.message
        if isinstance(error, FlyteTemporalError)
        else f"{type(error).__name__}: {error}",
        traceback=user_traceback(error),
    )
    if output.json:
        output.document(run_document(id_, ExecutionPhase.FAILED, {}, error_fields(document)))
    output.note(error_text(document))
    return ExitCode.FAILED


def _shown(literals: dict[str, Any], interface: Interface) -> dict[str, Any]:
    from flyte_temporal.sdk.types.display import show

    return {v.name: show(literals[v.name], v.type) for v in interface.outputs}
