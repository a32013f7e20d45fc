"""Whether a failed attempt is followed by another. Pure; two budgets that never mix (docs/decisions/0003)."""

from __future__ import annotations

from dataclasses import dataclass

from flyte_temporal.spec.attempt import PLATFORM_STOPPED
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, RunLimits
from flyte_temporal.spec.policies import Backoff, RetryPolicy

SYSTEM_BACKOFF = Backoff(initial_s=1.0, factor=2.0, max_s=60.0)
"""Pause before a system retry, from the second on: a lost process is replaced at once, a sick machine is not hurried."""


@dataclass
class Budget:
    """Failures of a node so far, by whose fault they were."""

    user: int = 0
    system: int = 0


def next_attempt(
    error: ErrorDocument, budget: Budget, policy: RetryPolicy, limits: RunLimits, chance: float
) -> float | None:
    """Count a failure, and say when to try again.

    Args:
        error: The failure.
        budget: Failures so far; updated.
        policy: The task's policy.
        limits: The platform's own budget.
        chance: A number in [0, 1) from the workflow's random generator, for jitter.

    Returns:
        Seconds to wait before the next attempt, or None if there is none.
    """
    if error.code == PLATFORM_STOPPED:
        # The platform was told to stop (`flyte-temporal down`): nobody's failure, however often it happens.
        return 0.0
    if error.kind is ErrorKind.SYSTEM:
        budget.system += 1
        if not error.recoverable or budget.system > limits.system_retries:
            return None
        return 0.0 if budget.system == 1 else pause(SYSTEM_BACKOFF, budget.system - 1, chance)
    budget.user += 1
    if not error.recoverable or budget.user > policy.count or not _listed(error, policy):
        return None
    return pause(policy.backoff, budget.user, chance)


def _listed(error: ErrorDocument, policy: RetryPolicy) -> bool:
    names = {error.exception, error.exception.rpartition(".")[2]}
    if names & set(policy.not_on):
        return False
    return not policy.on or bool(names & set(policy.on))


def pause(backoff: Backoff, failure: int, chance: float) -> float:
    """Return the pause in seconds after the given failure, counted from 1."""
    base = min(backoff.initial_s * backoff.factor ** (failure - 1), backoff.max_s)
    return max(0.0, base * (1 + backoff.jitter * (2 * chance - 1)))
