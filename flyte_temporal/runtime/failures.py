"""Exceptions → error documents: whose fault, whether another attempt may help, and the user's part of the traceback."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import flyte_temporal
from flyte_temporal.errors import FlyteTemporalError, StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.storage import scratch

MESSAGE_BYTES = 4 * 1024
TRACEBACK_BYTES = 16 * 1024

_OURS = f"{Path(flyte_temporal.__file__).resolve().parent}/"
_MACHINERY = ("<frozen importlib", "<frozen runpy")


def describe(error: BaseException, root: Path | None, where: Path) -> tuple[ErrorDocument, str]:
    """Return the error document of an exception, and the whole traceback.

    Args:
        error: What the task raised, or what went wrong around it.
        root: The unpacked bundle; paths below it are shown without it.
        where: The attempt's place on this machine, which says whether a stop was asked for.
    """
    document = _classify(error, where)
    users, full = _tracebacks(error, root)
    return document.model_copy(update={"traceback": cut(users, TRACEBACK_BYTES)}), full


def keep_traceback(document: ErrorDocument, full: str, store: BlobStore, attempt_key: str) -> ErrorDocument:
    """Store the whole traceback beside the manifest if it says more than the document does."""
    if not full or full == document.traceback:
        return document
    key = f"{attempt_key}/traceback.txt"
    try:
        store.put(key, full.encode("utf-8", "backslashreplace"))
    except StorageError:
        # The short one is in the manifest; the attempt must not fail twice.
        return document
    return document.model_copy(update={"full_traceback": key})


def cut(text: str, limit: int) -> str:
    """Return the text, shortened in its middle to at most `limit` bytes of UTF-8, never within a character."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    gap = b"\n... cut here ...\n"
    half = (limit - len(gap)) // 2
    return (data[:half].decode("utf-8", "ignore")) + gap.decode() + data[-half:].decode("utf-8", "ignore")


def _classify(error: BaseException, where: Path) -> ErrorDocument:
    if isinstance(error, SystemExit | KeyboardInterrupt) and scratch.stop_requested(where):
        return stopped()
    code, kind, recoverable = "UserCodeError", ErrorKind.USER, True
    message = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
    cause: BaseException = error
    match error:
        case FlyteTemporalError():
            code, kind, recoverable = error.code, ErrorKind(error.fault), error.retryable
            message = _text(error)
            cause = error.__cause__ or error
        case SystemExit():
            code = "SystemExit"
            message = (
                f"The task called sys.exit({error.code!r}). A task ends by returning its outputs, or fails by "
                "raising an exception."
            )
        case MemoryError():
            code = "OutOfMemory"
        case _:
            pass
    return ErrorDocument(
        kind=kind,
        code=code,
        message=cut(message, MESSAGE_BYTES),
        recoverable=recoverable,
        exception=type(cause).__name__,
    )


def stopped() -> ErrorDocument:
    """Return the document of an attempt that ended because it was told to."""
    return ErrorDocument(
        kind=ErrorKind.SYSTEM, code="Stopped", message="The attempt was stopped on request.", recoverable=True
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(its message cannot be shown: {type(second).__name__})"


def _tracebacks(error: BaseException, root: Path | None) -> tuple[str, str]:
    try:
        whole = traceback.TracebackException.from_exception(error)
        full = "".join(whole.format())
        _drop_our_frames(whole, set())
        users = "".join(whole.format())
    except Exception as second:  # noqa: BLE001 - a user's __repr__ or __str__ may raise anything
        full = users = f"(the traceback cannot be shown: {type(second).__name__})"
    if root is not None:
        users = users.replace(f'"{root}/', '"')
    return users, full


def _drop_our_frames(shown: traceback.TracebackException, seen: set[int]) -> None:
    if id(shown) in seen:
        return
    seen.add(id(shown))
    shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if not _is_ours(f.filename)])
    related = [shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or [])]
    for other in related:
        if other is not None:
            _drop_our_frames(other, seen)


def _is_ours(filename: str) -> bool:
    return (
        filename.startswith((_OURS, *_MACHINERY)) or re.search(r"[/\\]importlib[/\\]", filename) is not None
    )
