"""Gates in a real Temporal: answers, refusals, time-outs, sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio import activity

from flyte_temporal.errors import Conflict, InvalidInputs, NotFound
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.calls import AttemptRequest, GateAnswer
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase, GateReply
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, Node, WorkflowTarget
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic, plain
from tests.workflow.test_structures import gated, one, planned, run

ASK = gated(GateTarget(gate="input", name="how many", type=INTEGER))
APPROVE = gated(GateTarget(gate="approve", name="ok", type=INTEGER), {"value": InputRef(name="x")})


def says(gate: str, **reply: Any) -> GateAnswer:
    return GateAnswer(gate=gate, reply=GateReply(by="ann", **reply))


async def answered(stage: Stage, closure: Closure, *answers: GateAnswer) -> tuple[RunState, Attempted]:
    given = closures.run_input(closure, f"gate-{stage.name}", 5)
    attempted = Attempted()
    async with stage.worker(attempted):
        await stage.engine.start(given, closure)
        await stage.taken(given.request.id.name)
        for each in answers:
            await stage.engine.answer(given.request.id, each)
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    return state, attempted


async def test_a_gate_gives_the_value_that_it_was_answered(stage: Stage) -> None:
    state, seen = await answered(stage, ASK, says("how many", value=41))
    assert state.outputs == {"o0": Inline(value=42)}
    record = next(n for change in seen.records for n in change.nodes if n.id == "g" and n.reply)
    assert record.reply is not None
    assert (record.reply.by, record.reply.value) == ("ann", 41)
    assert record.reply.at is not None


async def test_an_approved_value_passes_and_a_rejected_one_fails(stage: Stage) -> None:
    state, _ = await answered(stage, APPROVE, says("g", approved=True))
    assert state.outputs == {"o0": Inline(value=6)}


async def test_a_rejection_fails_the_node(stage: Stage) -> None:
    state, seen = await answered(stage, APPROVE, says("ok", approved=False))
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("GateRejected", "g")
    assert "ann" in state.error.message
    assert seen.phases()["n1"] == "SKIPPED"


async def test_an_answer_that_comes_early_is_kept_and_a_second_one_refused(stage: Stage) -> None:
    release = asyncio.Event()

    async def held(request: AttemptRequest) -> int:
        await release.wait()
        return await arithmetic(request)

    gate = Node(
        id="g",
        target=GateTarget(gate="approve", name="ok", type=INTEGER),
        inputs={"value": closures.out("n0")},
    )
    closure = one("shapes.early", [closures.step("n0", 1), gate], closures.out("g"))
    given = closures.run_input(closure, "early")
    attempted = Attempted(held)
    async with stage.worker(attempted):
        await stage.engine.start(given, closure)
        await stage.taken(given.request.id.name)
        execution = given.request.id
        await _refusals(stage, execution)
        first = await stage.engine.answer(execution, says("ok", approved=True))
        assert first.phase.value == "QUEUED"
        with pytest.raises(Conflict, match="was answered by ann"):
            await stage.engine.answer(execution, says("ok", approved=False))
        assert [g.reply is not None for g in await stage.engine.gates(execution)] == [True]
        release.set()
        state = await stage.engine.wait(execution, 60)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=2)}


async def _refusals(stage: Stage, execution: ExecutionId) -> None:
    with pytest.raises(NotFound, match=r"no gate 'okay'. Its gates: ok \(g\)"):
        await stage.engine.answer(execution, says("okay", approved=True))
    with pytest.raises(Conflict, match="'ok' has come only now"):
        await stage.engine.answer(execution, says("ok").model_copy(update={"unseen": True}))
    with pytest.raises(InvalidInputs, match="approve or reject"):
        await stage.engine.answer(execution, says("ok", value=3))


async def test_the_command_that_is_shown_names_one_gate(stage: Stage) -> None:
    def node(path: str, name: str) -> Node:
        gate = GateTarget(gate="approve", name=name, type=INTEGER)
        return Node(id=path, target=gate, inputs={"value": InputRef(name="x")})

    nodes = [node("g", "ok"), node("h", "ok"), node("k", "fine")]
    replies = [says(n.id, approved=True) for n in nodes]
    _, seen = await answered(stage, one("shapes.names", nodes, closures.out("g")), *replies)
    reasons = {n.id: n.reason for change in seen.records for n in change.nodes if n.reason}
    handles = {i: reason.rpartition(" ")[2] for i, reason in reasons.items()}
    assert handles == {"g": "g", "h": "h", "k": "fine"}


async def test_a_gate_of_a_child_is_looked_for_at_the_child(stage: Stage) -> None:
    running = asyncio.Event()

    async def waits(request: AttemptRequest) -> int:
        running.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    given = stage.stored(planned(), "asks-child")
    async with stage.worker(Attempted(waits)):
        await stage.engine.start(given, planned())
        await stage.taken(given.request.id.name)
        await running.wait()
        with pytest.raises(NotFound, match=r"It has started asks-child\.lp, which may have gates"):
            await stage.engine.answer(given.request.id, says("ok", approved=True))
        await stage.engine.abort(given.request.id, "enough")
        await stage.engine.wait(given.request.id, 60)


async def test_a_gate_times_out(stage: Stage) -> None:
    closure = gated(GateTarget(gate="input", name="how many", type=INTEGER, timeout_s=0.1))
    state, _ = await answered(stage, closure)
    assert state.error is not None
    assert (state.error.code, state.error.kind.value) == ("GateTimedOut", "user")


async def test_a_sleep_takes_its_time_and_can_be_aborted(stage: Stage) -> None:
    def closure(duration: str) -> Closure:
        sleep = Node(id="s", target=GateTarget(gate="sleep"), inputs={"duration": Constant(value=duration)})
        return one("shapes.sleeps", [sleep, closures.step("n1", 1, "s")], closures.out("n1"))

    state, _ = await run(stage, closure("PT0.05S"))
    assert state.outputs == {"o0": Inline(value=2)}
    given = closures.run_input(closure("PT864000S"), "long")
    async with stage.worker(Attempted()):
        await stage.engine.start(given, closure("PT864000S"))
        await stage.taken(given.request.id.name)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 60)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED


def mapped_gates(*items: int) -> Closure:
    """Return a map over a workflow with a gate, and the list that it gives."""
    item = closures.workflow("shapes.asks", list(APPROVE.workflows["shapes.gated"].nodes), closures.out("n1"))
    target = ArrayTarget(item=WorkflowTarget(workflow="shapes.asks"), over=("x",))
    mapped = Node(id="m", target=target, inputs={"x": Constant(value=list(items))})
    main = closures.workflow("shapes.mapped_gates", [mapped], closures.out("m"))
    return closures.closure(main, item)


async def reached(stage: Stage, execution: ExecutionId, count: int) -> list[str]:
    """Return the paths of the gates once there are so many."""
    while len(found := await stage.engine.gates(execution)) < count:  # noqa: ASYNC110 - what is awaited is in the server
        await asyncio.sleep(0.05)
    return [gate.node for gate in found]


@pytest.mark.parametrize("shard", [1_000, 1], ids=["whole", "in-shards"])
async def test_gates_in_the_items_of_a_map_can_be_aborted(stage: Stage, shard: int) -> None:
    closure = mapped_gates(1, 2)
    given = closures.run_input(closure, f"mapped-gates-{shard}", limits=RunLimits(shard=shard))
    async with stage.worker(Attempted()):
        await stage.engine.start(given, closure)
        await stage.taken(given.request.id.name)
        await reached(stage, given.request.id, 2)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 20)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED


@pytest.mark.parametrize("shard", [1_000, 1], ids=["whole", "in-shards"])
async def test_an_answer_finds_its_gate_in_an_item_of_a_map(stage: Stage, shard: int) -> None:
    closure = mapped_gates(1, 2, 3)
    given = closures.run_input(closure, f"answered-items-{shard}", limits=RunLimits(shard=shard))
    execution = given.request.id
    async with stage.worker(Attempted()):
        await stage.engine.start(given, closure)
        await stage.taken(given.request.id.name)
        assert sorted(await reached(stage, execution, 3)) == ["m[0].g", "m[1].g", "m[2].g"]
        with pytest.raises(Conflict, match=r"Several gates are named 'ok'.*m\[2\]\.g"):
            await stage.engine.answer(execution, says("ok", approved=True))
        with pytest.raises(NotFound, match=r"no gate 'okay'"):
            await stage.engine.answer(execution, says("okay", approved=True))
        for path in ("m[1].g", "m[0].g"):
            answered = await stage.engine.answer(execution, says(path, approved=True))
            assert answered.node == path
        # The only one that is left is found by its name.
        await stage.engine.answer(execution, says("ok", approved=True))
        state = await stage.engine.wait(execution, 60)
    assert state is not None
    assert plain(state.outputs["o0"]) == [2, 3, 4]
