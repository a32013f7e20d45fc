"""Options of tasks as the policy of the spec."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flyte_temporal import Cache, Resources, task
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.policies import overrides
from flyte_temporal.spec.policies import CacheSettings, ResourceValues, TaskPolicy


def test_a_bare_task_has_the_default_policy() -> None:
    @task
    def bare() -> None: ...

    assert bare.policy == TaskPolicy()


def test_all_options_are_kept() -> None:
    @task(
        retries=3,
        timeout=timedelta(minutes=2),
        cache=True,
        cache_version="1",
        cache_serialize=True,
        cache_ignore_input_vars=("n",),
        interruptible=True,
        container_image="img:1",
        environment={"A": "b"},
        requests=Resources(cpu="500m", mem="1Gi"),
        limits=Resources(cpu=1, mem="2Gi", gpu=1),
        accelerator="nvidia-tesla-t4",
        shared_memory=True,
        labels={"l": "1"},
        annotations={"a": "1"},
        deprecated="use other",
        enable_deck=True,
        docs="What it does.",
        pod_template_name="big",
        safe_to_force=True,
    )
    def full(n: int) -> None:
        """Overruled."""

    policy = full.policy
    assert policy.retries.count == 3
    assert policy.timeouts.run_s == 120.0
    assert policy.cache == CacheSettings(enabled=True, version="1", serialize=True, ignored_inputs=("n",))
    assert (policy.interruptible, policy.image, policy.env) == (True, "img:1", {"A": "b"})
    assert policy.resources.requests == ResourceValues(cpu="500m", mem="1Gi")
    assert policy.resources.limits == ResourceValues(cpu="1", mem="2Gi", gpu="1")
    assert (policy.resources.accelerator, policy.resources.shared_memory) == ("nvidia-tesla-t4", "auto")
    assert (policy.labels, policy.annotations) == ({"l": "1"}, {"a": "1"})
    assert (policy.deprecated, policy.deck, policy.pod_template) == ("use other", True, "big")
    assert policy.safe_to_force
    assert not TaskPolicy().safe_to_force
    assert overrides({"safe_to_force": False}, "").apply(policy).safe_to_force is False
    assert full.description == "What it does."


def test_one_value_of_resources_is_request_and_limit_and_a_pair_is_both() -> None:
    @task(resources=Resources(cpu=("1", 2), mem="1Gi"))
    def sized() -> None: ...

    assert sized.policy.resources.requests == ResourceValues(cpu="1", mem="1Gi")
    assert sized.policy.resources.limits == ResourceValues(cpu="2", mem="1Gi")


def test_a_cache_object_is_the_same_as_its_parts() -> None:
    @task(cache=Cache(version="2", ignored_inputs="n", salt="s"))
    def cached(n: int) -> None: ...

    assert cached.policy.cache == CacheSettings(enabled=True, version="2", ignored_inputs=("n",), salt="s")


@pytest.mark.parametrize("least", ["500m", 0.5, "1", 1])
def test_a_request_below_the_limit_is_taken(least: str | float) -> None:
    @task(requests=Resources(cpu=least), limits=Resources(cpu="1"))
    def sized() -> None: ...

    assert sized.policy.resources.requests.cpu == str(least)


@pytest.mark.parametrize(
    ("least", "most"), [("1001M", "1G"), ("1Gi", "1G"), ("1025Ki", "1Mi"), ("2e3", "1k")]
)
def test_quantities_are_compared_by_amount(least: str, most: str) -> None:
    with pytest.raises(CompileError, match=f"mem: the request {least} is larger than the limit {most}"):

        @task(requests=Resources(mem=least), limits=Resources(mem=most))
        def sized() -> None: ...


@pytest.mark.parametrize(
    "options",
    [
        {"retries": True},
        {"retries": "3"},
        {"timeout": "5m"},
        {"timeout": float("inf")},
        {"cache": "yes"},
        {"cache_version": "1"},
        {"cache": Cache("1"), "cache_version": "1"},
        {"interruptible": "no"},
        {"container_image": 3},
        {"environment": ["A=b"]},
        {"requests": "1Gi"},
        {"requests": Resources(cpu=("1", "2"))},
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_refused_with_its_option(options: dict[str, object]) -> None:
    with pytest.raises(CompileError) as caught:

        @task(**options)  # type: ignore[call-overload, untyped-decorator, unused-ignore]
        def wrong() -> None: ...

    assert next(iter(options)) in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.startswith("tests/unit/sdk/test_policies.py:")
