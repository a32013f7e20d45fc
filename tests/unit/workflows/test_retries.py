"""The two budgets."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.attempt import PLATFORM_STOPPED
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, RunLimits
from flyte_temporal.spec.policies import Backoff, RetryPolicy
from flyte_temporal.workflows.retries import Budget, next_attempt, pause

USER = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="m", exception="mod.ValueError")
SYSTEM = ErrorDocument(kind=ErrorKind.SYSTEM, code="AttemptLost", message="m")
STOPPED = SYSTEM.model_copy(update={"code": PLATFORM_STOPPED})
LIMITS = RunLimits(system_retries=2)


def ask(errors: list[ErrorDocument], policy: RetryPolicy) -> list[float | None]:
    budget = Budget()
    return [next_attempt(error, budget, policy, LIMITS, 0.5) for error in errors]


@pytest.mark.parametrize(
    ("errors", "policy", "pauses"),
    [
        ([USER], RetryPolicy(), [None]),
        ([USER, USER, USER], RetryPolicy(count=2), [0.0, 0.0, None]),
        ([SYSTEM, SYSTEM, SYSTEM], RetryPolicy(), [0.0, 1.0, None]),
        ([SYSTEM, USER, SYSTEM, USER], RetryPolicy(count=1), [0.0, 0.0, 1.0, None]),
        ([STOPPED, STOPPED, STOPPED, STOPPED, USER], RetryPolicy(), [0.0, 0.0, 0.0, 0.0, None]),
        ([USER.model_copy(update={"recoverable": False})], RetryPolicy(count=5), [None]),
        ([SYSTEM.model_copy(update={"recoverable": False})], RetryPolicy(count=5), [None]),
        ([USER], RetryPolicy(count=1, on=("ValueError",)), [0.0]),
        ([USER], RetryPolicy(count=1, on=("mod.ValueError",)), [0.0]),
        ([USER], RetryPolicy(count=1, on=("KeyError",)), [None]),
        ([USER], RetryPolicy(count=1, not_on=("ValueError",)), [None]),
    ],
)
def test_budgets(errors: list[ErrorDocument], policy: RetryPolicy, pauses: list[float | None]) -> None:
    assert ask(errors, policy) == pauses


def test_the_pause_grows_to_its_maximum_and_varies() -> None:
    backoff = Backoff(initial_s=1, factor=3, max_s=20, jitter=0.5)
    assert [pause(backoff, n, 0.5) for n in (1, 2, 3, 4)] == [1, 3, 9, 20]
    assert (pause(backoff, 1, 0.0), pause(backoff, 1, 1.0)) == (0.5, 1.5)
