"""Nodes that are held instead of failing, and paused runs, on a real Temporal; the activities are the tests' own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.common import SearchAttributeKey

from flyte_temporal.errors import Conflict, InvalidInputs, NotFound
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.cache import CacheEntry, interface_digest
from flyte_temporal.spec.calls import AttemptRequest, GateAnswer, NodeAbort
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    Environment,
    ExecutionPhase,
    Fix,
    GateReply,
    MendedTask,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, Node, TaskTarget
from flyte_temporal.spec.policies import (
    CacheSettings,
    Resources,
    ResourceValues,
    RetryPolicy,
    TaskPolicy,
    Timeouts,
)
from flyte_temporal.spec.repairs import (
    GiveUp,
    NodeRetry,
    NodeSkip,
    Pause,
    RepairState,
)
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.search import PHASE
from flyte_temporal.spec.types import BOOLEAN
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic, user_error
from tests.workflow.test_failures import hold, replayed, tasks
from tests.workflow.test_interpreter import failing, until
from tests.workflow.test_structures import dynamic, emits, gated, one


@dataclass
class Story:
    """A run with somebody who repairs it."""

    stage: Stage
    seen: Attempted
    id: ExecutionId

    async def ask(self, wish: NodeRetry | NodeSkip | GiveUp | Pause) -> RepairState:
        return await self.stage.engine.repair(self.id, wish)

    async def held(self, *nodes: str) -> RepairState:
        """Wait until just these nodes are held."""
        return await self.until(lambda state: sorted(h.node for h in state.held) == sorted(nodes))

    async def until(self, condition: Callable[[RepairState], bool]) -> RepairState:
        async with asyncio.timeout(30):
            while not condition(state := await self.stage.engine.repairs(self.id)):  # noqa: ASYNC110 - the run is asked
                await asyncio.sleep(0.02)
        return state

    async def end(self) -> RunState:
        state = await self.stage.engine.wait(self.id, 60)
        assert state is not None, "the run did not end"
        await replayed(self.stage, self.id.name)
        return state

    def tries(self, node: str) -> int:
        return sum(r.attempt.node == node for r in self.seen.requests)

    def last(self, node: str) -> NodeRecord:
        return [n for change in self.seen.records for n in change.nodes if n.id == node][-1]


@asynccontextmanager
async def story(
    stage: Stage,
    closure: Closure,
    behave: Any,
    x: int = 0,
    *,
    pausing: bool = True,
    limits: RunLimits | None = None,
) -> AsyncIterator[Story]:
    stage.store_closure(closure)
    given = closures.run_input(closure, f"r-{stage.name}", x, limits)
    given = given.model_copy(
        update={"request": given.request.model_copy(update={"pause_on_failure": pausing})}
    )
    seen = Attempted(behave)
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        yield Story(stage, seen, given.request.id)


def fails(*nodes: str, below: int = 2) -> Any:
    """Return a behaviour by which these nodes fail until their attempt of this number."""

    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.node in nodes and request.attempt.number < below:
            raise failing(user_error(f"{request.attempt.node} is broken"))
        return await emits(request)

    return behave


async def phase_in_temporal(told: Story) -> Any:
    description = await told.stage.client.get_workflow_handle(told.id.name).describe()
    return description.typed_search_attributes.get(SearchAttributeKey.for_keyword(PHASE))


async def test_a_held_node_is_tried_again_and_what_had_finished_is_not(stage: Stage) -> None:
    async with story(stage, closures.chain(3), fails("n1")) as told:
        state = await told.held("n1")
        assert state.phase is ExecutionPhase.PAUSED
        assert (state.held[0].attempts, state.held[0].error and state.held[0].error.message) == (
            1,
            "n1 is broken",
        )
        await until(lambda: any(c.phase is ExecutionPhase.PAUSED for c in told.seen.records))
        assert told.last("n1").phase.value == "PAUSED"
        assert await phase_in_temporal(told) == "PAUSED"
        shown = await stage.client.get_workflow_handle(told.id.name).query(
            "__temporal_workflow_metadata", result_type=dict
        )
        assert f"flyte-temporal retry {told.id.name} n1" in str(shown)
        found = await told.ask(NodeRetry(node="n1", by="ann"))
        assert (found.phase, found.touched) == (ExecutionPhase.RUNNING, ("n1",))
        done = await told.end()
    assert done.outputs == {"o0": Inline(value=3)}
    assert [told.tries(f"n{i}") for i in range(3)] == [1, 2, 1]
    repaired = told.last("n1").repairs
    assert [(r.kind, r.by, bool(r.at)) for r in repaired] == [("retry", "ann", True)]
    assert told.seen.requests[-1].attempt.number == 1
    assert [c.phase for c in told.seen.records if c.phase][-1] is ExecutionPhase.SUCCEEDED


async def test_the_budget_is_fresh_and_resources_are_given(stage: Stage) -> None:
    task, nodes = tasks(TaskPolicy(retries=RetryPolicy(count=1)), "n0")
    closure = closures.closure(closures.workflow("shapes.budget", nodes, closures.out("n0")), task)
    async with story(stage, closure, fails("n0", below=4)) as told:
        await told.held("n0")
        assert told.tries("n0") == 2
        side = ResourceValues(mem="2Gi", cpu="2")
        await told.ask(NodeRetry(node="n0", resources=Resources(requests=side, limits=side)))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    assert [r.attempt.number for r in told.seen.requests] == [1, 2, 3, 4]
    given = [r.changes().resources for r in told.seen.requests]
    assert [g and (g.limits.mem, g.limits.cpu) for g in given] == [None, None, ("2Gi", "2"), ("2Gi", "2")]
    assert told.last("n0").repairs[0].note == "cpu=2, mem=2Gi"


async def test_several_are_held_while_the_rest_goes_on(stage: Stage) -> None:
    async with story(stage, closures.fan_out(5), fails("n1", "n3")) as told:
        await told.held("n1", "n3")
        await until(lambda: len({r.attempt.node for r in told.seen.requests}) == 5)
        state = await told.ask(NodeRetry(node="n3"))
        assert state.phase is ExecutionPhase.PAUSED
        await told.held("n1")
        await told.ask(NodeRetry())
        assert (await told.end()).outputs == {"o0": Inline(value=5)}


async def test_a_skipped_node_gives_what_somebody_says(stage: Stage) -> None:
    async with story(stage, closures.chain(3), fails("n1", below=99)) as told:
        await told.held("n1")
        with pytest.raises(InvalidInputs, match=r"node n1 \(n1\) needs o0. Its outputs: o0"):
            await told.ask(NodeSkip(node="n1"))
        with pytest.raises(InvalidInputs, match="has no output o7"):
            await told.ask(NodeSkip(node="n1", outputs={"o7": Inline(value=1)}))
        await told.ask(NodeSkip(node="n1", outputs={"o0": Inline(value=40)}, by="bob"))
        assert (await told.end()).outputs == {"o0": Inline(value=41)}
    found = told.last("n1")
    assert (found.phase.value, found.repairs[0].kind, found.repairs[0].by) == ("SKIPPED", "skip", "bob")


async def test_given_up_nodes_fail_and_handlers_act(stage: Stage) -> None:
    handler = closures.task("shapes.handler", "x")
    nodes = [closures.step("n0", 1), closures.step("n1", closures.out("n0"))]
    spec = closures.workflow("shapes.handled", nodes, closures.out("n1"))
    spec = spec.model_copy(update={"on_failure": TaskTarget(task=handler.name)})
    async with story(stage, closures.closure(spec, handler), fails("n0", below=99)) as told:
        await told.held("n0")
        await told.ask(GiveUp(by="ann", reason="no use"))
        done = await told.end()
    assert (done.phase, done.error and done.error.message) == (ExecutionPhase.FAILED, "n0 is broken")
    assert [r.task for r in told.seen.requests] == [closures.STEP, handler.name]
    assert [(r.kind, r.note) for r in told.last("n0").repairs] == [("fail", "no use")]


async def test_what_is_not_held_is_refused_before_the_history(stage: Stage) -> None:
    async with story(stage, closures.fan_out(2), fails("n1")) as told:
        await told.held("n1")
        await until(lambda: told.tries("n0") == 1)
        with pytest.raises(NotFound, match=r"no node 'nope'. Held nodes: n1 \(n1\)"):
            await told.ask(NodeRetry(node="nope"))
        with pytest.raises(Conflict, match=r"n0 \(n0\) is not held: it is"):
            await told.ask(NodeSkip(node="n0"))
        await told.ask(NodeRetry(node="n1"))
        await told.end()
    history = await stage.client.get_workflow_handle(told.id.name).fetch_history()
    names = [
        e.workflow_execution_update_accepted_event_attributes.accepted_request.input.name
        for e in history.events
        if e.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    assert names == ["retry"]


async def test_without_held_nodes_there_is_nothing_to_give_up(stage: Stage) -> None:
    async with story(stage, closures.chain(1), hold) as told:
        with pytest.raises(Conflict, match="flyte-temporal abort"):
            await told.ask(GiveUp())
        await stage.engine.abort(told.id, "over")
        assert (await told.end()).phase is ExecutionPhase.ABORTED


def mapped(**options: Any) -> Closure:
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",), **options),
        inputs={"x": Constant(value=[1, 2, 3])},
    )
    return one("shapes.mapped", [array], None)


async def test_items_of_a_map_are_held_and_tried_again_together(stage: Stage) -> None:
    async with story(stage, mapped(), fails("m[0]", "m[2]")) as told:
        await told.held("m[0]", "m[2]")
        found = await told.ask(NodeRetry(node="m"))
        assert found.touched == ("m[0]", "m[2]")
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    assert [told.tries(f"m[{i}]") for i in range(3)] == [2, 1, 2]


async def test_an_item_that_may_fail_is_not_held(stage: Stage) -> None:
    async with story(stage, mapped(min_successes=2), fails("m[0]", "m[2]", below=9)) as told:
        state = await told.until(lambda state: len(state.held) == 1)
        await until(lambda: sorted(told.seen.phases().values()).count("FAILED") == 1)
        await told.ask(NodeSkip(node=state.held[0].node, outputs={"o0": Inline(value=0)}))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_nodes_of_dynamic_tasks_are_held(stage: Stage) -> None:
    async with story(stage, dynamic(), fails("d.n1"), 2) as told:
        await told.held("d.n1")
        await told.ask(NodeRetry(node="d"))
        assert (await told.end()).outputs == {"o0": Inline(value=4)}
    assert told.tries("d") == 1


@pytest.mark.parametrize(
    ("closure", "holder", "held", "x"),
    [(dynamic(), "d", "d.n1", 2), (mapped(), "m", "m[1]", 0)],
    ids=["dynamic", "map"],
)
async def test_what_holds_the_one_held_node_is_not_skipped_with_its_outputs(
    stage: Stage, closure: Closure, holder: str, held: str, x: int
) -> None:
    """Its outputs are others: the value would become that of a node of another type."""
    async with story(stage, closure, fails(held), x) as told:
        await told.held(held)
        with pytest.raises(
            Conflict, match=rf"{holder} is not held itself: what failed in it is {re.escape(held)} "
        ):
            await told.ask(NodeSkip(node=holder, outputs={"o0": Inline(value=7)}))
        await told.held(held)
        await told.ask(NodeRetry(node=held))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_a_rejected_gate_can_be_asked_once_more(stage: Stage) -> None:
    gate = Node(
        id="g",
        target=GateTarget(gate="approve", name="ok", type=BOOLEAN),
        inputs={"value": Constant(value=True)},
    )
    async with story(stage, one("shapes.gated", [gate], None), arithmetic) as told:
        await stage.engine.answer(told.id, GateAnswer(gate="ok", reply=GateReply(approved=False)))
        await told.held("g")
        await told.ask(NodeRetry(node="g"))
        await stage.engine.answer(told.id, GateAnswer(gate="ok", reply=GateReply(approved=True)))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_a_gate_that_is_held_takes_no_answer_that_its_retry_would_forget(stage: Stage) -> None:
    gate = GateTarget(gate="approve", name="ok", type=BOOLEAN, timeout_s=1.5)
    closure = gated(gate, {"value": Constant(value=True)})
    yes = GateAnswer(gate="ok", reply=GateReply(approved=True))
    async with story(stage, closure, arithmetic) as told:
        await told.held("g")
        with pytest.raises(
            Conflict, match=rf"is held. Let it ask again, then answer: .* retry {told.id.name} g[.]"
        ):
            await stage.engine.answer(told.id, yes)
        await told.ask(NodeRetry(node="g"))
        await stage.engine.answer(told.id, yes)
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_a_gate_that_was_held_before_continuing_as_new_takes_an_answer_once_it_is_tried_again(
    stage: Stage,
) -> None:
    gate = GateTarget(gate="approve", name="ok", type=BOOLEAN, timeout_s=1)
    closure = gated(gate, {"value": Constant(value=True)})
    async with story(stage, closure, arithmetic, limits=RunLimits(history_events=3)) as told:
        await told.held("g")
        handle = stage.client.get_workflow_handle(told.id.name)
        first = (await handle.describe()).run_id
        async with asyncio.timeout(30):
            while (await handle.describe()).run_id == first:  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.05)
        await told.ask(Pause(by="ann"))  # so that it is tried again and has not begun to ask
        await told.ask(NodeRetry(node="g"))
        await stage.engine.answer(told.id, GateAnswer(gate="ok", reply=GateReply(approved=True)))
        await told.ask(Pause(ends=True))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_a_time_out_of_the_whole_node_is_held_and_begins_anew(stage: Stage) -> None:
    task, nodes = tasks(TaskPolicy(timeouts=Timeouts(total_s=1)), "n0")
    closure = closures.closure(closures.workflow("shapes.total", nodes, closures.out("n0")), task)

    async def behave(request: AttemptRequest) -> int:
        return 7 if request.attempt.number > 2 else await hold(request)

    async with story(stage, closure, behave) as told:
        for _ in range(2):
            state = await told.held("n0")
            assert state.held[0].error is not None
            assert state.held[0].error.code == "TotalTimedOut"
            await told.ask(NodeRetry(node="n0"))
            await told.until(lambda state: not state.held)
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_what_was_held_after_its_lookup_is_looked_up_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been held for days, and somebody may have computed the same meanwhile."""
    settings = CacheSettings(enabled=True, version="1")
    task, nodes = tasks(TaskPolicy(timeouts=Timeouts(total_s=1), cache=settings), "n0", "n1")
    main = closures.workflow("shapes.places", nodes, None).model_copy(update={"max_parallelism": 1})
    asked, held = list[int](), list[bool]()
    find = stage.catalog.find

    def counted(keys: set[str]) -> dict[str, CacheEntry]:
        asked.append(len(keys))
        return find(keys)

    monkeypatch.setattr(stage.catalog, "find", counted)

    async def behave(request: AttemptRequest) -> int:
        return 7 if held else await hold(request)

    limits = RunLimits(batches="on")
    async with story(stage, closures.closure(main, task), behave, limits=limits) as told:
        await told.held("n0", "n1")
        before = len(asked)
        held.append(True)
        assert told.tries("n1") == 0
        await told.ask(NodeRetry(node="n1"))
        await told.held("n0")
        await until(lambda: told.tries("n1") == 1)
        assert len(asked) == before + 1
        await told.ask(NodeRetry())
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


@pytest.mark.parametrize("how", ["abort", "node"])
async def test_a_held_node_ends_with_what_is_stopped(stage: Stage, how: str) -> None:
    async with story(stage, closures.chain(2), fails("n0", below=99)) as told:
        await told.held("n0")
        if how == "abort":
            await stage.engine.abort(told.id, "enough")
            wanted = ExecutionPhase.ABORTED
        else:
            await stage.engine.abort_node(told.id, NodeAbort(node="n0"))
            wanted = ExecutionPhase.FAILED
        assert (await told.end()).phase is wanted
    assert told.seen.phases() == {"n0": "FAILED", "n1": "SKIPPED"}


def fixed(task: str, closure: Closure, **changes: Any) -> Fix:
    interface = changes.get("interface") or interface_digest(closure.tasks[task].interface)
    cache = changes.get("cache", CacheSettings())
    mended = MendedTask(name=changes.get("name", task), interface=interface, cache=cache)
    return Fix(spec="f" * 64, environment=Environment(interpreter="fixed"), tasks={task: mended})


def signals(history: Any) -> set[str]:
    names = (event.workflow_execution_signaled_event_attributes.signal_name for event in history.events)
    return {name for name in names if name}


async def test_a_paused_run_starts_nothing_and_what_runs_ends(stage: Stage) -> None:
    go = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        while not go.is_set():  # noqa: ASYNC110 - an event would hold up a worker that shuts down
            await asyncio.sleep(0.02)
        return await arithmetic(request)

    async with story(stage, closures.chain(2), behave, pausing=False) as told:
        await until(lambda: told.tries("n0") == 1)
        found = await told.ask(Pause(by="ann", reason="disk full"))
        assert (found.phase, found.pause and found.pause.by) == (ExecutionPhase.PAUSED, "ann")
        again = await told.ask(Pause(by="bob"))
        assert again.pause == found.pause
        go.set()
        await until(lambda: any(c.phase is ExecutionPhase.PAUSED for c in told.seen.records))
        while not any(n.id == "n0" and n.phase.terminal for n in await stage.engine.nodes(told.id)):  # noqa: ASYNC110 - the run is asked
            await asyncio.sleep(0.02)
        assert (told.tries("n1"), await phase_in_temporal(told)) == (0, "PAUSED")
        assert (await told.ask(Pause(ends=True))).phase is ExecutionPhase.RUNNING
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


@pytest.mark.parametrize("how", ["held", "paused"])
async def test_what_waits_outlives_continuing_as_new(stage: Stage, how: str) -> None:
    closure = closures.fan_out(12)
    fix = fixed(closures.STEP, closure, name="fixed.step")

    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.node == "n0" and request.task != "fixed.step":
            raise failing(user_error("n0 is broken"))
        if request.attempt.node != "total":
            await asyncio.sleep(0.05 * int(request.attempt.node[1:]))
        return await arithmetic(request)

    limits = RunLimits(history_events=12, batches="off")
    async with story(stage, closure, behave, limits=limits) as told:
        await told.held("n0")
        if how == "paused":
            await told.ask(Pause(by="ann"))
            await told.ask(NodeRetry(node="n0", fix=fix))
        handle = stage.client.get_workflow_handle(told.id.name)
        first = (await handle.describe()).run_id
        async with asyncio.timeout(30):
            while (await handle.describe()).run_id == first:  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.05)
        state = await stage.engine.repairs(told.id)
        assert state.phase is ExecutionPhase.PAUSED
        if how == "paused":
            assert state.pause is not None
            assert (state.pause.by, told.tries("n0")) == ("ann", 1)
            await told.ask(Pause(ends=True))
        else:
            assert [(h.node, h.error and h.error.message) for h in state.held] == [("n0", "n0 is broken")]
            await told.ask(NodeRetry(node="n0", fix=fix))
        assert (await told.end()).outputs == {"o0": Inline(value=12)}
    assert [c.phase for c in told.seen.records if c.phase][-1] is ExecutionPhase.SUCCEEDED
