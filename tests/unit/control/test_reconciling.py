"""Records and a run that was ended, deleted or reset behind our back: on the fakes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flyte_temporal.control.reconciling import keep_in_line
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import SHARDED_ORDER
from tests.unit.control.test_usecases import DONE, RUN, T0, House, house  # noqa: F401 - the fixture

N0 = NodeRecord(id="n0", name="double", kind="task", phase=NodePhase.RUNNING, attempts=1, attempt_key="a/1")

DONE_NODE = N0.model_copy(update={"phase": NodePhase.SUCCEEDED})
OLD = DONE_NODE.model_copy(update={"id": "old", "finished_at": T0 - timedelta(seconds=1)})
MAP = DONE_NODE.model_copy(update={"id": "map"})
ITEMS = [
    DONE_NODE.model_copy(update={"id": f"{path}[0]", "order": SHARDED_ORDER}) for path in ("map", "gone")
]


def begun(house: House, run: str = "run-1", **changes: Any) -> bool:  # noqa: F811
    given: dict[str, Any] = {"phase": ExecutionPhase.RUNNING, "nodes": (N0,), "at": T0}
    return house.store.record(RecordRequest(execution=RUN, run=run, **{**given, **changes}))


async def test_a_run_that_goes_on_as_recorded_is_asked_for_by_one_call_for_all(
    house: House,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await house.start()
    begun(house)
    monkeypatch.setattr(house.engine, "state", None)
    assert await house.control.reconcile() == 1


async def test_a_run_that_was_deleted_is_not_started_again(house: House) -> None:  # noqa: F811
    await house.start()
    begun(house)
    house.engine.forget(RUN)
    assert await house.control.reconcile(lost=False) == 0
    record = await house.control.get(RUN)
    assert (record.phase, record.abort_reason) == (ExecutionPhase.ABORTED, "Its run was deleted in Temporal.")
    assert (await house.control.nodes(RUN))[0].phase is NodePhase.ABORTED
    assert len(house.engine.started) == 1


async def test_a_run_that_temporal_lost_after_it_had_begun_is_started_again(house: House) -> None:  # noqa: F811
    await house.start()
    begun(house)
    house.engine.forget(RUN)
    assert await house.control.reconcile(lost=True) == 1
    assert len(house.engine.started) == 2


async def test_an_accepted_execution_that_never_began_is_started_whatever_happened(
    house: House,  # noqa: F811
) -> None:
    await house.start()
    house.engine.forget(RUN)
    assert await house.control.reconcile(lost=False) == 1
    assert len(house.engine.started) == 2


async def test_an_execution_that_was_over_is_reopened_by_a_reset_and_follows_the_new_run(
    house: House,  # noqa: F811
) -> None:
    await house.start()
    failed = N0.model_copy(update={"phase": NodePhase.FAILED})
    begun(house)
    begun(house, phase=ExecutionPhase.FAILED, nodes=(failed, OLD, *ITEMS))
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.RUNNING, run="run-2", began=T0))
    house.engine.node_records[RUN] = [N0.model_copy(update={"attempt_key": "a/2"}), MAP]
    assert await house.control.reconcile() == 1
    record = await house.control.get(RUN)
    assert (record.phase, record.run, record.finished_at) == (ExecutionPhase.RUNNING, "run-2", None)
    node = house.store.some_nodes(RUN, ["n0"])["n0"]
    assert (node.phase, node.attempt_key) == (NodePhase.RUNNING, "a/2")
    assert {node.id for node in house.store.nodes(RUN)} == {
        "old",
        "n0",
        "map",
        "map[0]",
    }
    # What the run before has still to say comes too late.
    assert begun(house, phase=ExecutionPhase.FAILED, nodes=(failed,)) is False
    await house.engine.finish(RUN, DONE.model_copy(update={"run": "run-2"}))
    assert await house.control.reconcile() == 0
    assert (await house.control.get(RUN)).outputs == {"o0": Inline(value=4)}


async def test_a_reset_run_that_does_not_tell_its_nodes_yet_is_asked_again(house: House) -> None:  # noqa: F811
    await house.start()
    begun(house)
    begun(house, phase=ExecutionPhase.FAILED, nodes=(DONE_NODE, *ITEMS))
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.RUNNING, run="run-2", began=T0))
    assert await house.control.reconcile() == 1, "it goes on, whatever the record says"
    assert {node.id for node in house.store.nodes(RUN)} == {"n0", "map[0]", "gone[0]"}
    house.engine.node_records[RUN] = [DONE_NODE, MAP]
    assert await house.control.reconcile() == 1
    record = await house.control.get(RUN)
    assert (record.phase, record.run, record.untold) == (ExecutionPhase.RUNNING, "run-2", False)
    assert {node.id for node in house.store.nodes(RUN)} == {"n0", "map", "map[0]"}


async def test_what_the_worker_of_a_reset_run_owes_is_made_good(house: House) -> None:  # noqa: F811
    """It ended right after the first word of the run, which lets the record follow it."""
    await house.start()
    begun(house)
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.RUNNING, run="run-2", began=T0))
    assert house.store.follow_run(RUN, "run-1", "run-2", anew=T0)
    begun(house, run="run-2", nodes=())
    assert await house.control.reconcile() == 1
    assert house.store.nodes(RUN) == [], "no worker answers yet"
    child = DONE_NODE.model_copy(update={"child": "e.n0"})
    house.engine.node_records[RUN] = [child, MAP]
    assert await house.control.reconcile() == 1
    assert house.store.some_nodes(RUN, ["n0"]) == {"n0": child}
    house.engine.node_records[RUN] = []
    record = await house.control.get(RUN)
    assert not record.untold


async def test_an_execution_that_ends_while_it_is_compared_stays_as_it_is(house: House) -> None:  # noqa: F811
    """The list of runs lags behind: it has still the run that the record says is over."""
    await house.start()
    begun(house)
    begun(house, phase=ExecutionPhase.SUCCEEDED)
    before = await house.control.get(RUN)
    assert await house.control.reconcile() == 0
    assert await house.control.get(RUN) == before


async def test_the_end_of_a_run_never_closes_the_record_of_a_later_one(house: House) -> None:  # noqa: F811
    await house.start()
    waiting = asyncio.create_task(house.control.wait(RUN))
    begun(house, run="run-2")
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.RUNNING, run="run-2"))
    old = RunState(phase=ExecutionPhase.ABORTED, reason="terminated", run="run-1")
    await house.control._endings.write(RUN, old)
    assert house.phase() is ExecutionPhase.RUNNING
    await house.engine.finish(RUN, DONE.model_copy(update={"run": "run-2"}))
    assert (await asyncio.wait_for(waiting, 5)).phase is ExecutionPhase.SUCCEEDED


async def test_of_the_nodes_of_a_run_that_was_ended_only_those_that_are_open_are_read(
    house: House,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await house.start()
    begun(house, nodes=(N0, OLD, *ITEMS))
    read: list[NodeRecord] = []
    nodes = house.store.nodes

    def spied(*args: Any) -> list[NodeRecord]:
        found = nodes(*args)
        read.extend(found)
        return found

    monkeypatch.setattr(house.store, "nodes", spied)
    await house.engine.finish(RUN, RunState(phase=ExecutionPhase.ABORTED, reason="terminated", run="run-1"))
    assert await house.control.reconcile() == 0
    assert [node.id for node in read] == ["n0"]
    after = {node.id: node.phase for node in nodes(RUN)}
    assert after.pop("n0") is NodePhase.ABORTED
    assert set(after.values()) == {NodePhase.SUCCEEDED}


async def test_a_run_that_ended_after_one_more_reset_is_taken_in(house: House) -> None:  # noqa: F811
    await house.start()
    begun(house)
    await house.engine.finish(RUN, DONE.model_copy(update={"run": "run-2"}))
    assert await house.control.reconcile() == 0
    record = await house.control.get(RUN)
    assert (record.phase, record.run) == (ExecutionPhase.SUCCEEDED, "run-2")


async def test_whatever_goes_wrong_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_temporal.control.reconciling._AGAIN_S", 0.0)
    faults: list[Exception] = [PlatformUnavailable("away"), RuntimeError("a bug")]
    done = asyncio.Event()

    async def once() -> float:
        if faults:
            raise faults.pop()
        done.set()
        return 1000.0

    chore = asyncio.create_task(keep_in_line(once))
    await asyncio.wait_for(done.wait(), 5)
    chore.cancel()
