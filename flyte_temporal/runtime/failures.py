"""Exceptions → error documents: whose fault, whether another attempt may help, and the user's part of the traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

from flyte_temporal.errors import FlyteTemporalError, StorageError, type_name
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.sdk.frames import user_traceback
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.verdicts import judge, told
from flyte_temporal.storage import scratch

MESSAGE_BYTES = 4 * 1024
TRACEBACK_BYTES = 16 * 1024


def describe(
    error: BaseException, root: Path | None, where: Path, policy: TaskPolicy | None = None
) -> tuple[ErrorDocument, str]:
    """Return the error document of an exception, and the whole traceback.

    Args:
        error: What the task raised, or what went wrong around it.
        root: The unpacked bundle; paths below it are shown without it.
        where: The attempt's place on this machine, which says whether a stop was asked for.
        policy: The task's policy, for its time-out.
    """
    document = _classify(error, where, policy or TaskPolicy())
    users, full = _tracebacks(error, root)
    if root is not None and isinstance(error, FlyteTemporalError):
        # Messages of the compiler, in a dynamic task, begin with the place of the user's call.
        document = document.model_copy(update={"message": document.message.replace(f"{root}/", "")})
        users = users.replace(f"{root}/", "")
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


def _classify(error: BaseException, where: Path, policy: TaskPolicy) -> ErrorDocument:
    if intent := scratch.stop_reason(where):
        # Whatever it raises once it was told to end comes of that: a subprocess was killed, a wait was broken off.
        document = stopped(intent, policy)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            return document
        text = f"{document.message} (Then it raised {type(error).__name__}: {_text(error)})"
        return document.model_copy(update={"message": cut(text, MESSAGE_BYTES)})
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
        exceptions=_lineage(error, cause),
    )


def _lineage(*errors: BaseException) -> tuple[str, ...]:
    """Return the names of the classes of some exceptions, and of all that these are derived from."""
    classes = (cls for error in errors for cls in type(error).__mro__ if cls is not object)
    return tuple(dict.fromkeys(map(type_name, classes)))


def stopped(intent: Intent, policy: TaskPolicy) -> ErrorDocument:
    """Return the document of an attempt that ended because it was told to.

    Args:
        intent: Why, see `scratch.request_stop`.
        policy: The task's policy, for its time-out.
    """
    found = judge(Evidence(intent=intent))
    return found.document(told(found.code, policy.timeouts))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(its message cannot be shown: {type(second).__name__})"


def _tracebacks(error: BaseException, root: Path | None) -> tuple[str, str]:
    try:
        full = "".join(traceback.format_exception(error)).rstrip()
        users = user_traceback(error)
    except Exception as second:  # noqa: BLE001 - a user's __repr__ or __str__ may raise anything
        full = users = f"(the traceback cannot be shown: {type(second).__name__})"
    if root is not None:
        users = users.replace(f'"{root}/', '"')
    return users, full
