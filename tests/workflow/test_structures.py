"""Branches, maps, dynamic tasks, gates, launch plans and failure handlers in a real Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec import keys
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, ListOf, OutputBinding, OutputRef
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult
from flyte_temporal.spec.document import digest, sha256_hex
from flyte_temporal.spec.entities import Closure, FailurePolicy, LaunchPlanSpec, WorkflowSpec
from flyte_temporal.spec.execution import ErrorKind, ExecutionPhase
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline, Offloaded
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchBody,
    BranchCase,
    BranchTarget,
    Comparison,
    GateTarget,
    LaunchPlanTarget,
    Node,
    Operand,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.types import INTEGER, ListType, Simple, SimpleType, optional
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic, plain, user_error
from tests.workflow.test_interpreter import failing

LIST = ListType(element=INTEGER)


def branch(*cases: tuple[int, BranchBody | str], otherwise: BranchBody | None = None) -> Node:
    """Return a branch node `b` over the workflow's input: equal to a number → a body, or a message."""
    operand = Operand(input="c0", type=INTEGER)
    made = [
        BranchCase(
            when=Comparison(op="==", left=operand, right=Operand(constant=value, type=INTEGER)),
            body=body if isinstance(body, BranchBody) else None,
            fail=body if isinstance(body, str) else None,
        )
        for value, body in cases
    ]
    given = (Variable(name="o0", type=optional(INTEGER)),)
    target = BranchTarget(cases=tuple(made), otherwise=otherwise, outputs=given)
    return Node(id="b", target=target, inputs={"c0": InputRef(name="x")})


def body(*nodes: Node, result: Binding | None = None) -> BranchBody:
    found = result or closures.out(nodes[-1].id)
    return BranchBody(nodes=nodes, outputs=(OutputBinding(name="o0", binding=found),))


def one(name: str, nodes: Sequence[Node], result: Binding | None) -> Closure:
    return closures.closure(closures.workflow(name, list(nodes), result))


BRANCHED = one(
    "shapes.branched",
    [
        closures.step("n0", 10),
        branch(
            (1, body(closures.step("n1", closures.out("n0")), closures.step("n2", closures.out("n1")))),
            (2, "two is refused"),
            (3, body(result=InputRef(name="x"))),
        ),
    ],
    OutputRef(node="b", name="o0"),
)


async def run(
    stage: Stage, closure: Closure, x: int = 0, attempted: Attempted | None = None, shard: int = 1_000
) -> tuple[RunState, Attempted]:
    seen = attempted or Attempted()
    stage.store_closure(closure)
    given = closures.run_input(closure, f"run-{x}-{stage.name}", x, RunLimits(shard=shard))
    return await stage.run(given, closure, seen), seen


async def test_the_case_that_holds_runs_with_values_from_around_it(stage: Stage) -> None:
    state, seen = await run(stage, BRANCHED, 1)
    assert state.outputs == {"o0": Inline(value=13)}
    assert seen.phases() == {
        "n0": "SUCCEEDED",
        "b": "SUCCEEDED",
        "b.n1": "SUCCEEDED",
        "b.n2": "SUCCEEDED",
    }


async def test_a_case_may_fail_with_words(stage: Stage) -> None:
    state, seen = await run(stage, BRANCHED, 2)
    assert state.error is not None
    assert (state.error.code, state.error.message, state.error.node) == (
        "BranchFailed",
        "two is refused",
        "b",
    )
    assert seen.phases()["b"] == "FAILED"


async def test_a_case_may_only_pass_a_value_on(stage: Stage) -> None:
    state, seen = await run(stage, BRANCHED, 3)
    assert [plain(v) for v in state.outputs.values()] == [3]
    assert seen.phases()["b.n1"] == "SKIPPED"


async def test_without_a_case_that_holds_the_node_is_skipped_and_gives_none(stage: Stage) -> None:
    state, seen = await run(stage, BRANCHED, 4)
    assert [plain(v) for v in state.outputs.values()] == [None]
    assert seen.phases() == {"n0": "SUCCEEDED", "b": "SKIPPED", "b.n1": "SKIPPED", "b.n2": "SKIPPED"}


async def test_an_operand_by_reference_is_read_by_an_activity(stage: Stage) -> None:
    data = b'{"deep":[5]}'
    stage.blobs.put("values/x", data)
    literal = Offloaded(
        key="values/x",
        sha256=sha256_hex(data),
        size=len(data),
        type=INTEGER,
        path=("deep", 0),
        whole=SimpleType(simple=Simple.ANY),
    )
    closure = one(
        "shapes.by_reference",
        [branch((5, body(closures.step("n1", 1))))],
        OutputRef(node="b", name="o0"),
    )
    given = closures.run_input(closure, "by-reference", 0)
    request = given.request.model_copy(update={"inputs": {"x": literal}})
    state = await stage.run(given.model_copy(update={"request": request}), closure)
    assert state.outputs == {"o0": Inline(value=2)}


def mapped(items: Sequence[int], **options: Any) -> Closure:
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",), **options),
        inputs={"x": Constant(value=list(items))},
    )
    element = optional(INTEGER) if array.target.tolerant else INTEGER  # type: ignore[union-attr]
    made = one("shapes.mapped", [array], OutputRef(node="m", name="o0"))
    main = made.workflows["shapes.mapped"]
    interface = main.interface.model_copy(
        update={"outputs": (Variable(name="o0", type=ListType(element=element)),)}
    )
    main = main.model_copy(update={"interface": interface})
    return made.model_copy(update={"workflows": {main.name: main}})


IN_SHARDS = pytest.mark.parametrize("shard", [1_000, 2], ids=["whole", "in-shards"])
"""A map behaves the same, whether it is run in shards or not."""


@IN_SHARDS
async def test_a_map_gives_a_list_in_order_and_shows_each_item(stage: Stage, shard: int) -> None:
    state, seen = await run(stage, mapped([1, 2, 3]), shard=shard)
    assert plain(state.outputs["o0"]) == [2, 3, 4]
    assert {r.attempt.node for r in seen.requests} == {"m[0]", "m[1]", "m[2]"}
    assert seen.phases() == {"m": "SUCCEEDED", "m[0]": "SUCCEEDED", "m[1]": "SUCCEEDED", "m[2]": "SUCCEEDED"}


async def test_a_map_over_nothing_gives_an_empty_list(stage: Stage) -> None:
    state, _ = await run(stage, mapped([]))
    assert plain(state.outputs["o0"]) == []


@IN_SHARDS
async def test_a_map_runs_no_more_items_at_once_than_it_allows(stage: Stage, shard: int) -> None:
    three = asyncio.Event()

    async def together(request: AttemptRequest) -> int:
        # The first ones wait for each other, however slow the machine is.
        if attempted.at_once >= 3:
            three.set()
        async with asyncio.timeout(60):
            await three.wait()
        await asyncio.sleep(0.03)
        return await arithmetic(request)

    attempted = Attempted(together)
    state, _ = await run(stage, mapped(range(12), concurrency=3), attempted=attempted, shard=shard)
    assert plain(state.outputs["o0"]) == list(range(1, 13))
    assert attempted.most_at_once == 3


async def odd_fail(request: AttemptRequest) -> int:
    if plain(request.inputs["x"]) % 2:
        raise failing(user_error(recoverable=False))
    return await arithmetic(request)


@IN_SHARDS
async def test_items_may_fail_as_far_as_the_map_allows(stage: Stage, shard: int) -> None:
    closure = mapped([0, 1, 2], min_success_ratio=0.5)
    state, seen = await run(stage, closure, attempted=Attempted(odd_fail), shard=shard)
    assert plain(state.outputs["o0"]) == [1, None, 3]
    assert (seen.phases()["m"], seen.phases()["m[1]"]) == ("SUCCEEDED", "FAILED")


@IN_SHARDS
async def test_a_map_fails_when_too_many_items_have_failed(stage: Stage, shard: int) -> None:
    closure = mapped([0, 1, 3], min_successes=2)
    state, seen = await run(stage, closure, attempted=Attempted(odd_fail), shard=shard)
    assert state.error is not None
    assert state.error.node in {"m[1]", "m[2]"}
    assert len(state.error.others) == 1
    assert seen.phases()["m"] == "FAILED"


async def test_lists_of_different_length_are_refused_with_both_lengths(stage: Stage) -> None:
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.JOIN), over=("x", "y")),
        inputs={"x": Constant(value=[1, 2]), "y": Constant(value=[1])},
    )
    state, _ = await run(stage, one("shapes.uneven", [array], None))
    assert state.error is not None
    assert state.error.code == "InvalidArrayLength"
    assert "has 2" in state.error.message
    assert "has 1" in state.error.message


@pytest.mark.parametrize("shard", [1_000, 1], ids=["whole", "in-shards"])
async def test_a_map_over_a_workflow_and_a_list_put_together_from_nodes(stage: Stage, shard: int) -> None:
    inner = closures.workflow(
        "shapes.inner",
        [closures.step("n0", InputRef(name="x")), closures.step("n1", closures.out("n0"))],
        closures.out("n1"),
    )
    array = Node(
        id="m",
        target=ArrayTarget(item=WorkflowTarget(workflow="shapes.inner"), over=("x",)),
        inputs={"x": ListOf(items=(closures.out("n0"), Constant(value=7)))},
    )
    main = closures.workflow("shapes.over_workflow", [closures.step("n0", 0), array], None)
    total = Node(
        id="t",
        target=TaskTarget(task=closures.TOTAL),
        inputs={"values": OutputRef(node="m", name="o0")},
    )
    closure = closures.closure(
        main.model_copy(
            update={
                "nodes": (*main.nodes, total),
                "outputs": (OutputBinding(name="o0", binding=closures.out("t")),),
            }
        ),
        inner,
    )
    state, seen = await run(stage, closure, shard=shard)
    assert state.outputs == {"o0": Inline(value=(1 + 2) + (7 + 2))}
    assert seen.phases()["m[1].n1"] == "SUCCEEDED"


def emitted(count: int) -> Closure:
    """Return what a dynamic task gives: steps side by side from their position, and their sum."""
    nodes = [closures.step(f"n{i}", i) for i in range(count)]
    total = Node(
        id="t",
        target=TaskTarget(task=closures.TOTAL),
        inputs={"values": ListOf(items=tuple(closures.out(n.id) for n in nodes))},
    )
    return one("shapes.dynamic", [*nodes, total], closures.out("t"))


def dynamic() -> Closure:
    task = closures.task("shapes.dynamic", "x").model_copy(update={"type": "dynamic"})
    node = Node(id="d", target=TaskTarget(task=task.name), inputs={"x": InputRef(name="x")})
    main = closures.workflow(
        "shapes.uses_dynamic", [node, closures.step("n1", closures.out("d"))], closures.out("n1")
    )
    return closures.closure(main, task)


async def emits(request: AttemptRequest) -> Any:
    if request.task != "shapes.dynamic":
        return await arithmetic(request)
    given = emitted(plain(request.inputs["x"]))
    return AttemptResult(spec=digest(given), closure=given)


@pytest.mark.parametrize("count", [0, 3, 400])
async def test_a_dynamic_task_runs_what_it_gives(stage: Stage, count: int) -> None:
    stage.store_closure(emitted(count))
    state, seen = await run(stage, dynamic(), count, Attempted(emits))
    assert state.outputs == {"o0": Inline(value=sum(range(1, count + 1)) + 1)}
    assert seen.phases()["d.t"] == "SUCCEEDED"
    records = {node.id: node for change in seen.records for node in change.nodes}
    assert (records["d"].kind, records["d"].spec) == ("dynamic", digest(emitted(count)))
    assert {r.spec for r in seen.requests if r.attempt.node.startswith("d.")} == {digest(emitted(count))}


async def test_inner_nodes_of_a_dynamic_task_are_retried_by_themselves(stage: Stage) -> None:
    tries: list[str] = []

    async def once(request: AttemptRequest) -> Any:
        tries.append(request.attempt.node)
        if request.attempt.node == "d.n1" and request.attempt.number == 1:
            raise failing(user_error().model_copy(update={"kind": ErrorKind.SYSTEM}))
        return await emits(request)

    state, _ = await run(stage, dynamic(), 2, Attempted(once))
    assert state.outputs == {"o0": Inline(value=4)}
    assert (tries.count("d"), tries.count("d.n0"), tries.count("d.n1")) == (1, 1, 2)


async def test_a_run_refuses_more_nodes_than_its_limit(stage: Stage) -> None:
    given = closures.run_input(dynamic(), "limited", 50)
    limits = given.limits.model_copy(update={"nodes": 20})
    state = await stage.run(given.model_copy(update={"limits": limits}), dynamic(), Attempted(emits))
    assert state.error is not None
    assert state.error.code == "LimitExceeded"
    assert state.error.node == "d"


def gated(gate: GateTarget, inputs: dict[str, Binding] | None = None) -> Closure:
    node = Node(id="g", target=gate, inputs=inputs or {})
    return one("shapes.gated", [node, closures.step("n1", closures.out("g"))], closures.out("n1"))


def planned() -> Closure:
    interface = Interface(
        inputs=(Variable(name="x", type=INTEGER), Variable(name="y", type=INTEGER)),
        outputs=(Variable(name="o0", type=INTEGER),),
    )
    child = WorkflowSpec(
        name="shapes.child",
        interface=interface,
        nodes=(
            Node(
                id="n0",
                target=TaskTarget(task=closures.JOIN),
                inputs={"x": InputRef(name="x"), "y": InputRef(name="y")},
            ),
        ),
        outputs=(OutputBinding(name="o0", binding=closures.out("n0")),),
    )
    plan = LaunchPlanSpec(
        name="shapes.plan",
        workflow="shapes.child",
        interface=Interface(inputs=interface.inputs[:1], outputs=interface.outputs),
        fixed_inputs={"y": Inline(value=100)},
    )
    node = Node(id="lp", target=LaunchPlanTarget(launch_plan="shapes.plan"), inputs={"x": InputRef(name="x")})
    made = closures.closure(
        closures.workflow(
            "shapes.parent", [node, closures.step("n1", closures.out("lp"))], closures.out("n1")
        ),
        child,
    )
    return made.model_copy(update={"launch_plans": {"shapes.plan": plan}})


async def test_a_launch_plan_runs_as_an_execution_of_its_own(stage: Stage) -> None:
    given = stage.stored(planned(), "parent")
    attempted = Attempted()
    state = await stage.run(given, planned(), attempted)
    assert state.outputs == {"o0": Inline(value=1 + 100 + 1 + 1)}
    child = stage.store.execution(given.request.id.model_copy(update={"name": "parent.lp"}))
    assert child is not None
    assert child.request.parent is not None
    assert (child.request.parent.execution, child.request.parent.node) == ("parent", "lp")
    assert child.request.inputs["y"] == Inline(value=100)
    assert stage.blobs.get(keys.closure(child.request.spec)) is not None
    nodes = {
        n.id: n for change in attempted.records if change.execution.name == "parent" for n in change.nodes
    }
    assert nodes["lp"].child == "parent.lp"
    inner = await stage.engine.state(child.request.id)
    assert inner is not None
    assert inner.phase is ExecutionPhase.SUCCEEDED


async def test_a_failed_child_fails_its_node_with_its_words(stage: Stage) -> None:
    async def fails(request: AttemptRequest) -> int:
        raise failing(user_error("boom", recoverable=False))

    state, _ = await run(stage, planned(), 1, Attempted(fails))
    assert state.error is not None
    assert state.error.code == "UserCodeError"
    assert "failed" in state.error.message
    assert "boom" in state.error.message
    assert state.error.node == "lp"


async def test_children_are_stopped_with_their_parent(stage: Stage) -> None:
    running = asyncio.Event()

    async def waits(request: AttemptRequest) -> int:
        running.set()
        while True:
            from temporalio import activity

            activity.heartbeat()
            await asyncio.sleep(0.05)

    given = stage.stored(planned(), "stopped")
    async with stage.worker(Attempted(waits)):
        await stage.engine.start(given, planned())
        await running.wait()
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 60)
        child = given.request.id.model_copy(update={"name": "stopped.lp"})
        inner = await stage.engine.wait(child, 60)
    assert ended is not None
    assert inner is not None
    assert (ended.phase, inner.phase) == (ExecutionPhase.ABORTED, ExecutionPhase.ABORTED)


def handled(policy: FailurePolicy = FailurePolicy.FAIL_IMMEDIATELY, *, per_node: bool = False) -> Closure:
    error = SimpleType(simple=Simple.ERROR)
    handler = closures.task("shapes.handler", "x")
    interface = handler.interface.model_copy(
        update={"inputs": (*handler.interface.inputs, Variable(name="err", type=optional(error)))}
    )
    handler = handler.model_copy(update={"interface": interface})
    target = TaskTarget(task="shapes.handler")
    bad = closures.step("bad", 1)
    nodes = [
        bad.model_copy(update={"on_failure": target}) if per_node else bad,
        closures.step("after", closures.out("bad")),
        closures.step("also_bad", 3),
        closures.step("good", 2),
    ]
    main = closures.workflow("shapes.handled", nodes, None).model_copy(
        update={"failure_policy": policy, "on_failure": None if per_node else target}
    )
    return closures.closure(main, handler)


def bad_nodes(tried: list[AttemptRequest]) -> Any:
    async def behave(request: AttemptRequest) -> int:
        tried.append(request)
        if request.attempt.node in {"bad", "also_bad"}:
            raise failing(user_error(request.attempt.node, recoverable=False))
        return 1

    return behave


async def test_a_failed_workflow_runs_its_handler_once_with_its_inputs_and_the_error(stage: Stage) -> None:
    tried: list[AttemptRequest] = []
    state, seen = await run(stage, handled(), 8, Attempted(bad_nodes(tried)))
    assert state.error is not None
    assert state.error.node in {"bad", "also_bad"}
    (handler,) = [r for r in tried if r.attempt.node == "efn"]
    assert handler.inputs["x"] == Inline(value=8)
    told = handler.inputs["err"]
    assert isinstance(told, Inline)
    assert told.value == {"message": state.error.message, "failed_node_id": state.error.node}
    assert seen.phases()["efn"] == "SUCCEEDED"


async def test_a_handler_that_fails_changes_nothing(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> int:
        raise failing(user_error(request.attempt.node, recoverable=False))

    state, seen = await run(stage, handled(), 8, Attempted(behave))
    assert state.error is not None
    assert state.error.message in {"bad", "also_bad", "good"}
    assert seen.phases()["efn"] == "FAILED"


async def test_a_node_has_a_handler_of_its_own(stage: Stage) -> None:
    tried: list[AttemptRequest] = []
    closure = handled(FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, per_node=True)
    state, seen = await run(stage, closure, 8, Attempted(bad_nodes(tried)))
    (handler,) = [r for r in tried if r.attempt.node == "bad.efn"]
    assert handler.inputs["x"] == Inline(value=1)
    assert seen.phases()["bad.efn"] == "SUCCEEDED"
    assert seen.phases()["bad"] == "FAILED"
    assert state.error is not None


async def test_everything_not_downstream_runs_and_all_failures_are_told(stage: Stage) -> None:
    tried: list[AttemptRequest] = []
    closure = handled(FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
    state, seen = await run(stage, closure, 8, Attempted(bad_nodes(tried)))
    assert state.error is not None
    assert {state.error.node, *(e.node for e in state.error.others)} == {"bad", "also_bad"}
    phases = seen.phases()
    assert (phases["good"], phases["after"]) == ("SUCCEEDED", "SKIPPED")


async def test_an_abort_runs_no_handler(stage: Stage) -> None:
    running = asyncio.Event()
    seen: list[str] = []

    async def waits(request: AttemptRequest) -> int:
        from temporalio import activity

        seen.append(request.attempt.node)
        running.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    given = closures.run_input(handled(), "aborted-handled", 1)
    async with stage.worker(Attempted(waits)):
        await stage.engine.start(given, handled())
        await running.wait()
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 60)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED
    assert "efn" not in seen
