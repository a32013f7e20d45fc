"""`@eager` and `Environment`."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from flyte_temporal import Environment, LaunchPlan, Resources, dynamic, eager, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, InvalidInputs
from flyte_temporal.sdk.plain import run_plain


@task
def add(a: int, b: int) -> int:
    if b < 0:
        raise ValueError("negative")
    return a + b


@task
async def later(a: int) -> int:
    await asyncio.sleep(0.2)
    return a


@workflow
def twice(a: int) -> int:
    return add(a=a, b=a)


plan = LaunchPlan.create("eager.plan", twice, fixed_inputs={"a": 21})


@eager
async def whole(a: int) -> list[int]:
    now = add(a=a, b=1)
    assert now == a + 1
    first, second, third = await asyncio.gather(later(a=now), twice.aio(a=now), plan.aio())
    with contextlib.suppress(ValueError):
        add(a=1, b=-1)
        raise AssertionError("it is negative")
    return [first, second, third, await nested(n=2)]


@eager
async def nested(n: int) -> int:
    return 1 if n == 0 else n * await nested(n=n - 1)


def test_calls_give_values_and_errors() -> None:
    assert run_plain(whole, {"a": 1}) == {"o0": [2, 4, 42, 2]}
    assert asyncio.run(whole(a=1)) == [2, 4, 42, 2]


def test_gather_runs_at_the_same_time() -> None:
    @eager
    async def many() -> int:
        return sum(await asyncio.gather(*(later(a=1) for _ in range(4))))

    started = time.monotonic()
    assert asyncio.run(many()) == 4
    assert time.monotonic() - started < 0.75


def test_errors_pass_unchanged_and_inputs_are_checked() -> None:
    @eager
    async def fails(n: int) -> int:
        return add(a=n, b=-1)

    with pytest.raises(ValueError, match="negative"):
        asyncio.run(fails(n=1))
    with pytest.raises(InvalidInputs, match="Input 'n' of fails"):
        asyncio.run(fails(n="x"))  # type: ignore[arg-type]


def test_it_is_refused_where_it_would_have_to_be_durable() -> None:
    @workflow
    def wf() -> int:
        return nested(n=1)  # type: ignore[return-value]

    with pytest.raises(CompileError, match="@eager functions cannot run durably yet, and nested is one"):
        compile_entity(wf)
    with pytest.raises(CompileError, match="cannot run durably yet"):
        wf()
    with pytest.raises(CompileError, match="cannot run durably yet"):
        compile_entity(whole)
    assert compile_entity(whole, plain=True).interface == whole.interface
    with pytest.raises(CompileError, match="Write `async def`"):

        @eager
        def plain() -> None: ...

    @workflow
    def awaits() -> int:
        return twice.aio(a=1)  # type: ignore[return-value]

    with pytest.raises(CompileError, match=r"twice.aio\(\) is for @eager functions"):
        compile_entity(awaits)


env = Environment(retries=2, environment={"A": "1"}, resources=Resources(cpu="1"), interruptible=True)


@env.task(retries=5, environment={"B": "2"})
def one() -> int:
    return 1


@env.task
def two() -> int:
    return 2


@env.dynamic
def three() -> int:
    return two()


@env.workflow
def four() -> int:
    return one()


def test_an_environment_gives_defaults() -> None:
    assert (one.policy.retries.count, one.policy.env) == (5, {"A": "1", "B": "2"})
    assert (two.policy.retries.count, two.policy.env) == (2, {"A": "1"})
    assert two.policy.resources.limits.cpu == "1"
    assert three.policy.retries.count == 2
    assert three.task_type == "dynamic" == dynamic(lambda: None).task_type
    assert four.interruptible is True
    assert (four(), three()) == (1, 2)


def test_an_environment_is_extended_not_changed() -> None:
    more = env.extend(retries=0, environment={"A": "9"})
    assert more.options["retries"] == 0
    assert more.options["environment"] == {"A": "9"}
    assert env.options["environment"] == {"A": "1"}
    with pytest.raises(CompileError, match=r"Environment\(\) has no option 'retry'. Did you mean retries"):
        Environment(retry=1)  # type: ignore[call-arg]
