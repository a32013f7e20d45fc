"""How a large map is cut: how many items a shard has, and what each may take of what there is."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.literals import Inline, Joined, Offloaded
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.runs import RunLimits, RunOutput, Shard, ShardEnd
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.sharded import UNKNOWN, Room, ShardedArray, Sizes, short, uncut

STORED = Offloaded(key="k", sha256="0", size=9, count=10)


def program(target: ArrayTarget, *others: Any) -> Program:
    array = Node(id="m", target=target, inputs={"x": Constant(value=[])})
    return Program(closures.closure(closures.workflow("shapes.main", [array], None), *others), "0" * 64)


def step_map(**options: Any) -> ArrayTarget:
    return ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",), **options)


def test_a_shard_holds_as_many_items_as_a_run_can() -> None:
    inner = closures.workflow(
        "shapes.inner",
        [closures.step("a", 1), Node(id="k", target=step_map(), inputs={"x": InputRef(name="x")})],
        closures.out("a"),
    )
    target = ArrayTarget(item=WorkflowTarget(workflow="shapes.inner"), over=("x",))
    made = program(target, inner)
    assert Sizes(RunLimits(nodes=8_000)).shard(made, step_map()) == 1_000
    assert Sizes(RunLimits(nodes=8_000)).shard(made, target) == 4_000 // (1 + 1 + 1 + UNKNOWN)
    assert Sizes(RunLimits(nodes=10)).shard(made, target) == 1
    assert Sizes(RunLimits(shard=0)).shard(made, target) == 0
    dynamic = closures.task("shapes.dynamic", "x").model_copy(update={"type": "dynamic"})
    target = ArrayTarget(item=TaskTarget(task="shapes.dynamic"), over=("x",))
    assert Sizes(RunLimits(nodes=1_020)).shard(program(target, dynamic), target) == 510 // (1 + UNKNOWN)


def whole(target: ArrayTarget, count: int = 10, **changes: Any) -> Shard:
    node = Node(id="m", target=target)
    inputs = {"x": Inline(value=list(range(count)))}
    return Shard(
        **{
            "spec": "0",
            "node": node,
            "path": "m",
            "inputs": inputs,
            "offset": 0,
            "count": count,
            "total": count,
            **changes,
        }
    )


def sharded(target: ArrayTarget | None = None, size: int = 3, **changes: Any) -> ShardedArray:
    target = target or step_map()
    made, map_ = program(target), whole(target, **changes)
    parent = NodeState(workflow_body(made, made.main, {}, None), made.main.nodes[0], "m", 0)
    parts, request = uncut(made, map_, size)
    assert request is None
    scope = ShardedArray(made, parent, map_, parts, size)
    scope.states += [NodeState(scope, p.node, p.path, i, p.index) for i, p in enumerate(scope.places())]
    return scope


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("m[0]", 0),
        ("m[2].n1", 0),
        ("m[3]", 1),
        ("m[9].k[4]", 3),
        ("m[12]", None),
        ("m", None),
        ("k[1]", None),
    ],
)
def test_the_shard_of_an_item_is_found_by_its_path(path: str, position: int | None) -> None:
    scope = sharded()
    assert scope.holder(path) is (scope.states[position] if position is not None else None)


def test_lists_that_are_at_hand_are_cut_and_others_are_asked_for() -> None:
    made = program(step_map())
    parts, request = uncut(made, whole(step_map()), 4)
    assert request is None
    assert [part.value for part in parts["x"] if isinstance(part, Inline)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    parts, request = uncut(made, whole(step_map(), inputs={"x": STORED}), 4)
    assert parts == {}
    assert request is not None
    assert (list(request.lists), request.size) == (["x"], 4)


@pytest.mark.parametrize(("concurrency", "shares"), [(0, [0, 0, 0, 0]), (10, [3, 3, 3, 1]), (2, [1, 1])])
def test_shards_share_the_concurrency_of_the_map(concurrency: int, shares: list[int]) -> None:
    scope = sharded(concurrency=concurrency)
    first = scope.first()
    assert [scope.order(state, Room(500, 500)).concurrency for state in first] == shares
    # One that ends gives its share to the next.
    (following,) = scope.after(first[0], {"o0": STORED}) if len(shares) < 4 else [None]
    if following is not None:
        assert scope.order(following, Room(500, 500)).concurrency == shares[0]


def test_a_shard_takes_no_more_than_is_free() -> None:
    scope = sharded()
    first = scope.first()
    assert len(first) == 4
    assert [
        scope.order(s, Room(10, free)).parallel for s, free in zip(first, (10, 7, 4, 1), strict=True)
    ] == [3, 3, 3, 1]


def test_items_are_told_by_their_positions() -> None:
    scope = sharded()
    last = scope.states[-1]
    assert (last.path, last.name) == ("m[9-9]", "m")
    ordered = scope.order(last, Room(500, 500))
    assert (ordered.offset, ordered.count, ordered.total, ordered.inputs) == (
        9,
        1,
        10,
        {"x": Inline(value=[9])},
    )


def ended(failed: int, *messages: str) -> RunOutput:
    errors = tuple(ErrorDocument(kind=ErrorKind.USER, code="E", message=m, traceback="t") for m in messages)
    return RunOutput(outputs={"o0": STORED}, shard=ShardEnd(failed=failed, errors=errors))


def test_failures_are_those_of_all_shards_and_counted_once() -> None:
    scope = sharded(allowed=3)
    scope.told(scope.states[0], 2)
    scope.take(scope.states[0], ended(2, "a", "b"))
    scope.told(scope.states[1], 1)
    # News that are late say less than is known.
    scope.told(scope.states[0], 1)
    assert (scope.failures, scope.failed) == (3, False)
    scope.take(scope.states[1], ended(2, "c", "d"))
    assert scope.failed
    assert [error.message for error in scope.errors] == ["a", "b", "c", "d"]
    assert scope.parent is not None
    assert scope.parent.reason == "0 of 10 items have ended, 4 have failed"


def test_results_are_one_list_of_those_of_the_shards() -> None:
    scope = sharded(size=4)
    parts = [Inline(value=[i]) for i in range(3)]
    for state, part in zip(scope.states, parts, strict=True):
        scope.after(state, {"o0": part})
    assert scope.results() == {"o0": Joined(parts=tuple(parts), counts=(4, 4, 2))}


def test_what_a_run_hands_over_is_all_that_the_next_one_needs() -> None:
    scope = sharded(size=3, allowed=5)
    first = scope.first()
    first[0].phase = first[0].phase.SUCCEEDED
    scope.take(first[0], ended(1, "a"))
    scope.after(first[0], {"o0": STORED})
    scope.told(first[1], 2)
    carried = scope.carried("d...")
    assert carried.parts["x"][0] == Inline(value=None)
    again = sharded(size=3, allowed=5)
    again.states = [s for s in again.states if s.index]
    again.states[0].failed_items = first[1].failed_items
    again.take_over(carried)
    assert (again.failures, scope.failures) == (3, 3)
    for state in again.states:
        again.after(state, {"o0": STORED})
    assert again.results() == {"o0": Joined(parts=(STORED,) * 4, counts=(3, 3, 3, 1))}


def test_many_errors_are_told_in_short() -> None:
    errors = [
        ErrorDocument(kind=ErrorKind.USER, code="E", message="m" * 900, traceback="t", node=f"m[{i}]")
        for i in range(80)
    ]
    told = short(errors)
    assert (len(told), told[0].traceback, len(told[0].message)) == (50, "t", 900)
    assert {(error.traceback, len(error.message)) for error in told[1:]} == {("", 500)}
