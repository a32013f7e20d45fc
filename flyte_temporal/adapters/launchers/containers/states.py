"""States of attempts in containers, as the launcher reports them."""

from __future__ import annotations

from flyte_temporal.adapters.launchers.containers.engine import Container
from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind

NEVER_BEGUN = AttemptState(
    phase=AttemptPhase.EXITED, exit_code=-15, message="It was stopped before it started.", ran=False
)


def running(seen: Container) -> AttemptState:
    """Return the state of an attempt whose container has not ended."""
    return AttemptState(
        phase=AttemptPhase.RUNNING if seen.begun else AttemptPhase.QUEUED,
        pid=seen.pid or None,
        started_at=seen.started_at,
    )


def gone() -> AttemptState:
    """Return the state of an attempt whose container somebody else has removed."""
    return AttemptState(
        phase=AttemptPhase.LOST, message="Its container is gone; somebody else has removed it."
    )


def of_the_user(error: UserCodeError) -> AttemptState:
    """Return the state of an attempt whose container was not made, because of something that its author wrote."""
    document = ErrorDocument(
        kind=ErrorKind.USER, code=error.code, message=error.message[:4096], recoverable=error.retryable
    )
    return AttemptState(phase=AttemptPhase.EXITED, message=document.message, ran=False, error=document)


def unfit(message: str, refusal: str = "CreateContainerConfigError") -> AttemptState:
    """Return the state of an attempt that cannot be run here however often it is tried."""
    return AttemptState(phase=AttemptPhase.EXITED, message=message, ran=False, refusal=refusal)
