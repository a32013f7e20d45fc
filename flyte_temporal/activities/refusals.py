"""Our own errors as failures of an activity. The only place in activities that knows both."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from flyte_temporal.errors import BadRequest, CorruptBlob, FlyteTemporalError, UnsupportedSpec
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind


def their_failure(error: ErrorDocument, checkpoint: SavedCheckpoint | None = None) -> ApplicationError:
    """Return the failure of an attempt that ended badly; the interpreter decides whether there is another.

    Args:
        error: How it ended.
        checkpoint: The last checkpoint that it saved, if it saved one.
    """
    details = [error.model_dump(mode="json")]
    if checkpoint is not None:
        details.append({"checkpoint": checkpoint.model_dump(mode="json")})
    return ApplicationError(error.message, *details, type=error.code, non_retryable=True)


def our_failure(error: FlyteTemporalError) -> ApplicationError:
    """Return the failure of our side of an activity.

    Temporal retries what may pass by itself. A wrong request never does, and a broken result needs a new attempt.
    """
    document = ErrorDocument(
        kind=ErrorKind(error.fault),
        code=error.code,
        message=error.message[:4096],
        recoverable=error.retryable,
    )
    final = isinstance(error, BadRequest | UnsupportedSpec | CorruptBlob) or not error.retryable
    return ApplicationError(
        error.message, document.model_dump(mode="json"), type=error.code, non_retryable=final
    )
