"""Plain runs of programs that fail: policies, handlers, and what is reported."""

from __future__ import annotations

import pytest

from flyte_temporal import FlyteError, WorkflowFailurePolicy, create_node, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.failing import failure_of

ALL = WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
SEEN: list[str] = []


@pytest.fixture(autouse=True)
def _unseen() -> None:
    SEEN.clear()


@task
def good(n: int) -> int:
    SEEN.append(f"good {n}")
    return n


@task
def bad(n: int) -> int:
    SEEN.append(f"bad {n}")
    raise ValueError(f"no {n}")


@task
def after(n: int, err: FlyteError | None = None, other: str = "x") -> None:
    SEEN.append(f"after {n} {other} {err}")


@task
def broken(err: FlyteError) -> None:
    raise RuntimeError("handler")


@workflow(on_failure=after)
def immediately(n: int) -> int:
    first = bad(n=n)
    good(n=n)
    return first


@workflow(failure_policy=ALL, on_failure=after)
def later(n: int) -> int:
    first = bad(n=n)
    second = good(n=first)
    good(n=second)
    create_node(bad, n=good(n=7)).with_overrides(on_failure=after)
    last = create_node(good, n=8)
    create_node(good, n=9) >> last
    return first


@workflow(on_failure=broken)
def nested(n: int) -> int:
    inner = later(n=n)
    return good(n=inner)


@workflow
def exits() -> None:
    stop()


@task
def stop() -> None:
    raise SystemExit(3)


def test_by_default_nothing_runs_after_the_first_failure_but_the_handler() -> None:
    with pytest.raises(ValueError, match="no 1"):
        immediately(n=1)
    error = FlyteError("ValueError: no 1", "n0")
    assert ["bad 1", f"after 1 x {error}"] == SEEN


def test_what_is_not_downstream_runs_and_all_failures_are_reported() -> None:
    with pytest.raises(ValueError, match="no 1") as caught:
        later(n=1)
    first, second = FlyteError("ValueError: no 1", "n0"), FlyteError("ValueError: no 7", "n4")
    assert [
        "bad 1",
        "good 7",
        "bad 7",
        "good 9",
        "good 8",
        f"after 7 x {second}",
        f"after 1 x {first}",
    ] == SEEN
    failure = failure_of(caught.value)
    assert (failure.node, [(o.node, str(o.error)) for o in failure.others]) == ("n0", [("n4", "no 7")])
    assert caught.value.__notes__ == ["Also failed: node n4: ValueError: no 7"]


def test_a_sub_workflow_obeys_its_own_policy_and_a_broken_handler_hides_nothing() -> None:
    with pytest.raises(ValueError, match="no 1") as caught:
        nested(n=1)
    assert "good 8" in SEEN
    assert "good 1" not in SEEN
    assert failure_of(caught.value).node == "n0.n0"
    assert caught.value.__notes__ == [
        "Also failed: node n0.n4: ValueError: no 7",
        "The failure handler broken failed as well: RuntimeError: handler",
    ]


def test_a_task_that_exits_has_failed() -> None:
    with pytest.raises(SystemExit) as caught:
        exits()
    assert failure_of(caught.value).node == "n0"


def test_the_spec_names_the_handlers() -> None:
    spec = compile_entity(later).workflows[later.name]
    assert spec.on_failure is not None
    assert spec.on_failure.model_dump() == {"kind": "task", "task": after.name}
    handlers = {node.id: node.on_failure for node in spec.nodes if node.on_failure is not None}
    assert handlers == {"n4": spec.on_failure}


def test_handlers_are_checked_in_plain_runs_too() -> None:
    @workflow(on_failure=bad)
    def lacks() -> None: ...

    with pytest.raises(
        CompileError, match="'n' of the failure handler bad is no input of the workflow lacks"
    ):
        lacks()
