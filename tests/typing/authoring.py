"""Only type-checked, never run: decorators must keep the signatures that editors show.

mypy and basedpyright (`make check`) fail here when a call loses its types. The lines with `type: ignore` and `pyright:
ignore` are errors that both must find: an ignore that is no longer needed is an error of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple, assert_type

from flyte_temporal import (
    Cache,
    Environment,
    FailurePolicy,
    FlyteFile,
    PythonFunctionWorkflow,
    PythonTask,
    Resources,
    create_node,
    current_context,
    task,
    workflow,
)


class Trained(NamedTuple):
    model: FlyteFile
    accuracy: float


@task
def bare(n: int, name: str = "x") -> float:
    return n / len(name)


@task(
    retries=3,
    timeout=timedelta(minutes=5),
    cache=Cache(version="1"),
    resources=Resources(cpu=("1", "2"), mem="1Gi"),
    environment={"A": "b"},
    interruptible=True,
)
def optioned(rows: list[int]) -> Trained:
    current_context().logging.info("training on %d rows", len(rows))
    return Trained(FlyteFile("model.bin"), 0.5)


@task(timeout=30, cache=True, cache_version="2")
async def waiting(n: int) -> str:
    return str(n)


@workflow
def small(n: int = 1) -> float:
    return bare(n=n)


@workflow(failure_policy=FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, on_failure=bare)
def big(n: int) -> Trained:
    trained = optioned(rows=[n])
    assert_type(trained, Trained)
    assert_type(trained.model, FlyteFile)
    node = create_node(bare, n=n)
    node.runs_before(create_node(small).with_overrides(node_name="last", retries=1))
    return trained


kept: PythonTask[..., float] = bare
also: PythonFunctionWorkflow[..., float] = small
assert_type(bare(1), float)
assert_type(bare(n=1, name="y"), float)
assert_type(optioned([1]), Trained)
assert_type(small(), float)
assert_type(big(n=1), Trained)


async def call() -> None:
    assert_type(await waiting(1), str)
    assert_type(await waiting(n=1), str)
    assert_type(await bare.aio(1), float)
    await waiting("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


bare("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bare(m=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
bare()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
optioned(rows=["x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
small(n="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
big()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@workflow(failure_policy="X")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
def misruled() -> None: ...


@task(retry=3)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue]
def misspelled() -> None: ...


@task(retries="3")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
def mistyped() -> None: ...


def uses(entity: PythonTask[..., Any]) -> None:
    entity.task_function()


env = Environment(retries=2, environment={"A": "b"})


@env.task
def shared(n: int) -> str:
    return str(n)


@env.extend(interruptible=True).task(retries=1)
def extended(n: int) -> str:
    return str(n)


@env.workflow
def of_environment(n: int) -> str:
    return shared(n=n)


assert_type(shared(1), str)
assert_type(extended(n=1), str)
assert_type(of_environment(n=1), str)
shared("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Environment(retry=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
