"""What follows from a failed attempt: verdict → decision. Pure; two budgets that never mix (docs/decisions/0003, 0041).

Called by `attempts` with each failure; what is decided is also what `get nodes`, Temporal's UI and the node's record show.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyte_temporal.spec.attempt import PLATFORM_STOPPED
from flyte_temporal.spec.execution import ErrorDocument, Verdict
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy
from flyte_temporal.spec.quantities import raised
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.verdicts import KILLED_UNSEEN, OUT_OF_MEMORY, verdict_of

SYSTEM_BACKOFF = Backoff(initial_s=1.0, factor=2.0, max_s=60.0)
"""Pause before a system retry, from the second on: a lost process is replaced at once, a sick machine is not hurried."""
UNSEEN_KILLS = 2
"""Kills of which nobody knows the reason that are charged to the platform; more are likely to be the task's memory."""


@dataclass
class Budget:
    """Failures of a node so far, by whose fault they were, and what its next attempt gets because of them."""

    user: int = 0
    system: int = 0
    unseen: int = 0
    """Those of `system` that nobody saw the reason of."""
    memory: str = ""
    """Memory of the next attempt; empty = as the task says."""


@dataclass(frozen=True)
class Decision:
    """What follows from a failed attempt.

    Args:
        verdict: How the attempt ended.
        wait_s: Seconds before the next attempt; None if there is none.
        why: The reason in words, for people.
    """

    verdict: Verdict
    wait_s: float | None
    why: str

    @property
    def again(self) -> bool:
        """Return whether there is another attempt."""
        return self.wait_s is not None


def decide(
    error: ErrorDocument, budget: Budget, policy: TaskPolicy, limits: RunLimits, chance: float
) -> Decision:
    """Count a failure, and say what follows.

    Args:
        error: The failure.
        budget: Failures so far; updated.
        policy: The task's policy, as the node has it.
        limits: The platform's own budget.
        chance: A number in [0, 1) from the workflow's random generator, for jitter.
    """
    verdict = verdict_of(error)
    if error.code == PLATFORM_STOPPED:
        # The platform was told to stop (`flyte-temporal down`): nobody's failure, however often it happens.
        return Decision(verdict, 0.0, "the platform was stopped: tried again at no cost")
    if verdict in {Verdict.SYSTEM, Verdict.CANCELLED}:
        # An attempt that was stopped, though its node was not, is a failure of the platform.
        return _of_system(error, verdict, budget, limits, chance)
    return _of_user(error, verdict, budget, policy, chance)


def _of_system(
    error: ErrorDocument, verdict: Verdict, budget: Budget, limits: RunLimits, chance: float
) -> Decision:
    budget.system += 1
    budget.unseen += error.code == KILLED_UNSEEN
    most = limits.system_retries
    if not error.recoverable:
        return Decision(verdict, None, "another attempt cannot help")
    if budget.system > most:
        return Decision(verdict, None, f"the platform lost it {budget.system} times, {most} are made good")
    if budget.unseen > UNSEEN_KILLS:
        return Decision(verdict, None, f"it was killed {budget.unseen} times, perhaps for its memory")
    wait = 0.0 if budget.system == 1 else pause(SYSTEM_BACKOFF, budget.system - 1, chance)
    return Decision(verdict, wait, f"platform retry {budget.system} of {most}{_after(wait)}")


def _of_user(
    error: ErrorDocument, verdict: Verdict, budget: Budget, policy: TaskPolicy, chance: float
) -> Decision:
    budget.user += 1
    retries = policy.retries
    if verdict is Verdict.USER_FATAL:
        return Decision(verdict, None, "another attempt cannot help")
    if not listed(error, retries):
        return Decision(verdict, None, f"its retries are not for {error.exception or error.code}")
    if budget.user > retries.count:
        used = (
            f"its budget of {retries.count} for retries is used up" if retries.count else "it has no retries"
        )
        return Decision(verdict, None, used)
    more = _more_memory(error, budget, policy)
    wait = pause(retries.backoff, budget.user, chance)
    return Decision(verdict, wait, f"retry {budget.user} of {retries.count}{more}{_after(wait)}")


def _more_memory(error: ErrorDocument, budget: Budget, policy: TaskPolicy) -> str:
    """Raise the memory of the next attempt after one that ran out of it; return what is said of it."""
    retries, given = policy.retries, policy.resources
    now = budget.memory or given.limits.mem or given.requests.mem
    if error.code != OUT_OF_MEMORY or not retries.oom_memory_factor:
        return ""
    if not now:
        # What an installation gives a task that says nothing is known to its launcher alone, and another one may give more.
        return " with the same memory, because OnOom raises only what the task itself asks for (`mem=`)"
    budget.memory = raised(now, retries.oom_memory_factor, retries.oom_memory_max)
    return f" with {budget.memory} of memory"


def _after(wait_s: float) -> str:
    return f" in {wait_s:.3g} s" if wait_s else ""


def listed(error: ErrorDocument, policy: RetryPolicy) -> bool:
    """Return whether a policy's lists of exceptions allow a retry after a failure.

    An entry is a class or one of its base classes, by its qualified name or its last part, or the code of an error. `on`
    says which exceptions are retried: failures that are no exceptions (a time-out, a process that died) are, as long as
    `not_on` does not name their code.
    """
    qualified = error.exceptions or ((error.exception,) if error.exception else ())
    names = {error.code, *qualified, *(name.rpartition(".")[2] for name in qualified)}
    if names & set(policy.not_on):
        return False
    raised_one = bool(error.exception) and error.code != OUT_OF_MEMORY
    return not policy.on or not raised_one or bool(names & set(policy.on))


def pause(backoff: Backoff, failure: int, chance: float) -> float:
    """Return the pause in seconds after the given failure, counted from 1."""
    try:
        base = min(backoff.initial_s * backoff.factor ** (failure - 1), backoff.max_s)
    except OverflowError:
        # After some hundreds of failures the power is no float any more.
        base = backoff.max_s if backoff.initial_s else 0.0
    return max(0.0, base * (1 + backoff.jitter * (2 * chance - 1)))


def on_spot(budget: Budget, limits: RunLimits, *, interruptible: bool) -> bool:
    """Return whether the next attempt of a node that may be interrupted runs on a machine that can be taken away."""
    return interruptible and budget.system < limits.interruptible_failures
