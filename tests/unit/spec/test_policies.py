"""What a node sets anew: resources by quantity, configuration by key, everything else as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.spec.entities import EntryPoint, TaskSpec
from flyte_temporal.spec.policies import (
    CacheSettings,
    Overrides,
    Resources,
    ResourceValues,
    RetryPolicy,
    TaskPolicy,
    Timeouts,
)

SMALL = Resources(requests=ResourceValues(cpu="1", mem="1Gi"), limits=ResourceValues(cpu="2", mem="2Gi"))
POLICY = TaskPolicy(
    resources=SMALL,
    retries=RetryPolicy(count=3),
    cache=CacheSettings(enabled=True, version="1"),
    env={"A": "1", "B": "2"},
    interruptible=True,
    image="base:1",
)
TASK = TaskSpec(
    name="m.t", entry=EntryPoint(module="m", name="t"), policy=POLICY, config={"q": "1", "dialect": "x"}
)


def test_of_resources_each_quantity_is_a_part_of_its_own() -> None:
    changed = SMALL.changed_by(
        Resources(requests=ResourceValues(mem="4Gi"), limits=ResourceValues(mem="8Gi", gpu="1"))
    )
    assert changed.requests == ResourceValues(cpu="1", mem="4Gi")
    assert changed.limits == ResourceValues(cpu="2", mem="8Gi", gpu="1")


def test_nothing_changes_nothing() -> None:
    assert SMALL.changed_by(Resources()) == SMALL
    assert Resources().changed_by(SMALL) == SMALL
    assert Overrides().apply(POLICY) == POLICY
    assert TASK.overridden(None) is TASK
    assert TASK.overridden(Overrides()) == TASK


def test_a_partition_belongs_to_its_accelerator() -> None:
    whole = Resources(accelerator="a100", accelerator_partition="1g.5gb", shared_memory="1Gi")
    other = whole.changed_by(Resources(accelerator="t4"))
    assert (other.accelerator, other.accelerator_partition, other.shared_memory) == ("t4", "", "1Gi")
    same = whole.changed_by(Resources(shared_memory="auto"))
    assert (same.accelerator, same.accelerator_partition, same.shared_memory) == ("a100", "1g.5gb", "auto")


def test_the_rest_is_replaced_as_a_whole_and_what_is_not_said_stays() -> None:
    changed = Overrides(env={"C": "3"}, retries=RetryPolicy(count=0), interruptible=False).apply(POLICY)
    assert (changed.env, changed.retries.count, changed.interruptible) == ({"C": "3"}, 0, False)
    assert (changed.image, changed.cache, changed.resources) == (POLICY.image, POLICY.cache, POLICY.resources)
    assert POLICY.env == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("overrides", "part", "value"),
    [
        (Overrides(cache=CacheSettings()), "cache", CacheSettings(enabled=False)),
        (Overrides(env={}), "env", {}),
        (Overrides(image=""), "image", ""),
        (Overrides(secrets=()), "secrets", ()),
        (Overrides(timeouts=Timeouts(run_s=0.0)), "timeouts", Timeouts()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_empty_values_are_values(overrides: Overrides, part: str, value: object) -> None:
    assert getattr(overrides.apply(POLICY), part) == value


def test_a_tasks_configuration_is_changed_by_key() -> None:
    changed = TASK.overridden(Overrides(config={"q": "2", "more": True}, retries=RetryPolicy(count=1)))
    assert changed.config == {"q": "2", "dialect": "x", "more": True}
    assert changed.policy == POLICY.model_copy(update={"retries": RetryPolicy(count=1)})
    assert (changed.name, changed.entry, TASK.config) == (TASK.name, TASK.entry, {"q": "1", "dialect": "x"})


def test_later_overrides_win_part_by_part() -> None:
    first = Overrides(
        resources=Resources(requests=ResourceValues(cpu="3", mem="3Gi")),
        retries=RetryPolicy(count=1),
        config={"q": "2", "a": 1},
        env={"A": "9"},
    )
    both = first.then(
        Overrides(resources=Resources(requests=ResourceValues(mem="5Gi")), config={"a": 2}, env={"B": "9"})
    )
    assert both.resources == Resources(requests=ResourceValues(cpu="3", mem="5Gi"))
    assert (both.retries, both.config, both.env) == (RetryPolicy(count=1), {"q": "2", "a": 2}, {"B": "9"})


quantities = st.builds(ResourceValues, cpu=st.sampled_from(["", "1", "2"]), mem=st.sampled_from(["", "1Gi"]))
resources = st.builds(
    Resources,
    requests=quantities,
    limits=quantities,
    accelerator=st.sampled_from(["", "t4"]),
    shared_memory=st.sampled_from(["", "auto"]),
)
some_overrides = st.builds(
    Overrides,
    resources=st.none() | resources,
    retries=st.none() | st.builds(RetryPolicy, count=st.integers(0, 2)),
    cache=st.none() | st.just(CacheSettings()),
    interruptible=st.none() | st.booleans(),
    image=st.none() | st.sampled_from(["", "a", "b"]),
    env=st.none() | st.dictionaries(st.sampled_from("AB"), st.just("1")),
    config=st.none() | st.dictionaries(st.sampled_from("qr"), st.integers(0, 3)),
)


@given(some_overrides, some_overrides, some_overrides)
def test_overrides_together_are_the_same_as_one_after_the_other(
    a: Overrides, b: Overrides, c: Overrides
) -> None:
    assert TASK.overridden(a.then(b)) == TASK.overridden(a).overridden(b)
    assert a.then(b).then(c) == a.then(b.then(c))
    assert a.then(Overrides()) == a == Overrides().then(a)
