"""Maps in shards, in a real Temporal: what differs from a map in one run. That they behave alike is in test_structures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, OutputBinding, OutputRef
from flyte_temporal.spec.calls import SHARD_STOP, AttemptRequest, AttemptResult, NodeAbort
from flyte_temporal.spec.document import digest, sha256_hex
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorKind, ExecutionPhase, NodePhase
from flyte_temporal.spec.literals import Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.nodes import ArrayTarget, LaunchPlanTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.runs import SHARDED_ORDER, RunInput, RunLimits, RunOutput, Shard, ShardEnd
from flyte_temporal.testing import closures
from tests.workflow import dags
from tests.workflow.conftest import Attempted, Stage, arithmetic, plain, user_error
from tests.workflow.launched import Failed, Launched, histories
from tests.workflow.launched import arithmetic as slowly
from tests.workflow.test_continue_as_new import essence
from tests.workflow.test_interpreter import failing
from tests.workflow.test_replay import replay
from tests.workflow.test_structures import LIST, mapped, odd_fail, one, planned


def of(closure: Closure, name: str, shard: int = 2, **limits: Any) -> RunInput:
    return closures.run_input(closure, name, 1, RunLimits(shard=shard, **limits))


def summed(x: Binding, item: Any = None, **options: Any) -> Closure:
    """Return a map over a list, and the sum of what it gives."""
    target = ArrayTarget(item=item or TaskTarget(task=closures.STEP), over=("x",), **options)
    array = Node(id="m", target=target, inputs={"x": x})
    total = Node(id="t", target=TaskTarget(task=closures.TOTAL), inputs={"values": closures.out("m")})
    return one("shapes.summed", [array, total], closures.out("t"))


async def waits(request: AttemptRequest) -> int:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


async def begun(seen: Attempted, count: int) -> None:
    """Return when so many attempts have begun."""
    while len(seen.requests) < count:  # noqa: ASYNC110 - what is awaited is in the server
        await asyncio.sleep(0.02)


async def test_a_shard_reads_as_part_of_the_map_in_temporal_and_in_the_records(
    stage: Stage, tmp_path: Path
) -> None:
    closure, seen = mapped(range(5)), Attempted()
    given = of(closure, "shown")
    state = await stage.run(given, closure, seen)
    assert isinstance(state.outputs["o0"], Joined)
    assert plain(state.outputs["o0"]) == [1, 2, 3, 4, 5]
    child = stage.client.get_workflow_handle("shown.m.2")
    found = await child.describe()
    assert (found.workflow_type, found.parent_id) == (closures.STEP, "shown")
    assert await found.static_summary() == "m [2-3 of 5]"
    nodes = {node.id: node for change in seen.records for node in change.nodes}
    assert set(nodes) == {"m", *(f"m[{i}]" for i in range(5))}
    assert [nodes[f"m[{i}]"].order for i in range(5)] == [SHARDED_ORDER + i for i in range(5)]
    assert {change.execution.name for change in seen.records} == {"shown"}
    assert [c.phase for c in seen.records if c.phase and c.phase.terminal] == [ExecutionPhase.SUCCEEDED]
    for handle in (child, stage.client.get_workflow_handle("shown")):
        await replay(await handle.fetch_history(), tmp_path)


async def test_a_shard_that_is_told_to_stop_before_its_first_step_ends(stage: Stage) -> None:
    closure, seen = mapped(range(4)), Attempted()
    array = closure.workflows["shapes.mapped"].nodes[0]
    given = of(closure, stage.name)
    part: dict[str, LiteralValue] = {"x": Inline(value=[0, 1])}
    shard = Shard(
        spec=given.request.spec, node=array, path="m", inputs=part, offset=0, count=2, total=4, parallel=2
    )
    # Nobody serves the queue yet: the start and the message are in one task.
    handle = await stage.client.start_workflow(
        closures.STEP,
        args=[given.model_copy(update={"shard": shard}), closure],
        id=f"{stage.name}.m.0",
        task_queue=stage.queue,
        result_type=RunOutput,
        start_signal=SHARD_STOP,
    )
    async with stage.worker(seen), asyncio.timeout(30):
        output = await handle.result()
    assert output.shard == ShardEnd(stopped=True, work=shard.work())
    assert seen.requests == []


@pytest.mark.parametrize("count", [3, 400])
async def test_a_list_by_reference_is_cut_once_and_each_item_gets_its_own_element(
    stage: Stage, count: int
) -> None:
    # A part of 150 such numbers is stored again, one of 2 travels with the shard.
    values = [10**6 + i for i in range(count)]
    data = json.dumps(values, separators=(",", ":")).encode()
    stage.blobs.put("values/x", data)
    stored = Offloaded(key="values/x", sha256=sha256_hex(data), size=len(data), count=count)
    closure, seen = summed(InputRef(name="x")), Attempted()
    totals: list[LiteralValue] = []

    async def behave(request: AttemptRequest) -> int:
        if request.task != closures.TOTAL:
            return await arithmetic(request)
        totals.append(request.inputs["values"])
        return 7

    seen.behaviour = behave
    given = of(closure, f"by-reference-{count}", shard=150 if count > 150 else 2)
    request = given.request.model_copy(update={"inputs": {"x": stored}})
    state = await stage.run(given.model_copy(update={"request": request}), closure, seen)
    assert state.outputs == {"o0": Inline(value=7)}
    assert all(isinstance(r.inputs["x"], Inline) for r in seen.requests if r.task == closures.STEP)
    # Small parts are in the message, large ones in the store; read, they are one list.
    assert stage.read(totals[0], LIST) == [x + 1 for x in values]
    assert isinstance(totals[0], Joined)


async def test_large_results_stay_references_and_none_stands_for_what_failed(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> Any:
        if plain(request.inputs["x"]) == 1:
            raise failing(user_error(recoverable=False))
        data = b"41"
        stage.blobs.put_new("values/large", data)
        large = Offloaded(key="values/large", sha256=sha256_hex(data), size=2)
        return AttemptResult(outputs={"o0": large})

    closure = mapped(range(4), min_successes=3)
    state = await stage.run(of(closure, "references"), closure, Attempted(behave))
    interface = closure.workflows["shapes.mapped"].interface
    assert stage.read(state.outputs["o0"], interface.outputs[0].type) == [41, None, 41, 41]


async def test_the_first_failure_stops_all_shards_at_once(stage: Stage) -> None:
    running: set[str] = set()
    others = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        running.add(request.attempt.node)
        if len(running) == 8:
            others.set()
        if request.attempt.node != "m[5]":
            return await waits(request)
        await others.wait()
        raise failing(user_error("five is bad", recoverable=False))

    closure, seen = mapped(range(20)), Attempted(behave)
    state = await stage.run(of(closure, "fails-fast"), closure, seen)
    assert state.error is not None
    assert (state.error.node, state.error.message, state.error.others) == ("m[5]", "five is bad", ())
    phases = seen.phases()
    assert phases["m"] == "FAILED"
    assert {phases[f"m[{i}]"] for i in range(8)} == {"ABORTED", "FAILED"}
    # Shards that had not begun never do.
    assert "m[8]" not in phases


async def test_failures_are_summed_over_the_shards(stage: Stage) -> None:
    release = asyncio.Event()
    failed: list[str] = []

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node in {"m[0]", "m[2]", "m[4]"}:
            failed.append(request.attempt.node)
            if len(failed) == 3:
                release.set()
            raise failing(user_error(request.attempt.node, recoverable=False))
        return await waits(request)

    closure, seen = mapped(range(8), min_successes=6), Attempted(behave)
    state = await stage.run(of(closure, "summed-failures"), closure, seen)
    assert state.error is not None
    assert {state.error.node, *(e.node for e in state.error.others)} == {"m[0]", "m[2]", "m[4]"}
    assert [seen.phases()[f"m[{i}]"] for i in (1, 3, 5, 6, 7)] == ["ABORTED"] * 5


async def test_an_abort_reaches_every_shard_and_its_items(stage: Stage) -> None:
    closure, seen = mapped(range(8)), Attempted(waits)
    given = of(closure, "aborted-shards")
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await begun(seen, 8)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 30)
        states = [await stage.client.get_workflow_handle(f"aborted-shards.m.{i}").describe() for i in (0, 6)]
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED
    assert [s.status.name for s in states if s.status] == ["CANCELED", "CANCELED"]
    assert set(seen.phases().values()) == {"ABORTED"}
    assert seen.at_once == 0


async def test_a_shard_that_somebody_terminates_fails_the_map_and_stops_the_rest(stage: Stage) -> None:
    closure, seen = mapped(range(4)), Attempted(waits)
    given = of(closure, "terminated-shard")
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await begun(seen, 4)
        await stage.client.get_workflow_handle("terminated-shard.m.0").terminate("by hand")
        state = await stage.engine.wait(given.request.id, 30)
    assert state is not None
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("ShardAborted", "m")


@pytest.mark.parametrize("node", ["m[5]", "m"])
async def test_the_abort_of_a_node_finds_the_shard_that_has_it(stage: Stage, node: str) -> None:
    closure, seen = mapped(range(8)), Attempted(waits)
    name = "aborted-item" if "[" in node else "aborted-map"
    given = of(closure, name)
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await begun(seen, 8)
        await stage.engine.abort_node(given.request.id, NodeAbort(node=node, reason="no use", by="ann"))
        state = await stage.engine.wait(given.request.id, 30)
    assert state is not None
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", node)
    assert seen.at_once == 0


async def test_shards_of_a_run_that_somebody_terminates_are_found_and_stopped(stage: Stage) -> None:
    closure, seen = mapped(range(4)), Attempted(waits)
    given = of(closure, "terminated-root")
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await begun(seen, 4)
        await stage.client.get_workflow_handle("terminated-root").terminate("by hand")
        left = 0
        while left < 2:
            # Temporal's list of runs is a moment behind.
            left += await stage.engine.abort_left(given.request.id, "its execution has ended")
            await asyncio.sleep(0.05)
        for first in (0, 2):
            shard = given.request.id.model_copy(update={"name": f"terminated-root.m.{first}"})
            ended = await stage.engine.wait(shard, 30)
            assert ended is not None
            assert ended.phase is ExecutionPhase.ABORTED
    assert seen.at_once == 0


@pytest.mark.parametrize("most", [1, 3, 6])
async def test_shards_share_what_the_execution_may_do_at_once(stage: Stage, most: int) -> None:
    full = asyncio.Event()

    async def slow(request: AttemptRequest) -> int:
        # None ends before as many are at work as may be; so the most that are ever at work are seen.
        if seen.at_once == most:
            full.set()
        await full.wait()
        await asyncio.sleep(0.03)
        return await arithmetic(request)

    closure, seen = mapped(range(20)), Attempted(slow)
    given = of(closure, f"shares-{most}", shard=4)
    request = given.request.model_copy(update={"max_parallelism": most})
    state = await stage.run(given.model_copy(update={"request": request}), closure, seen)
    assert plain(state.outputs["o0"]) == list(range(1, 21))
    assert seen.most_at_once == most


async def test_items_are_retried_in_their_shard_and_the_map_has_its_handler(stage: Stage) -> None:
    tries: list[tuple[str, int]] = []

    async def behave(request: AttemptRequest) -> int:
        tries.append((request.attempt.node, request.attempt.number))
        if request.attempt.node == "m[3]" and request.attempt.number == 1:
            raise failing(user_error().model_copy(update={"kind": ErrorKind.SYSTEM}))
        if request.attempt.node == "m[4]":
            raise failing(user_error("four", recoverable=False))
        return await arithmetic(request)

    closure = mapped(range(5), concurrency=1)
    main = closure.workflows["shapes.mapped"]
    array = main.nodes[0].model_copy(update={"on_failure": TaskTarget(task="shapes.handler")})
    handler = closures.task("shapes.handler")
    closure = closure.model_copy(
        update={
            "workflows": {main.name: main.model_copy(update={"nodes": (array,)})},
            "tasks": {**closure.tasks, handler.name: handler},
        }
    )
    state = await stage.run(of(closure, "retried-items"), closure, Attempted(behave))
    assert state.error is not None
    assert (state.error.node, state.error.message) == ("m[4]", "four")
    assert [t for t in tries if t[0] in {"m[3]", "m.efn"}] == [("m[3]", 1), ("m[3]", 2), ("m.efn", 1)]


def within(node: Node, name: str = "shapes.inner") -> Any:
    return closures.workflow(name, [node], closures.out(node.id))


async def test_maps_in_items_of_maps_are_in_shards_too(stage: Stage) -> None:
    inner = Node(
        id="k",
        target=ArrayTarget(item=TaskTarget(task=closures.JOIN), over=("x",)),
        inputs={"x": Constant(value=[10, 20, 30]), "y": InputRef(name="x")},
    )
    total = Node(id="t", target=TaskTarget(task=closures.TOTAL), inputs={"values": closures.out("k")})
    workflow = closures.workflow("shapes.inner", [inner, total], closures.out("t"))
    closure = summed(Constant(value=[1, 2, 3]), WorkflowTarget(workflow="shapes.inner"))
    closure = closure.model_copy(update={"workflows": {**closure.workflows, workflow.name: workflow}})
    seen = Attempted()
    state = await stage.run(of(closure, "nested-shards", shard=1), closure, seen)
    assert state.outputs == {"o0": Inline(value=sum(60 + 3 * x + 3 for x in (1, 2, 3)))}
    assert seen.phases()["m[2].k[1]"] == "SUCCEEDED"
    found = await stage.client.get_workflow_handle("nested-shards.m-2.k.1").describe()
    assert found.parent_id == "nested-shards.m.2"


async def test_a_map_that_a_dynamic_task_gives_runs_from_its_own_closure(stage: Stage) -> None:
    task = closures.task("shapes.dynamic", "x").model_copy(update={"type": "dynamic"})
    node = Node(id="d", target=TaskTarget(task=task.name), inputs={"x": InputRef(name="x")})
    outer = closures.closure(closures.workflow("shapes.gives", [node], closures.out("d")), task)
    given = summed(Constant(value=[1, 2, 3]))

    async def emits(request: AttemptRequest) -> Any:
        if request.task == "shapes.dynamic":
            return AttemptResult(spec=digest(given), closure=given)
        return await arithmetic(request)

    seen = Attempted(emits)
    state = await stage.run(of(outer, "dynamic-shards"), outer, seen)
    assert state.outputs == {"o0": Inline(value=9)}
    assert {r.spec for r in seen.requests if r.attempt.node.startswith("d.m[")} == {digest(given)}


async def test_launch_plans_in_shards_are_executions_of_the_same_parent(stage: Stage) -> None:
    closure = planned()
    array = Node(
        id="m",
        target=ArrayTarget(item=LaunchPlanTarget(launch_plan="shapes.plan"), over=("x",)),
        inputs={"x": Constant(value=[1, 2, 3])},
    )
    main = closures.workflow("shapes.parent", [array], closures.out("m"))
    closure = closure.model_copy(update={"workflows": {**closure.workflows, main.name: main}})
    stage.store_closure(closure)
    given = of(closure, "plans-in-shards")
    state = await stage.run(given, closure)
    assert plain(state.outputs["o0"]) == [102, 103, 104]
    child = stage.store.execution(given.request.id.model_copy(update={"name": "plans-in-shards.m-2"}))
    assert child is not None
    assert child.request.parent is not None
    assert (child.request.parent.execution, child.request.parent.node) == ("plans-in-shards", "m[2]")


async def test_a_map_over_what_a_map_gave(stage: Stage) -> None:
    first = summed(Constant(value=list(range(7))))
    main = first.workflows["shapes.summed"]
    again = Node(
        id="k",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",)),
        inputs={"x": OutputRef(node="m", name="o0")},
    )
    main = main.model_copy(
        update={
            "nodes": (main.nodes[0], again),
            "outputs": (
                OutputBinding(name="o0", binding=closures.out("k")),
                OutputBinding(name="o1", binding=OutputRef(node="m", name="o0", path=(-1,))),
            ),
        }
    )
    closure = first.model_copy(update={"workflows": {main.name: main}})
    state = await stage.run(of(closure, "map-of-map", shard=3), closure)
    assert plain(state.outputs["o0"]) == list(range(2, 9))
    assert state.outputs["o1"] == Inline(value=7, type=state.outputs["o1"].type)


@pytest.mark.row(39)
async def test_many_items_leave_a_short_history_and_few_states(stage: Stage) -> None:
    """Row 39 of reliability.md, as far as the interpreter goes."""
    closure, count = summed(InputRef(name="x")), 2_000
    given = of(closure, "many-items", shard=200)
    request = given.request.model_copy(update={"inputs": {"x": Inline(value=list(range(count)))}})
    seen = Attempted()

    async def behave(request: AttemptRequest) -> int:
        if request.task != closures.TOTAL:
            return await arithmetic(request)
        return sum(stage.read(request.inputs["values"], LIST))

    seen.behaviour = behave
    state = await stage.run(given.model_copy(update={"request": request}), closure, seen)
    assert state.outputs == {"o0": Inline(value=sum(range(1, count + 1)))}
    found = await stage.client.get_workflow_handle("many-items").describe()
    assert found.history_length < 200
    assert len({r.attempt.node for r in seen.requests}) == len(seen.requests) == count + 1


async def test_an_item_that_fails_where_it_is_allowed_is_none(stage: Stage) -> None:
    closure = mapped(range(6), min_success_ratio=0.5)
    state = await stage.run(of(closure, "tolerant"), closure, Attempted(odd_fail))
    assert plain(state.outputs["o0"]) == [1, None, 3, None, 5, None]


@pytest.mark.row(38)
@pytest.mark.parametrize("seed", [3, 6])
async def test_a_random_dag_ends_alike_in_shards_that_continue_as_new_as_without(
    stage: Stage, seed: int
) -> None:
    closure = dags.random_dag(seed, 28, wrong=seed % 4 == 3)
    seen = []
    for name, limits in (("plain", RunLimits()), ("cut", RunLimits(shard=2, history_events=4 + seed))):
        launched = Launched(stage, dags.work)
        given = launched.prepared(closure, f"{name}-{seed}", 1, limits)
        state = await launched.run(closure, f"{name}-{seed}", 1, limits)
        assert launched.doubled() == []
        nodes = {path: essence(node) for path, node in launched.nodes(given).items()}
        seen.append((state.phase, state.outputs, nodes))
    assert seen[0] == seen[1]


async def test_failures_and_results_of_shards_survive_continuing_as_new(stage: Stage) -> None:
    async def work(order: AttemptOrder) -> int:
        if plain(order.inputs["x"]) % 4 == 3:
            raise Failed(user_error(order.attempt.node, recoverable=False))
        return await slowly(order)

    closure, launched = mapped(range(80), min_successes=60, concurrency=8), Launched(stage, work)
    limits = RunLimits(shard=8, history_events=10)
    state = await launched.run(closure, "carried-shards", 1, limits)
    assert plain(state.outputs["o0"]) == [None if x % 4 == 3 else x + 1 for x in range(80)]
    assert launched.doubled() == []
    assert len(await histories(stage, "carried-shards")) > 1
    shards = [await histories(stage, f"carried-shards.m.{first}") for first in range(0, 80, 8)]
    assert any(len(runs) > 1 for runs in shards)
    # One failure more than is allowed, and it is the sum over all runs of all shards that tells.
    closure = mapped(range(80), min_successes=61, concurrency=8)
    state = await Launched(stage, work).run(closure, "carried-failures", 1, limits)
    assert state.error is not None
    assert state.error.code == "UserCodeError"
    assert len(state.error.others) == 19


async def test_an_abort_reaches_shards_that_an_earlier_run_has_started(stage: Stage) -> None:
    running: list[str] = []

    async def work(order: AttemptOrder) -> int:
        if order.attempt.node.startswith("m"):
            running.append(order.attempt.node)
            await asyncio.Event().wait()
        return await slowly(order)

    steps = [closures.step(f"s{i}", closures.out(f"s{i - 1}") if i else 1) for i in range(20)]
    array = mapped(range(4)).workflows["shapes.mapped"].nodes[0]
    closure = one("shapes.beside", [array, *steps], closures.out("s19"))
    launched = Launched(stage, work, grace_s=0.1)
    given = launched.prepared(closure, "followed-shards", 1, RunLimits(shard=2, history_events=10))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        while "s19" not in launched.nodes(given) or len(running) < 4:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.05)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 30)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED
    assert len(await histories(stage, "followed-shards")) > 1
    nodes = launched.nodes(given)
    assert {nodes[f"m[{i}]"].phase for i in range(4)} == {NodePhase.ABORTED}
    shard = await stage.client.get_workflow_handle("followed-shards.m.2").describe()
    assert shard.status is WorkflowExecutionStatus.CANCELED
