"""Between our error documents and Temporal's failures. The only place in workflow code that knows both."""

from __future__ import annotations

from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeout

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind


def document_of(error: BaseException, node: str) -> ErrorDocument:
    """Return the error document of a failed activity.

    Args:
        error: What awaiting the activity raised.
        node: Path of the node.
    """
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError):
        return _of_application_error(cause, node)
    if isinstance(cause, TemporalTimeout):
        what = "The attempt" if cause.type is not TimeoutType.HEARTBEAT else "The worker of the attempt"
        return ErrorDocument(
            kind=ErrorKind.SYSTEM,
            code="TimedOut",
            message=f"{what} did not answer in time ({cause.type.name if cause.type else 'unknown'} time-out).",
            node=node,
        )
    if isinstance(cause, FlyteTemporalError):
        return ErrorDocument(
            kind=ErrorKind(cause.fault),
            code=cause.code,
            message=cause.message,
            node=node,
            recoverable=cause.retryable,
        )
    return ErrorDocument(
        kind=ErrorKind.SYSTEM, code="Internal", message=f"{type(cause).__name__}: {cause}"[:4096], node=node
    )


def _of_application_error(cause: ApplicationError, node: str) -> ErrorDocument:
    for detail in cause.details:
        if isinstance(detail, dict) and "kind" in detail and "code" in detail:
            return ErrorDocument.model_validate(detail).model_copy(update={"node": node})
    return ErrorDocument(
        kind=ErrorKind.SYSTEM,
        code=cause.type or "Internal",
        message=cause.message[:4096],
        node=node,
        recoverable=not cause.non_retryable,
    )


def was_cancelled(error: BaseException) -> bool:
    """Return whether an activity ended because we asked it to."""
    cause = error.cause if isinstance(error, ActivityError) else error
    return isinstance(cause, CancelledError)


def failure_of(error: ErrorDocument) -> ApplicationError:
    """Return the failure with which a run ends: message, code as type, the document as detail."""
    where = f"node {error.node}: " if error.node else ""
    return ApplicationError(
        f"{where}{error.message}", error.model_dump(mode="json"), type=error.code, non_retryable=True
    )
