"""Between our error documents and Temporal's failures. The only place in workflow code that knows both."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    TerminatedError,
    TimeoutType,
)
from temporalio.exceptions import TimeoutError as TemporalTimeout

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.verdicts import NODE_ABORTED

OTHERS = 50
"""Further failures kept in an error document; all are in the records of their nodes."""


def document_of(error: BaseException, node: str) -> ErrorDocument:
    """Return the error document of a failed activity or child, or of an error of ours.

    Args:
        error: What awaiting it raised.
        node: Path of the node.
    """
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ChildWorkflowError):
        return _of_child(cause, node)
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


def checkpoint_of(error: BaseException) -> SavedCheckpoint | None:
    """Return the last checkpoint that a failed attempt saved, if it saved one."""
    cause = error.cause if isinstance(error, ActivityError) else error
    for detail in cause.details if isinstance(cause, ApplicationError) else ():
        if isinstance(detail, dict) and set(detail) == {"checkpoint"}:
            return SavedCheckpoint.model_validate(detail["checkpoint"])
    return None


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


def _of_child(error: ChildWorkflowError, node: str) -> ErrorDocument:
    cause, name = error.cause, error.workflow_id
    if isinstance(cause, CancelledError | TerminatedError):
        return of_child(name, None, node)
    found = document_of(cause, node) if isinstance(cause, FailureError) else document_of(error, node)
    return of_child(name, found, node)


def of_child(name: str, error: ErrorDocument | None, node: str) -> ErrorDocument:
    """Return the error of a node whose execution failed.

    Args:
        name: The execution that it started.
        error: How that failed; None if it was aborted.
        node: Path of the node.
    """
    if error is None:
        return ErrorDocument(
            kind=ErrorKind.USER,
            code="ChildAborted",
            message=f"The execution {name}, which the node started, was aborted.",
            node=node,
            recoverable=False,
        )
    message = f"The execution {name} failed: {error.message}"[:4096]
    return error.model_copy(update={"message": message, "node": node})


def shard_document_of(error: BaseException, node: str) -> ErrorDocument:
    """Return the error document of a map whose shard has failed: that of the first failed item, with its own path.

    Args:
        error: What awaiting the shard raised.
        node: Path of the map.
    """
    cause = error.cause if isinstance(error, ChildWorkflowError) else error
    if isinstance(cause, ApplicationError):
        for detail in cause.details:
            if isinstance(detail, dict) and "kind" in detail and "code" in detail:
                return ErrorDocument.model_validate(detail)
    if isinstance(cause, CancelledError | TerminatedError):
        how = "cancelled" if isinstance(cause, CancelledError) else "terminated"
        return shard_aborted(f"{_shard_of(error)} was {how} in Temporal.", node)
    found = document_of(cause if isinstance(cause, FailureError) else error, node)
    return found.model_copy(update={"message": f"{_shard_of(error)} failed: {found.message}"[:4096]})


def shard_aborted(message: str, node: str) -> ErrorDocument:
    """Return the error document of a map of which somebody has ended a shard from outside."""
    return ErrorDocument(
        kind=ErrorKind.USER, code="ShardAborted", message=message, node=node, recoverable=False
    )


def _shard_of(error: BaseException) -> str:
    return f"The shard {error.workflow_id}" if isinstance(error, ChildWorkflowError) else "A shard"


def split(error: ErrorDocument) -> list[ErrorDocument]:
    """Return an error document and those that it holds, each on its own."""
    return [error.model_copy(update={"others": ()}), *error.others] if error.others else [error]


def gathered(errors: Sequence[ErrorDocument]) -> ErrorDocument:
    """Return the first of several errors, which holds the others in a short form; there is at least one."""
    first, *others = errors
    if not others:
        return first
    short = tuple(
        each.model_copy(update={"traceback": "", "message": each.message[:500]}) for each in others[:OTHERS]
    )
    return first.model_copy(update={"others": short})


def ended_outside(node: str) -> ErrorDocument:
    """Return the error document of a node whose work was ended by nobody whom the run knows, and left no error."""
    return ErrorDocument(
        kind=ErrorKind.USER,
        code=NODE_ABORTED,
        message="What ran for it was ended from outside of the execution, and said nothing.",
        node=node,
        recoverable=False,
    )


def was_cancelled(error: BaseException) -> bool:
    """Return whether an activity or a child ended because we asked it to."""
    cause = error.cause if isinstance(error, ActivityError | ChildWorkflowError) else error
    return isinstance(cause, CancelledError)


def says_itself(error: BaseException) -> bool:
    """Return whether an attempt's own activity told how the attempt ended; if not, the attempt may still be at work.

    What Temporal would have retried tells of our own side only: once a cancel was asked for, it retries nothing.
    """
    cause = error.cause if isinstance(error, ActivityError) else None
    return isinstance(cause, ApplicationError) and cause.non_retryable


def refusal_of(error: FlyteTemporalError) -> ApplicationError:
    """Return the failure with which a message to a run is refused."""
    return ApplicationError(error.message, type=error.code, non_retryable=True)


def failure_of(error: ErrorDocument) -> ApplicationError:
    """Return the failure with which a run ends: message, code as type, the document as detail."""
    where = f"node {error.node}: " if error.node else ""
    return ApplicationError(
        f"{where}{error.message}", error.model_dump(mode="json"), type=error.code, non_retryable=True
    )
