"""Maps: what a call may be, what it is written as, and what failing items do in a plain run."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest

from flyte_temporal import create_node, map_task, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError
from flyte_temporal.spec.arrays import InvalidArrayLength, TooFewItems
from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.nodes import ArrayTarget, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import RetryPolicy
from flyte_temporal.spec.types import FLOAT, INTEGER, STRING, ListType, optional

CALLS: list[int] = []


class Both(NamedTuple):
    number: int
    text: str


@task
def work(n: int, factor: float = 2.0, label: str = "") -> float:
    CALLS.append(n)
    if n < 0:
        raise ValueError(f"bad {n}")
    return n * factor


@task
def both(n: int, s: str | None) -> Both:
    return Both(n, s or "-")


@workflow
def sub(n: int) -> float:
    return work(n=n, factor=3.0)


at_module = map_task(partial(work, label="x"), min_successes=1)


@workflow
def wf(ns: list[int], factor: float) -> tuple[list[float], list[float], list[float | None]]:
    return (
        map_task(partial(work, factor=factor), concurrency=4)(n=ns),
        map_task(work)(ns, [1.0, 2.0]),
        map_task(sub, min_success_ratio=0.5)(n=ns),
    )


def targets(entity: Any) -> list[ArrayTarget]:
    found = [node.target for node in compile_entity(entity).main().nodes]
    assert all(isinstance(target, ArrayTarget) for target in found)
    return [target for target in found if isinstance(target, ArrayTarget)]


def test_the_spec_says_what_is_mapped_and_what_is_bound() -> None:
    closure = compile_entity(wf)
    first, second, third = targets(wf)
    assert (first.item, first.over, first.concurrency) == (TaskTarget(task=f"{__name__}.work"), ("n",), 4)
    assert (second.over, second.concurrency) == (("n", "factor"), 0)
    assert (third.item, third.min_success_ratio) == (WorkflowTarget(workflow=f"{__name__}.sub"), 0.5)
    assert closure.interface_of(first).outputs[0].type == ListType(element=FLOAT)
    assert closure.interface_of(third).outputs[0].type == ListType(element=optional(FLOAT))
    node = closure.main().nodes[0]
    assert node.inputs == {
        "n": InputRef(name="ns"),
        "factor": InputRef(name="factor"),
        "label": Constant(value=""),
    }
    assert node.name == "map_work"


def test_plain_runs_convert_and_keep_the_order() -> None:
    assert wf(ns=[3, 1], factor=10) == ([30.0, 10.0], [3.0, 2.0], [9.0, 3.0])


def test_called_outside_of_a_workflow_it_runs() -> None:
    assert map_task(work)(n=[1, 2]) == [2.0, 4.0]
    assert map_task(work)([1, 2], factor=[1, 10]) == [1.0, 20.0]
    assert map_task(both)(n=[1, 2], s=["a", None]) == Both([1, 2], ["a", "-"])  # type: ignore[arg-type]
    assert map_task(work)(n=[]) == []


def test_a_failing_item_ends_the_map_and_is_named() -> None:
    CALLS.clear()
    with pytest.raises(ValueError, match="bad -1") as caught:
        map_task(work)(n=[1, -1, 2])
    assert CALLS == [1, -1]
    assert caught.value.__notes__ == [
        f"Item 1 of 3 of map_work failed: {type(caught.value).__name__}: {caught.value}"
    ]


def test_tolerated_failures_are_none_until_there_are_too_many() -> None:
    assert map_task(work, min_successes=1)(n=[1, -1]) == [2.0, None]
    assert map_task(work, min_success_ratio=0.5)(n=[-1, 1]) == [None, 2.0]
    CALLS.clear()
    with pytest.raises(ValueError, match="bad -2"):
        map_task(work, min_success_ratio=0.5)(n=[-1, -2, 3])
    assert CALLS == [-1, -2]


def test_lengths_are_checked_before_anything_runs() -> None:
    CALLS.clear()
    with pytest.raises(InvalidArrayLength, match="'n' has 1 and 'factor' has 2"):
        map_task(work)(n=[1], factor=[1.0, 2.0])
    with pytest.raises(TooFewItems, match="needs 3 successes, but its lists have 1 elements"):
        map_task(work, min_successes=3)(n=[1])
    assert CALLS == []


def test_run_by_itself_it_is_a_workflow_of_one_node() -> None:
    closure = compile_entity(at_module)
    assert (closure.root.kind, closure.root.name) == ("workflow", f"{__name__}.at_module")
    assert [(v.name, v.type) for v in closure.interface.inputs] == [("n", ListType(element=INTEGER))]
    (target,) = targets(at_module)
    assert target.over == ("n",)
    assert closure.main().nodes[0].inputs["label"] == Constant(value="x")


@workflow
def by_create_node(ns: list[int]) -> list[float | None]:
    return create_node(at_module, n=ns).o0  # type: ignore[return-value] # a promise of it


def test_create_node_takes_a_map() -> None:
    assert by_create_node(ns=[2, -1]) == [4.0, None]


def test_outputs_of_several_names_are_lists_of_each() -> None:
    node = map_task(both, min_successes=0)
    assert [v.type for v in node.interface.outputs] == [
        ListType(element=optional(INTEGER)),
        ListType(element=optional(STRING)),
    ]


def test_overrides_of_a_map_are_those_of_its_items() -> None:
    @workflow
    def persistent(ns: list[int]) -> list[float]:
        done: list[float] = map_task(work)(n=ns).with_overrides(retries=2)
        return done

    node = compile_entity(persistent).main().nodes[0]
    assert node.overrides is not None
    assert node.overrides.retries == RetryPolicy(count=2)


def test_a_mapped_workflow_takes_no_options_of_attempts() -> None:
    @workflow
    def persistent(ns: list[int]) -> list[float]:
        done: list[float] = map_task(sub)(n=ns).with_overrides(retries=2)
        return done

    with pytest.raises(CompileError, match="is a sub-workflow, which is no attempt itself"):
        compile_entity(persistent)
