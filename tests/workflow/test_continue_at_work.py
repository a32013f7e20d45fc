"""What is under way when a run continues as new: attempts, children, gates, pauses, aborts, messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.control.endings import Endings
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.bindings import InputRef, ListOf
from flyte_temporal.spec.calls import STOP, AttemptRequest, GateAnswer, NodeAbort, StopRequest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase, GateReply, NodePhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import GateTarget, Node, TaskTarget
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.search import PHASE, SEARCH_ATTRIBUTES
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, temporal_program, user_error
from tests.workflow.conftest import arithmetic as arithmetic_of
from tests.workflow.launched import Failed, Launched, arithmetic, histories
from tests.workflow.test_structures import one, planned


def beside(closure: Closure, length: int) -> Closure:
    """Return a closure with a chain beside its nodes, so that its runs have something to continue with."""
    chain = [closures.step("c0", InputRef(name="x"))]
    chain += [closures.step(f"c{i}", closures.out(f"c{i - 1}")) for i in range(1, length)]
    main = closure.main()
    main = main.model_copy(update={"nodes": (*main.nodes, *chain)})
    return closure.model_copy(update={"workflows": {**closure.workflows, main.name: main}})


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - it is asked of a server
            await asyncio.sleep(0.1)


async def runs_of(stage: Stage, name: str, at_least: int, seconds: float = 30.0) -> None:
    """Wait until an execution has had so many runs."""

    seen: set[str] = set()

    async def enough() -> bool:
        # Cheaper than to read histories, of a server that is busy with just this execution.
        description = await stage.client.get_workflow_handle(name).describe()
        seen.update((description.run_id, description.raw_description.workflow_execution_info.first_run_id))
        return len(seen) >= at_least

    await until(enough, seconds)


class Held:
    """Tasks that wait until they are let go: those whose path begins with a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.free = asyncio.Event()

    async def __call__(self, order: AttemptOrder) -> Any:
        if order.attempt.node.startswith(self.prefix):
            await self.free.wait()
        return await arithmetic(order)


@pytest.mark.row(38)
async def test_attempts_that_no_worker_has_taken_up_are_simply_started(stage: Stage) -> None:
    launched = Launched(stage)
    limits = RunLimits(history_events=8)
    state = await launched.run(closures.fan_out(25), "slots", 1, limits, max_concurrent_activities=2)
    assert state.outputs == {"o0": Inline(value=50)}
    assert len(await histories(stage, "slots")) > 1
    assert launched.doubled() == []
    assert len(launched.machine.started) == 26


@pytest.mark.row(38)
async def test_a_run_with_200_attempts_at_work_is_continued(stage: Stage) -> None:
    held = Held("n")
    launched = Launched(stage, held)
    closure = beside(closures.fan_out(200), 60)

    async def all_at_work() -> bool:
        return len(launched.machine.running) >= 200

    given = launched.prepared(closure, "many", 1, RunLimits(window=50, history_events=300, pending=201))
    async with stage.worker(launched, max_concurrent_activities=500):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        await until(all_at_work, 240)
        await runs_of(stage, "many", 2, 240)
        held.free.set()
        state = await stage.engine.wait(given.request.id, 120)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=400)}
    assert launched.doubled() == []
    assert len(launched.machine.started) == 261
    assert len(await histories(stage, "many")) > 1


@pytest.mark.row(38)
async def test_temporals_own_suggestion_is_followed(stage: Stage, tmp_path: Any) -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_program(),
        dev_server_extra_args=[
            "--dynamic-config-value",
            "limit.historyCount.suggestContinueAsNew=60",
            *(part for name in SEARCH_ATTRIBUTES for part in ("--search-attribute", f"{name}=Keyword")),
        ],
    )
    try:
        config = stage.client.config()
        client = await Client.connect(
            environment.client.service_client.config.target_host, data_converter=config["data_converter"]
        )
        engine = TemporalEngine(client, stage.queue, task_timeout_s=17)
        own = Stage(client, engine, stage.queue, stage.blobs, stage.scratch)
        launched = Launched(own)
        state = await launched.run(closures.layers(10, 12), "suggested")
        assert state.phase is ExecutionPhase.SUCCEEDED
        runs = await histories(own, "suggested")
        assert len(runs) > 2
        assert launched.doubled() == []
        handle = client.get_workflow_handle("suggested")
        last = await handle.describe()
        began = runs[0].events[0].workflow_execution_started_event_attributes.original_execution_run_id
        first = await client.get_workflow_handle("suggested", run_id=began).describe()
        own_attributes = {pair.key.name: pair.value for pair in last.typed_search_attributes}
        assert own_attributes[PHASE] == "SUCCEEDED"
        assert set(own_attributes) >= {pair.key.name for pair in first.typed_search_attributes}
        timeout = last.raw_description.execution_config.default_workflow_task_timeout.ToTimedelta()
        assert timeout == timedelta(seconds=17)
        assert last.workflow_type == "shapes.layers"
    finally:
        await environment.shutdown()


@pytest.mark.parametrize("ends", ["well", "badly"])
async def test_a_child_goes_on_and_its_end_reaches_a_later_run(stage: Stage, ends: str) -> None:
    held = Held("n0")

    async def work(order: AttemptOrder) -> Any:
        value = await held(order)
        if ends == "badly" and order.attempt.execution.name.endswith(".lp"):
            raise Failed(user_error("boom", recoverable=False))
        return value

    launched = Launched(stage, work)
    closure = beside(planned(), 40)
    name = f"above-{ends}"
    given = launched.prepared(closure, name, 1, RunLimits(history_events=6))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        await runs_of(stage, name, 3)
        held.free.set()
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    nodes = launched.nodes(given)
    child = launched.store.execution(given.request.id.model_copy(update={"name": f"{name}.lp"}))
    assert child is not None
    if ends == "well":
        assert state.outputs == {"o0": Inline(value=1 + 100 + 1 + 1)}
        assert (nodes["lp"].phase, child.phase) == (NodePhase.SUCCEEDED, ExecutionPhase.SUCCEEDED)
    else:
        assert state.error is not None
        assert (state.error.code, state.error.node) == ("UserCodeError", "lp")
        assert state.error.message == f"The execution {name}.lp failed: boom"
        assert (nodes["lp"].phase, child.phase) == (NodePhase.FAILED, ExecutionPhase.FAILED)
    assert launched.doubled() == []


@pytest.mark.parametrize("moment", ["later", "at once"])
async def test_an_abort_after_a_change_of_runs_stops_attempts_and_children(stage: Stage, moment: str) -> None:
    held = Held("n0")
    launched = Launched(stage, held)
    name = f"stopped-{moment[0]}"
    closure = beside(planned(), 400)
    long = closures.step("n0", InputRef(name="x"))
    main = closure.main().model_copy(update={"nodes": (*closure.main().nodes, long)})
    closure = closure.model_copy(update={"workflows": {**closure.workflows, main.name: main}})
    given = launched.prepared(closure, name, 1, RunLimits(history_events=6, heartbeat_timeout_s=2))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        await runs_of(stage, name, 2)
        if moment == "later":
            await asyncio.sleep(0.5)
        await stage.engine.abort(given.request.id, "enough")
        state = await stage.engine.wait(given.request.id, 60)
        child = given.request.id.model_copy(update={"name": f"{name}.lp"})
        below = await stage.engine.wait(child, 20)
        running = [key for key, task in launched.machine.running.items() if not task.done()]
        await launched.records.flush()
    assert state is not None
    assert below is not None
    assert (state.phase, below.phase) == (ExecutionPhase.ABORTED, ExecutionPhase.ABORTED)
    assert running == []
    nodes = launched.nodes(given)
    assert (nodes["n0"].phase, nodes["lp"].phase) == (NodePhase.ABORTED, NodePhase.ABORTED)
    record = launched.store.execution(given.request.id)
    assert record is not None
    assert (record.phase, record.abort_reason) == (ExecutionPhase.ABORTED, "enough")


class Doubted(Attempted):
    """Nobody has the attempt of `n0` at any moment, so Temporal ends it by itself; it is not seen to be over before it is let go."""

    def __init__(self) -> None:
        super().__init__(self._work)
        self.go_on, self.free = asyncio.Event(), asyncio.Event()

    async def _work(self, request: AttemptRequest) -> int:
        if request.attempt.node == "n0":
            raise ApplicationError("the worker has gone", next_retry_delay=timedelta(hours=1))
        if request.attempt.node == "c3":
            await self.go_on.wait()
        return await arithmetic_of(request)

    @activity.defn(name=STOP)
    async def stop(self, request: StopRequest) -> None:
        await super().stop(request)
        await self.free.wait()

    def tries(self) -> int:
        return sum(request.attempt.node == "n0" for request in self.requests)


async def test_an_attempt_that_is_being_seen_to_end_is_not_asked_for_again_by_the_next_run(
    stage: Stage,
) -> None:
    seen = Doubted()
    closure = beside(one("shapes.doubted", [closures.step("n0", 1)], None), 60)
    stage.store_closure(closure)
    given = closures.run_input(closure, "doubted", 1, RunLimits(history_events=6))
    handle = stage.client.get_workflow_handle("doubted")

    async def nobody_has_it() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        tried = [each.attempt for each in pending if each.activity_id.startswith("n0#")]
        return tried == [2] and any(request.attempt.node == "c3" for request in seen.requests)

    async def stopping() -> bool:
        return bool(seen.stops)

    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await until(nobody_has_it)
        await stage.engine.abort_node(given.request.id, NodeAbort(node="n0"))
        await until(stopping)
        tries = seen.tries()
        seen.go_on.set()
        before = len(await histories(stage, "doubted"))
        await runs_of(stage, "doubted", before + 2)
        seen.free.set()
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", "n0")
    assert seen.tries() == tries
    assert len(seen.stops) > 1, "the next run sees to it"


async def test_answers_count_however_often_the_run_continues(stage: Stage) -> None:
    """Half of them come before their gate is reached; they come in while runs change."""
    gates = [
        Node(
            id=f"g{i}", target=GateTarget(gate="input", name=f"gate {i}", type=INTEGER), after=(f"c{i * 3}",)
        )
        for i in range(10)
    ]
    values = ListOf(items=tuple(closures.out(gate.id) for gate in gates))
    total = Node(id="t", target=TaskTarget(task=closures.TOTAL), inputs={"values": values})
    closure = beside(one("shapes.asked", [*gates, total], closures.out("t")), 31)
    launched = Launched(stage)
    given = launched.prepared(closure, "asked", 1, RunLimits(history_events=6))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        for i in (9, 1, 8, 0, 2, 7, 3, 4, 6, 5):
            answer = GateAnswer(gate=f"gate {i}", reply=GateReply(value=10**i % 1_000_003, by="ann"))
            await stage.engine.answer(given.request.id, answer)
            await asyncio.sleep(0.1)
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=sum(10**i % 1_000_003 for i in range(10)))}
    assert len(await histories(stage, "asked")) > 3
    nodes = launched.nodes(given)
    assert all(nodes[gate.id].reply is not None for gate in gates)


async def test_a_terminated_execution_shows_also_what_the_run_has_forgotten(stage: Stage) -> None:
    held = Held("c20")
    launched = Launched(stage, held)
    closure = beside(one("shapes.cut", [closures.step("n0", 1)], None), 30)

    async def begun() -> bool:
        return any("/c20/" in key for key in launched.machine.started)

    given = launched.prepared(closure, "cut", 1, RunLimits(history_events=6))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        await until(begun)
        live = {node.id for node in await stage.engine.nodes(given.request.id)}
        await stage.client.get_workflow_handle("cut").terminate("by hand")
        state = await stage.engine.wait(given.request.id, 20)
        assert state is not None
        await launched.records.flush()
        await Endings(stage.engine, launched.store, SystemClock()).write(given.request.id, state)
    assert "c0" not in live
    assert {"c20", "c29"} <= live
    phases = {path: node.phase for path, node in launched.nodes(given).items()}
    assert (phases["c0"], phases["c19"]) == (NodePhase.SUCCEEDED, NodePhase.SUCCEEDED)
    assert (phases["c20"], phases["c29"]) == (NodePhase.ABORTED, NodePhase.SKIPPED)
    held.free.set()


async def test_the_details_count_what_is_over(stage: Stage) -> None:
    held = Held("n49")
    launched = Launched(stage, held)
    closure = beside(closures.fan_out(50), 12)
    given = launched.prepared(closure, "counted", 1, RunLimits(history_events=20))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        handle = stage.client.get_workflow_handle("counted")

        async def counted() -> bool:
            text = str(await handle.query("__temporal_workflow_metadata"))
            return "63 nodes: 1 QUEUED, 1 RUNNING, 61 SUCCEEDED" in text

        await until(counted)
        held.free.set()
        await stage.engine.wait(given.request.id, 60)
    assert len(await histories(stage, "counted")) > 1
