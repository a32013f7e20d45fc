"""How a container without our runtime ended: its outputs, the file `_ERROR`, or its exit code, as a manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flyte_temporal._version import __version__
from flyte_temporal.errors import UserCodeError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.runtime import failures
from flyte_temporal.runtime.io.outputs import read_outputs
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.spec.attempt import AttemptOrder, Intent, Manifest
from flyte_temporal.spec.basis import basis_of_task
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.quantities import amount
from flyte_temporal.spec.verdicts import OUT_OF_MEMORY, judge
from flyte_temporal.storage import orders
from flyte_temporal.storage.logs import AttemptLog

ERROR_FILE = "_ERROR"
"""File by which a command tells of its failure, as in Flyte."""
_MOST_BYTES = 1024**2


@dataclass(frozen=True)
class Left:
    """What is known of a container that has ended.

    Args:
        folder: In which it left its outputs.
        exit_code: Its exit code; None if nobody here can know.
        oom: Whether the engine says that it ran out of memory.
        log: What it wrote; None if somebody else has it.
        started_at: When it was started.
    """

    folder: Path
    exit_code: int | None = None
    oom: bool = False
    log: Path | None = None
    started_at: datetime | None = None


def manifest_of(order: AttemptOrder, left: Left, store: BlobStore, context: ValueContext) -> Manifest:
    """Return the manifest of a container; outputs and log are stored.

    Args:
        order: What it ran.
        left: How it ended.
        store: The blob store.
        context: Has the store.

    Raises:
        StorageError: If something could not be stored.
    """
    log = AttemptLog(left.log, order.attempt.key) if left.log is not None else None
    outputs: dict[str, LiteralValue] | None = None
    told = _told(left.folder / ERROR_FILE)
    error = told or _error(order, left, orders.stop_reason(store, order.attempt), log.tail() if log else "")
    if error is None:
        try:
            container = order.task.container
            kept = container is None or container.upload != "none"
            outputs = read_outputs(order.task.interface, left.folder, context) if kept else {}
        except UserCodeError as wrong:
            error = ErrorDocument(
                kind=ErrorKind.USER, code=wrong.code, message=str(wrong)[:4096], recoverable=wrong.retryable
            )
    now = datetime.now(UTC)
    return Manifest(
        attempt=order.attempt,
        outputs=outputs,
        error=error,
        started_at=left.started_at or now,
        finished_at=now,
        log_chunks=log.ship(store) if log else 0,
        runtime_version=__version__,
        basis=basis_of_task(order.task, order.inputs) if error is None else None,
        told=told is not None,
    )


def _error(order: AttemptOrder, left: Left, stopped: Intent, tail: str) -> ErrorDocument | None:
    if not left.exit_code and not left.oom:
        return None
    if stopped:
        return failures.stopped(stopped, order.task.policy)
    limit = order.task.policy.resources.limits.mem
    found = judge(Evidence(exit_code=left.exit_code, oom=left.oom, limit_bytes=int(amount(limit) or 0)))
    message = f"The command ended with exit code {left.exit_code}."
    if found.code == OUT_OF_MEMORY:
        message = (
            f"The command used more memory than its limit{f' of {limit}' if limit else ''}, and was killed."
        )
    if tail:
        message = f"{message}\nLast lines of its log:\n{tail}"
    return found.document(failures.cut(message, failures.MESSAGE_BYTES))


def _told(file: Path) -> ErrorDocument | None:
    """Return what the command says of its failure: text, or JSON with `message`, `code` and `recoverable`."""
    if file.is_symlink() or not file.is_file():
        return None
    with file.open("rb") as opened:
        text = opened.read(_MOST_BYTES).decode(errors="replace").strip()
    code, recoverable = "UserCodeError", True
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        text = said["message"]
        code = said["code"] if isinstance(said.get("code"), str) and said["code"].isidentifier() else code
        recoverable = said.get("recoverable") is not False and said.get("kind") != "NON_RECOVERABLE"
    message = text or f"The command left the file {ERROR_FILE}, which is empty."
    return ErrorDocument(
        kind=ErrorKind.USER,
        code=code,
        message=failures.cut(message, failures.MESSAGE_BYTES),
        recoverable=recoverable,
    )
