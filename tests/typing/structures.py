"""Only type-checked, never run: what calls of structures give to editors; see `authoring` for how to read the ignores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, assert_type

from flyte_temporal import (
    ImperativeWorkflow,
    LaunchPlan,
    approve,
    conditional,
    create_node,
    dynamic,
    eager,
    map_task,
    reference_launch_plan,
    reference_task,
    reference_workflow,
    sleep,
    task,
    wait_for_input,
    workflow,
)


@task
def double(n: int) -> int:
    return 2 * n


@task
async def fetched(n: int) -> str:
    return str(n)


# ---- dynamic tasks
@dynamic
def many(n: int, step: int = 1) -> list[int]:
    return [double(n=i) for i in range(0, n, step)]


@dynamic(retries=1, cache=True, cache_version="1")
def once_more(n: int) -> list[int]:
    return many(n=n)


assert_type(many(3), list[int])
assert_type(many(n=3, step=2), list[int])
assert_type(once_more(n=3), list[int])
many("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
many(n=3, steps=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
once_more()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@dynamic(retry=1)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue]
def misspelled(n: int) -> int:
    return n


# ---- workflows: nested ones keep theirs
@workflow
def inner(n: int) -> tuple[int, str]:
    return double(n=n), "x"


@workflow
def outer(n: int) -> int:
    number, text = inner(n=n)
    assert_type(number, int)
    assert_type(text, str)
    return double(n=text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---- map_task: what it is called with cannot be said. A ParamSpec stands for the parameters as they are, and there is
# no way to write "each as a list, those of the partial left out"; so arguments and result are `Any`, and a wrong one is
# found when the workflow is compiled. The numbers and the target are checked here.
assert_type(map_task(double)(n=[1, 2]), Any)
assert_type(map_task(partial(double, n=1), concurrency=2, min_success_ratio=0.5)(), Any)
map_task(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
map_task(double, concurrency="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
map_task(double, parallel=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# A partial is checked against the task's own parameters by mypy alone: pyright infers none from `PythonTask.__call__`.


# ---- conditional: what it gives is `Any`. `.then()` has to give both the value of the taken case, which is that of a
# type that only the last case decides, and something with `.elif_()` and `.else_()`.
@workflow
def chosen(n: int, big: bool) -> int:
    # Comparisons of what looks like values are `bool` to a type checker, which a condition may be.
    found = conditional("big?").if_(n > 3).then(double(n=n)).elif_(big).then(n).else_().fail("too small")
    assert_type(found, Any)
    conditional(name=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    conditional("text").if_("big")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    conditional("case").if_(big).then()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    conditional("message").if_(big).fail(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return double(n=found)


# ---- launch plans: those of `create` leave out fixed inputs and make others optional, by values that a type checker does
# not see; so their parameters are not checked, and their result is. A default launch plan is called like its workflow.
plan = LaunchPlan.create("plan", outer, fixed_inputs={"n": 1}, max_parallelism=2)
same = LaunchPlan.get_or_create(outer, "plan", fixed_inputs={"n": 1})
default = LaunchPlan.get_default_launch_plan(None, outer)
assert_type(plan, LaunchPlan[..., int])
assert_type(plan(), int)
assert_type(same(n=1), int)
assert_type(default(n=1), int)
default(n="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
default()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# ---- gates
@workflow
def asked(n: int) -> int:
    answer = wait_for_input("answer", timeout=timedelta(hours=1), expected_type=int)
    assert_type(answer, int)
    assert_type(wait_for_input("words", expected_type=list[str]), list[str])
    assert_type(approve(double(n=n), "fine", timeout=60), int)
    sleep(timedelta(seconds=1)) >> create_node(double, n=answer)
    sleep(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wait_for_input(timeout=3, expected_type=int)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    wait_for_input("late", "1h", int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    approve(n)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return answer


# ---- eager functions
@eager
async def pondered(n: int) -> str:
    assert_type(await fetched(n=n), str)
    assert_type(double(n=n), int)
    assert_type(await double.aio(n=n), int)
    await fetched(n="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await double.aio(m=n)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return await pondered_more(n=n)


@eager(retries=1)
async def pondered_more(n: int) -> str:
    await pondered()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return await fetched(n=n)


# ---- references; a body of `...` is an error to mypy alone, since it has no way to know that none is run
@reference_task("p", "development", "theirs.trained", "v1")
def their_task(n: int) -> str: ...  # type: ignore[empty-body]


@reference_workflow("p", "development", "theirs.wf", "v1")
def their_workflow(n: int) -> str:
    raise NotImplementedError


@reference_launch_plan("p", "development", "theirs.plan", "v1")
def their_plan(n: int) -> str:
    raise NotImplementedError


assert_type(their_task(n=1), str)
assert_type(their_workflow(n=1), str)
assert_type(their_plan(1), str)
their_task(n="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
their_workflow()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
their_plan(m=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
reference_task("p", "development", "theirs.trained")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
reference_task("p", "development", "x", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---- imperative workflows: their parameters and outputs are made by calls, so calling one gives `Any`.
made = ImperativeWorkflow("made", interruptible=True)
made.add_workflow_input("n", int)
assert_type(made(n=1), Any)
ImperativeWorkflow("made", retries=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# ---- whatever is decorated stays a callable for what takes one
taken: Callable[[int], int] = double
