"""Verdict → decision: the two budgets, lists of exceptions, memory, machines that can be taken away."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.attempt import PLATFORM_STOPPED
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, Verdict
from flyte_temporal.spec.policies import Backoff, Resources, ResourceValues, RetryPolicy, TaskPolicy
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.workflows.retries import Budget, Decision, decide, listed, on_spot, pause

LINEAGE = ("mod.Flaky", "mod.Base", "OSError", "Exception", "BaseException")
USER = ErrorDocument(
    kind=ErrorKind.USER, code="UserCodeError", message="m", exception="Flaky", exceptions=LINEAGE
)
SYSTEM = ErrorDocument(kind=ErrorKind.SYSTEM, code="AttemptLost", message="m")
STOPPED = SYSTEM.model_copy(update={"code": PLATFORM_STOPPED})
UNASKED = SYSTEM.model_copy(update={"code": "Stopped"})
UNSEEN = SYSTEM.model_copy(update={"code": "KilledUnseen"})
LATE = ErrorDocument(kind=ErrorKind.USER, code="TimedOut", message="m")
OOM = ErrorDocument(kind=ErrorKind.USER, code="OutOfMemory", message="m")
LIMITS = RunLimits(system_retries=2)


def ask(errors: list[ErrorDocument], policy: RetryPolicy, limits: RunLimits = LIMITS) -> list[Decision]:
    budget, task = Budget(), TaskPolicy(retries=policy)
    return [decide(error, budget, task, limits, 0.5) for error in errors]


@pytest.mark.parametrize(
    ("errors", "policy", "pauses"),
    [
        ([USER], RetryPolicy(), [None]),
        ([USER, USER, USER], RetryPolicy(count=2), [0.0, 0.0, None]),
        ([SYSTEM, SYSTEM, SYSTEM], RetryPolicy(), [0.0, 1.0, None]),
        ([SYSTEM, USER, SYSTEM, USER], RetryPolicy(count=1), [0.0, 0.0, 1.0, None]),
        ([STOPPED, STOPPED, STOPPED, STOPPED, USER], RetryPolicy(), [0.0, 0.0, 0.0, 0.0, None]),
        ([UNASKED, UNASKED, UNASKED], RetryPolicy(), [0.0, 1.0, None]),
        ([LATE, USER, LATE], RetryPolicy(count=2), [0.0, 0.0, None]),
        ([OOM, SYSTEM, OOM], RetryPolicy(count=1), [0.0, 0.0, None]),
        ([USER.model_copy(update={"recoverable": False})], RetryPolicy(count=5), [None]),
        ([SYSTEM.model_copy(update={"recoverable": False})], RetryPolicy(count=5), [None]),
        ([USER], RetryPolicy(count=1, on=("KeyError",)), [None]),
    ],
)
def test_budgets(errors: list[ErrorDocument], policy: RetryPolicy, pauses: list[float | None]) -> None:
    assert [decision.wait_s for decision in ask(errors, policy)] == pauses


def test_a_kill_that_may_be_hidden_memory_has_a_smaller_budget() -> None:
    found = ask([UNSEEN, UNSEEN, UNSEEN], RetryPolicy(), RunLimits(system_retries=9))
    assert [decision.again for decision in found] == [True, True, False]
    assert "perhaps for its memory" in found[-1].why


@pytest.mark.parametrize(
    ("error", "policy", "again"),
    [
        (USER, RetryPolicy(on=("mod.Flaky",)), True),
        (USER, RetryPolicy(on=("Flaky",)), True),
        (USER, RetryPolicy(on=("mod.Base",)), True),
        (USER, RetryPolicy(on=("OSError",)), True),
        (USER, RetryPolicy(on=("other.Flaky",)), False),
        (USER, RetryPolicy(on=("ValueError",)), False),
        (USER, RetryPolicy(not_on=("mod.Base",)), False),
        (USER, RetryPolicy(on=("OSError",), not_on=("mod.Flaky",)), False),
        (USER.model_copy(update={"exceptions": ()}), RetryPolicy(on=("Flaky",)), True),
        (LATE, RetryPolicy(on=("OSError",)), True),
        (LATE, RetryPolicy(not_on=("TimedOut",)), False),
        (OOM.model_copy(update={"exception": "MemoryError"}), RetryPolicy(on=("OSError",)), True),
    ],
)
def test_lists_of_exceptions(error: ErrorDocument, policy: RetryPolicy, again: bool) -> None:
    assert listed(error, policy) is again


def test_memory_grows_after_each_attempt_that_ran_out_of_it() -> None:
    policy = TaskPolicy(
        retries=RetryPolicy(count=3, oom_memory_factor=2, oom_memory_max="3Gi"),
        resources=Resources(limits=ResourceValues(mem="1Gi")),
    )
    budget, seen = Budget(), []
    for error in (OOM, USER, OOM):
        decision = decide(error, budget, policy, LIMITS, 0.5)
        seen.append((decision.again, budget.memory))
    assert seen == [(True, "2048Mi"), (True, "2048Mi"), (True, "3Gi")]
    assert decision.why == "retry 3 of 3 with 3Gi of memory"


def test_memory_that_a_task_does_not_name_is_not_raised_and_the_retry_says_so() -> None:
    budget = Budget()
    policy = TaskPolicy(retries=RetryPolicy(count=1, oom_memory_factor=2))
    decision = decide(OOM, budget, policy, LIMITS, 0.5)
    assert (decision.again, budget.memory) == (True, "")
    assert decision.why.startswith("retry 1 of 1 with the same memory, because OnOom raises only")


def test_a_task_leaves_machines_that_are_taken_away() -> None:
    limits = RunLimits(system_retries=5, interruptible_failures=2)
    budget, chosen = Budget(), []
    for _ in range(4):
        chosen.append(on_spot(budget, limits, interruptible=True))
        decide(SYSTEM, budget, TaskPolicy(), limits, 0.5)
    assert chosen == [True, True, False, False]
    assert not on_spot(Budget(), limits, interruptible=False)


def test_a_decision_says_why() -> None:
    policy = RetryPolicy(count=1, backoff=Backoff(initial_s=2), not_on=("KeyError",))
    found = ask([USER, USER], policy)
    assert [(d.verdict, d.why) for d in found] == [
        (Verdict.USER, "retry 1 of 1 in 2 s"),
        (Verdict.USER, "its budget of 1 for retries is used up"),
    ]
    assert ask([USER], RetryPolicy(count=1, on=("KeyError",)))[0].why == "its retries are not for Flaky"
    assert ask([SYSTEM], RetryPolicy())[0].why == "platform retry 1 of 2"


def test_the_pause_grows_to_its_maximum_and_varies() -> None:
    backoff = Backoff(initial_s=1, factor=3, max_s=20, jitter=0.5)
    assert [pause(backoff, n, 0.5) for n in (1, 2, 3, 4)] == [1, 3, 9, 20]
    assert (pause(backoff, 1, 0.0), pause(backoff, 1, 1.0)) == (0.5, 1.5)


@pytest.mark.parametrize(("initial_s", "longest"), [(1.0, 20.0), (0.0, 0.0)])
def test_the_pause_stays_at_its_maximum_however_often_it_failed(initial_s: float, longest: float) -> None:
    backoff = Backoff(initial_s=initial_s, factor=10, max_s=20)
    assert [pause(backoff, n, 0.5) for n in (309, 310, 1_025, 100_000)] == [longest] * 4
    often = Budget(user=1_999)
    assert decide(USER, often, TaskPolicy(retries=RetryPolicy(count=2_000)), LIMITS, 0.5).wait_s == 0
