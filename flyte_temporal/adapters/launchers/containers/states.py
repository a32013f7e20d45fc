"""States of attempts in containers, as the launcher reports them."""

from __future__ import annotations

from flyte_temporal.adapters.launchers.containers.engine import Container
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState


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


def unfit(message: str, refusal: str = "CreateContainerConfigError") -> AttemptState:
    """Return the state of an attempt that cannot be run here however often it is tried."""
    return AttemptState(phase=AttemptPhase.EXITED, message=message, ran=False, refusal=refusal)
