"""The use cases on the fakes: a memory store, a memory blob store, and an engine that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from flyte_temporal.config.settings import Settings
from flyte_temporal.control import listing
from flyte_temporal.control.documents import RecoverRequest, StartRequest
from flyte_temporal.control.usecases import Control, Ports
from flyte_temporal.errors import Conflict, InvalidInputs, LimitExceeded, NotFound, PlatformUnavailable
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec import keys
from flyte_temporal.spec.calls import NodeAbort, RecordRequest
from flyte_temporal.spec.document import digest, sha256_hex
from flyte_temporal.spec.entities import Closure, Root, TaskSpec
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord, Repair
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.listing import NodeFilter
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import SHARDED_ORDER
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing.blobs import MemoryBlobStore
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore

T0 = datetime(2026, 1, 31, tzinfo=UTC)
X = Interface(inputs=(Variable(name="x", type=INTEGER),), outputs=(Variable(name="o0", type=INTEGER),))
CLOSURE = Closure(
    root=Root(kind="task", name="m.double"), tasks={"m.double": TaskSpec(name="m.double", interface=X)}
)
RUN = ExecutionId(project="default", domain="development", name="run-1")
DONE = RunState(phase=ExecutionPhase.SUCCEEDED, outputs={"o0": Inline(value=4)})


class FixedClock:
    def now(self) -> datetime:
        return T0


@dataclass
class House:
    control: Control
    engine: FakeEngine
    store: MemoryMetadataStore
    blobs: MemoryBlobStore

    async def start(self, **changes: Any) -> ExecutionId:
        return (await self.control.start(wish(**changes))).request.id

    def phase(self, execution: ExecutionId = RUN) -> ExecutionPhase:
        record = self.store.execution(execution)
        assert record is not None
        return record.phase


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setenv("FLYTE_TEMPORAL_OWNER", "ada")
    engine, store, blobs = FakeEngine(), MemoryMetadataStore(), MemoryBlobStore()
    control = Control(Ports(engine, store, blobs, FixedClock(), MemoryCatalog()), Settings())
    yield House(control, engine, store, blobs)
    await control.close()
    assert [t for t in asyncio.all_tasks() if t.get_name().startswith(("follow", "end of"))] == []


def wish(**changes: Any) -> StartRequest:
    given: dict[str, Any] = {"closure": CLOSURE, "inputs": {"x": Inline(value=2)}, "execution_id": "run-1"}
    return StartRequest(**{**given, **changes})


async def test_a_start_stores_everything_and_asks_the_engine_once(house: House) -> None:
    record = await house.control.start(wish())
    assert record.phase is ExecutionPhase.QUEUED
    assert record.request.requested_by == "ada"
    assert house.blobs.get(keys.closure(digest(CLOSURE)), digest(CLOSURE)) is not None
    ((run, closure),) = house.engine.started
    assert run.request == record.request
    assert run.limits.window == 100
    assert closure == CLOSURE


async def test_the_same_request_attaches_and_another_is_refused(house: House) -> None:
    first = await house.control.start(wish())
    again = await house.control.start(wish(requested_by="bob"))
    assert again == first
    with pytest.raises(Conflict, match="run-1"):
        await house.control.start(wish(inputs={"x": Inline(value=3)}))
    assert len(house.engine.started) == 1


async def test_attaching_to_an_execution_that_is_over_starts_nothing(house: House) -> None:
    await house.start()
    house.store.record(RecordRequest(execution=RUN, phase=ExecutionPhase.SUCCEEDED, at=T0))
    house.engine.forget(RUN)
    assert (await house.control.start(wish())).phase is ExecutionPhase.SUCCEEDED
    assert len(house.engine.started) == 1


async def test_a_recovery_never_brings_back_what_was_fixed_in_place(house: House) -> None:
    await house.start()
    repairs = (Repair(kind="retry", spec="f" * 64),)
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.FAILED, repairs=repairs)
    house.store.record(RecordRequest(execution=RUN, phase=ExecutionPhase.FAILED, nodes=(node,), at=T0))
    assert "n0" in (await house.control.plan_recovery(RecoverRequest(source=RUN))).notes[0]
    with pytest.raises(Conflict, match="n0"):
        await house.control.recover(RecoverRequest(source=RUN))
    assert len(house.engine.started) == 1
    await house.control.recover(RecoverRequest(source=RUN, closure=CLOSURE))
    assert len(house.engine.started) == 2


async def test_a_wrong_request_leaves_no_trace(house: House) -> None:
    with pytest.raises(InvalidInputs):
        await house.control.start(wish(inputs={}))
    assert house.store.execution(RUN) is None
    assert house.engine.started == []


async def test_a_version_keeps_its_content(house: House) -> None:
    await house.start(version="v1")
    other = CLOSURE.model_copy(
        update={"tasks": {"m.double": TaskSpec(name="m.double", interface=X, description="x")}}
    )
    with pytest.raises(Conflict, match="v1"):
        await house.start(version="v1", closure=other, execution_id="run-2")
    assert len(house.engine.started) == 1


async def test_an_accepted_execution_is_started_when_the_engine_is_back(house: House) -> None:
    house.engine.available = False
    assert (await house.control.start(wish())).phase is ExecutionPhase.QUEUED
    with pytest.raises(PlatformUnavailable):
        await house.control.reconcile()
    house.engine.available = True
    assert await house.control.reconcile() == 1
    assert await house.control.reconcile() == 1
    assert [run.request.id for run, _ in house.engine.started] == [RUN]


async def test_what_the_engine_finds_too_large_fails_for_good(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_args: object) -> None:
        raise LimitExceeded("5 MiB; 4 MiB are allowed")

    monkeypatch.setattr(house.engine, "start", refuse)
    with pytest.raises(LimitExceeded):
        await house.control.start(wish())
    record = await house.control.get(RUN)
    assert record.phase is ExecutionPhase.FAILED
    assert record.error is not None
    assert record.error.code == "LimitExceeded"


async def test_wait_returns_what_the_interpreter_recorded(house: House) -> None:
    await house.start()
    waiting = [asyncio.create_task(house.control.wait(RUN)) for _ in range(5)]
    await asyncio.sleep(0)
    recorded = RecordRequest(
        execution=RUN, phase=ExecutionPhase.SUCCEEDED, outputs={"o0": Inline(value=4)}, at=T0
    )
    house.store.record(recorded)
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.FAILED))
    records = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert {r.phase for r in records} == {ExecutionPhase.SUCCEEDED}
    assert house.engine.waits == 1


async def test_wait_gives_up_in_time(house: House) -> None:
    await house.start()
    assert (await house.control.wait(RUN, 0.05)).phase is ExecutionPhase.QUEUED
    with pytest.raises(NotFound):
        await house.control.wait(ExecutionId(project="p", domain="d", name="none"))


async def test_watch_yields_each_change_to_every_watcher_and_ends(house: House) -> None:
    await house.start()
    running = asyncio.Barrier(4)

    async def states() -> list[tuple[ExecutionPhase, NodePhase]]:
        seen = []
        async for update in house.control.watch(RUN):
            seen.append((update.execution.phase, update.nodes[0].phase))
            if seen[-1] == (ExecutionPhase.RUNNING, NodePhase.RUNNING):
                await running.wait()
        return seen

    watchers = [asyncio.create_task(states()) for _ in range(3)]
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.RUNNING, attempts=1)
    house.store.record(RecordRequest(execution=RUN, phase=ExecutionPhase.RUNNING, nodes=(node,), at=T0))
    await asyncio.wait_for(running.wait(), 5)
    ended = node.model_copy(update={"phase": NodePhase.SUCCEEDED})
    house.store.record(RecordRequest(execution=RUN, phase=ExecutionPhase.SUCCEEDED, nodes=(ended,), at=T0))
    await house.engine.finish(RUN, DONE)
    for seen in await asyncio.wait_for(asyncio.gather(*watchers), 5):
        assert seen[-1] == (ExecutionPhase.SUCCEEDED, NodePhase.SUCCEEDED)
        assert len(set(seen)) == len(seen)
    # One poller, not three.
    assert house.engine.waits == 1


async def test_a_watcher_that_leaves_does_not_disturb_the_others(house: House) -> None:
    await house.start()
    leaving = house.control.watch(RUN)
    await anext(leaving)
    staying = asyncio.create_task(house.control.wait(RUN))
    await asyncio.sleep(0)
    await leaving.aclose()
    await house.engine.finish(RUN, DONE)
    assert (await asyncio.wait_for(staying, 5)).phase is ExecutionPhase.SUCCEEDED


async def test_the_end_of_a_poller_that_sleeps_leaves_no_task_behind(house: House) -> None:
    await house.start()
    waiting = asyncio.create_task(house.control.wait(RUN))
    async with asyncio.timeout(5):
        while not any(task.get_name() == "wake run-1" for task in asyncio.all_tasks()):  # noqa: ASYNC110 - tasks are seen, not signalled
            await asyncio.sleep(0)
    await house.control.close()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_watcher_gets_the_stores_error_instead_of_silence(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.start()
    watching = house.control.watch(RUN)
    await anext(watching)

    def broken(_execution: ExecutionId) -> None:
        raise PlatformUnavailable("disk is full")

    monkeypatch.setattr(house.store, "execution", broken)
    with pytest.raises(PlatformUnavailable, match="disk"):
        await asyncio.wait_for(anext(watching), 5)


async def test_an_end_from_outside_is_recorded_with_its_nodes(house: House) -> None:
    await house.start()
    running = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.RUNNING, attempts=2)
    house.store.record_nodes(RUN, [running])
    await house.engine.finish(
        RUN, RunState(phase=ExecutionPhase.ABORTED, reason="terminated in Temporal: by hand")
    )
    assert await house.control.reconcile() == 0
    record = await house.control.get(RUN)
    assert (record.phase, record.abort_reason) == (ExecutionPhase.ABORTED, "terminated in Temporal: by hand")
    (node,) = await house.control.nodes(RUN)
    assert (node.phase, node.finished_at) == (NodePhase.ABORTED, T0)
    assert house.engine.swept == [(RUN, f"{RUN.name} has ended.")]


async def test_an_end_waits_until_what_it_left_was_asked_to_stop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.start()

    async def away(execution: ExecutionId, reason: str) -> int:
        raise PlatformUnavailable(f"{execution.name}: {reason}")

    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.ABORTED, reason="terminated"))
    with monkeypatch.context() as patched:
        patched.setattr(house.engine, "abort_left", away)
        with pytest.raises(PlatformUnavailable):
            await house.control.reconcile()
    assert not (await house.control.get(RUN)).phase.terminal
    await house.control.reconcile()
    assert (await house.control.get(RUN)).phase is ExecutionPhase.ABORTED


async def test_items_of_a_map_in_shards_are_counted_and_given_when_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.start()
    items = [
        NodeRecord(
            id=f"n0[{i}]",
            name=f"double[{i}]",
            kind="task",
            phase=NodePhase.FAILED if i == 3 else NodePhase.SUCCEEDED,
            order=SHARDED_ORDER + i,
            attempts=1,
            attempt_key=f"attempts/default/development/{RUN.name}/n0[{i}]/1-a",
        )
        for i in range(5)
    ]
    array = NodeRecord(id="n0", name="double", kind="array", phase=NodePhase.RUNNING, items=9)
    house.store.record_nodes(RUN, [array, *items])
    (listed,) = await house.control.nodes(RUN)
    assert (listed.id, listed.item_phases) == ("n0", {NodePhase.SUCCEEDED: 4, NodePhase.FAILED: 1})
    below = await house.control.nodes(RUN, NodeFilter(below="n0", in_shards=True, limit=2, offset=2))
    assert [node.id for node in below] == ["n0[2]", "n0[3]"]
    assert (await house.control.node(RUN, "n0[3]")).phase is NodePhase.FAILED
    with pytest.raises(NotFound, match=r"no node 'n0\[7\]'. It has: n0 \(double\)"):
        await house.control.node(RUN, "n0[7]")
    for node in items:
        text = node.id.encode() + b"\n"
        house.blobs.put_new(f"{node.attempt_key}/logs/000000.log", text, sha256_hex(text))
    # Read in pages: all of them, whatever the size of a page.
    monkeypatch.setattr(listing, "PAGE", 2)
    assert [line.text for line in await house.control.logs(RUN)] == [node.id for node in items]
    assert [line.text for line in await house.control.logs(RUN, "n0[3]")] == ["n0[3]"]


async def test_an_end_that_the_store_lost_comes_back_from_the_engine(house: House) -> None:
    await house.start()
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.SUCCEEDED, attempts=1)
    house.engine.node_records[RUN] = [node]
    await house.engine.finish(RUN, DONE)
    await house.control.reconcile()
    record = await house.control.get(RUN)
    assert record.outputs == {"o0": Inline(value=4)}
    assert (await house.control.nodes(RUN))[0].phase is NodePhase.SUCCEEDED


async def test_a_run_that_temporal_lost_is_started_again_from_the_stored_request(house: House) -> None:
    await house.start()
    house.engine.forget(RUN)
    fresh = Control(Ports(house.engine, house.store, house.blobs, FixedClock(), MemoryCatalog()), Settings())
    assert await fresh.reconcile() == 1
    first, second = (run for run, _ in house.engine.started)
    assert first == second
    await fresh.close()


async def test_a_lost_spec_fails_the_execution_instead_of_the_reconciliation(house: House) -> None:
    await house.start()
    other = await house.start(execution_id="run-2")
    house.engine.forget(RUN)
    house.engine.forget(other)
    house.blobs.delete(keys.closure(digest(CLOSURE)))
    fresh = Control(Ports(house.engine, house.store, house.blobs, FixedClock(), MemoryCatalog()), Settings())
    assert await fresh.reconcile() == 0
    assert house.phase() is ExecutionPhase.FAILED
    assert house.phase(other) is ExecutionPhase.FAILED
    await fresh.close()


async def test_an_abort_is_passed_on_and_remembered(house: House) -> None:
    await house.start()
    await house.control.abort(RUN, "wrong data", "bob")
    record = await asyncio.wait_for(house.control.wait(RUN), 5)
    assert (record.phase, record.abort_reason, record.aborted_by) == (
        ExecutionPhase.ABORTED,
        "wrong data",
        "bob",
    )
    assert await house.control.abort(RUN, "again", "carl") == record
    with pytest.raises(NotFound):
        await house.control.abort(RUN.model_copy(update={"name": "none"}), "", "")


async def test_an_abort_of_a_node_is_passed_on_with_who_and_refused_once_all_is_over(house: House) -> None:
    await house.start()
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.RUNNING)
    house.engine.node_records[RUN] = [node]
    assert await house.control.abort_node(RUN, NodeAbort(node="double", reason="hangs", by="bob")) == node
    await house.control.abort_node(RUN, NodeAbort(node="n0"))
    assert [(a.node, a.reason, bool(a.by)) for a in house.engine.node_aborts] == [
        ("double", "hangs", True),
        ("n0", "", True),
    ]
    with pytest.raises(NotFound):
        await house.control.abort_node(RUN, NodeAbort(node="n7"))
    await house.control.abort(RUN, "", "bob")
    await asyncio.wait_for(house.control.wait(RUN), 5)
    with pytest.raises(Conflict, match="is over"):
        await house.control.abort_node(RUN, NodeAbort(node="n0"))


async def test_the_log_of_one_attempt(house: House) -> None:
    await house.start()
    for number, token in ((1, "aa"), (2, "bb")):
        attempt = AttemptId(execution=RUN, node="n0", number=number, token=token)
        house.blobs.put(keys.log_chunk(attempt.key, 0), f"try {number}\n".encode())
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.SUCCEEDED, attempts=2)
    house.store.record_nodes(RUN, [node])
    lines = [(x.attempt, x.text) for x in await house.control.logs(RUN, None, 2)]
    assert lines == [(2, "try 2")]
    with pytest.raises(NotFound, match="no attempt 3; the last one has the number 2"):
        await house.control.logs(RUN, "double", 3)


async def test_an_execution_aborted_before_it_started_never_starts(house: House) -> None:
    house.engine.available = False
    await house.start()
    with pytest.raises(PlatformUnavailable):
        await house.control.abort(RUN, "changed my mind", "bob")
    house.engine.available = True
    assert await house.control.reconcile() == 0
    assert house.phase() is ExecutionPhase.ABORTED
    assert house.engine.started == []


async def test_logs_come_from_all_attempts_in_order_line_by_line(house: House) -> None:
    await house.start()
    for number, token, chunks in (
        (1, "aa", [b"first try\n"]),
        (2, "bb", [b"caf\xc3", b"\xa9\nlast", b" line"]),
    ):
        attempt = AttemptId(execution=RUN, node="n0", number=number, token=token)
        for i, chunk in enumerate(chunks):
            house.blobs.put(keys.log_chunk(attempt.key, i), chunk)
    node = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.SUCCEEDED, attempts=2)
    house.store.record_nodes(RUN, [node])
    lines = [(x.node, x.attempt, x.text) for x in await house.control.logs(RUN, "double")]
    assert lines == [("n0", 1, "first try"), ("n0", 2, "café"), ("n0", 2, "last line")]
    with pytest.raises(NotFound, match=r"no node 'n9'.*n0 \(double\)"):
        await house.control.logs(RUN, "n9")


async def test_lists_are_filtered(house: House) -> None:
    await house.start()
    await house.start(execution_id="run-2")
    await house.control.abort(RUN, "", "bob")
    await asyncio.wait_for(house.control.wait(RUN), 5)
    found = await house.control.executions("default", "development", phases=[ExecutionPhase.QUEUED])
    assert [r.request.id.name for r in found] == ["run-2"]
    assert await house.control.open_count() == 1


async def test_a_lost_worker_holds_up_no_open_run(house: House) -> None:
    first = await house.start(execution_id="first")
    over = await house.start(execution_id="over")
    await house.engine.finish(over, RunState(phase=ExecutionPhase.SUCCEEDED))
    await house.control.reconcile()
    await house.control.worker_lost()
    assert house.engine.forgotten == [first]
