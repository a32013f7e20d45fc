"""What authors write about retries and time-outs → the policy of the spec."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flyte_temporal import Backoff, OnOom, RetryPolicy, Timeouts, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.spec import policies as spec


class Flaky(ConnectionError):
    """An error of the tests."""


def policy_of(**options: Any) -> spec.TaskPolicy:
    @task(**options)
    def job() -> None: ...

    return job.policy


def test_a_policy_in_full() -> None:
    found = policy_of(
        retries=RetryPolicy(
            3,
            backoff=Backoff(initial=timedelta(seconds=2), factor=3, max=60, jitter=0.1),
            on=[Flaky, OSError, "lib.Transient"],
            not_on=["TimedOut"],
            on_oom=OnOom(memory_factor=1.5, max="8Gi"),
        )
    ).retries
    assert found == spec.RetryPolicy(
        count=3,
        backoff=spec.Backoff(initial_s=2, factor=3, max_s=60, jitter=0.1),
        on=(f"{__name__}.Flaky", "OSError", "lib.Transient"),
        not_on=("TimedOut",),
        oom_memory_factor=1.5,
        oom_memory_max="8Gi",
    )


def test_a_number_retries_everything() -> None:
    assert policy_of(retries=2).retries == spec.RetryPolicy(count=2)


def test_a_module_may_keep_flytekits_rule(monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "__retry_on__", "recoverable")
    only = ("flyte_temporal.errors.FlyteRecoverableException",)
    assert policy_of(retries=2).retries == spec.RetryPolicy(count=2, on=only)
    assert policy_of(retries=RetryPolicy(2)).retries.on == ()
    assert policy_of(retries=0).retries == spec.RetryPolicy()


def test_times() -> None:
    assert policy_of(timeout=5).timeouts == spec.Timeouts(run_s=5)
    found = policy_of(timeout=Timeouts(run=5, queued=timedelta(minutes=1), total=90)).timeouts
    assert found == spec.Timeouts(run_s=5, queued_s=60, total_s=90)


@task(retries=RetryPolicy(1, backoff=Backoff(initial=9), not_on=[KeyError]))
def careful() -> int:
    return 1


@workflow(deadline=timedelta(minutes=2))
def changed() -> int:
    return careful().with_overrides(retries=5)  # type: ignore[attr-defined, no-any-return]


def test_a_number_in_an_override_changes_the_number_alone() -> None:
    closure = compile_entity(changed)
    node = closure.main().nodes[0]
    assert node.overrides is not None
    assert node.overrides.retries == spec.RetryPolicy(
        count=5, backoff=spec.Backoff(initial_s=9), not_on=("KeyError",)
    )
    assert closure.main().timeout_s == 120
