"""Which run a record follows, and what becomes of the records of nodes then: on a Temporal of the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.api.workflow.v1 import WorkflowExecutionExtendedInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from flyte_temporal.activities.runs import Runs
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.runs import SHARDED_ORDER
from flyte_temporal.testing import closures
from flyte_temporal.testing.metadata import MemoryMetadataStore

GIVEN = closures.run_input(closures.chain(2), "e", 1)
RUN = GIVEN.request.id
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DONE = NodeRecord(id="n0", name="step", kind="task", phase=NodePhase.SUCCEEDED, attempts=1, finished_at=T0)


@dataclass
class Described:
    run_id: str
    status: WorkflowExecutionStatus
    raw_description: DescribeWorkflowExecutionResponse


@dataclass
class Temporal:
    """Runs of one execution, the last one the newest."""

    runs: dict[str, Described] = field(default_factory=dict)
    nodes: list[NodeRecord] = field(default_factory=list)
    refusals: int = 0
    """How often a run does not answer before it does."""

    def add(self, run: str, status: WorkflowExecutionStatus, *, reset: bool = False) -> None:
        more = WorkflowExecutionExtendedInfo()
        more.original_start_time.FromDatetime(T0)
        if reset:
            more.last_reset_time.FromDatetime(T0)
        raw = DescribeWorkflowExecutionResponse(workflow_extended_info=more)
        self.runs[run] = Described(run, status, raw)

    def get_workflow_handle(self, name: str, run_id: str | None = None) -> Handle:
        return Handle(self, run_id or list(self.runs)[-1])


@dataclass
class Handle:
    temporal: Temporal
    run: str

    async def describe(self, **options: Any) -> Described:
        if self.run not in self.temporal.runs:
            raise RPCError("unknown", RPCStatusCode.NOT_FOUND, b"")
        return self.temporal.runs[self.run]

    async def query(self, name: str, **options: Any) -> list[NodeRecord]:
        if self.temporal.refusals:
            self.temporal.refusals -= 1
            raise RPCError("no worker", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        return self.temporal.nodes


@dataclass
class Told:
    """A record that follows the run `r1`, of which a node has ended."""

    store: MemoryMetadataStore = field(default_factory=MemoryMetadataStore)
    temporal: Temporal = field(default_factory=Temporal)

    def __post_init__(self) -> None:
        self.store.create_execution(GIVEN.request, T0)
        self.says("r1", ExecutionPhase.RUNNING, DONE)
        self.runs = Runs(cast("Client", self.temporal), self.store)

    def says(self, run: str, phase: ExecutionPhase, *nodes: NodeRecord) -> None:
        assert self.store.record(RecordRequest(execution=RUN, run=run, phase=phase, nodes=nodes, at=T0))

    def kept(self) -> list[str]:
        return [node.id for node in self.store.nodes(RUN)]

    def owes(self) -> bool:
        record = self.store.execution(RUN)
        assert record is not None
        return record.untold

    def follows(self) -> str:
        record = self.store.execution(RUN)
        assert record is not None
        return record.run


@pytest.fixture
async def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("flyte_temporal.activities.runs._PAUSE_S", 0.0)
    told = Told()
    yield told
    await told.runs.close()


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a run may be asked for its nodes, which would else be as soon as the test awaits anything."""
    may = asyncio.Event()

    async def rest(_seconds: float) -> None:
        await may.wait()

    monkeypatch.setattr("flyte_temporal.activities.runs.asyncio.sleep", rest)
    return may


async def test_records_of_nodes_stay_when_the_run_before_is_known_no_more(told: Told) -> None:
    """It was continued as new, and has left Temporal before the run after it had anything to say."""
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING)
    assert await told.runs.heard(RUN, "r2") == "r2"
    assert (told.kept(), told.follows()) == (["n0"], "r2")


async def test_records_of_nodes_stay_when_a_run_is_continued(told: Told) -> None:
    told.temporal.add("r1", WorkflowExecutionStatus.CONTINUED_AS_NEW)
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING)
    assert await told.runs.heard(RUN, "r2") == "r2"
    assert (told.kept(), told.follows()) == (["n0"], "r2")


async def test_a_reset_is_one_though_the_run_before_is_known_no_more(told: Told) -> None:
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    assert await told.runs.heard(RUN, "r2") == "r2"
    assert (told.kept(), told.follows()) == ([], "r2")


async def test_a_reset_to_a_task_before_the_last_continue_as_new_is_one(told: Told) -> None:
    """The record follows a run that was continued as new; the new run repeats it, or one before it."""
    told.temporal.add("r1", WorkflowExecutionStatus.CONTINUED_AS_NEW)
    told.temporal.add("r3", WorkflowExecutionStatus.RUNNING, reset=True)
    assert await told.runs.heard(RUN, "r3") == "r3"
    assert told.kept() == []


async def test_a_record_that_is_over_is_reopened_though_the_run_before_is_known_no_more(told: Told) -> None:
    told.says("r1", ExecutionPhase.FAILED)
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING)
    assert await told.runs.heard(RUN, "r2") == "r2"
    record = told.store.execution(RUN)
    assert record is not None
    assert record.phase is ExecutionPhase.RUNNING


async def test_a_run_that_continues_a_reset_one_undoes_what_was_recorded(told: Told) -> None:
    """The reset run had no time to say anything: the record still follows the one that was reset."""
    told.temporal.add("r1", WorkflowExecutionStatus.TERMINATED)
    told.temporal.add("r3", WorkflowExecutionStatus.RUNNING)
    assert await told.runs.heard(RUN, "r3") == "r3"
    assert told.kept() == []


async def test_after_a_reset_what_it_did_not_undo_is_kept(told: Told) -> None:
    """What had ended before the run that is repeated, and the items of maps in shards that had ended before the reset."""
    old = DONE.model_copy(update={"id": "old", "finished_at": T0 - timedelta(seconds=1)})
    items = [DONE.model_copy(update={"id": f"{m}[0]", "order": SHARDED_ORDER}) for m in ("map", "gone")]
    told.says("r1", ExecutionPhase.FAILED, old, *items)
    told.temporal.add("r1", WorkflowExecutionStatus.FAILED)
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    told.temporal.nodes = [DONE.model_copy(update={"id": "map"})]
    assert await told.runs.heard(RUN, "r2") == "r2"
    assert set(told.kept()) == {"old", "map[0]", "gone[0]"}, "the new run has told nothing yet"
    await asyncio.gather(*told.runs._telling)
    assert set(told.kept()) == {"old", "map", "map[0]"}


async def test_a_run_after_a_reset_is_asked_until_it_tells_its_nodes(told: Told) -> None:
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    told.temporal.nodes, told.temporal.refusals = [DONE], 20
    assert await told.runs.heard(RUN, "r2") == "r2"
    await asyncio.gather(*told.runs._telling)
    assert (told.kept(), told.owes()) == (["n0"], False)


async def test_it_is_also_asked_when_it_was_continued_and_what_the_next_run_owes_stays(
    told: Told, go: asyncio.Event
) -> None:
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    told.temporal.nodes = [DONE]
    assert await told.runs.heard(RUN, "r2") == "r2"
    told.temporal.add("r2", WorkflowExecutionStatus.CONTINUED_AS_NEW)
    told.temporal.add("r3", WorkflowExecutionStatus.RUNNING)
    assert await told.runs.heard(RUN, "r3") == "r3"
    go.set()
    await asyncio.gather(*told.runs._telling)
    assert (told.kept(), told.owes()) == (["n0"], True)


async def test_what_was_reset_once_more_is_not_asked(told: Told, go: asyncio.Event) -> None:
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    told.temporal.nodes = [DONE]
    assert await told.runs.heard(RUN, "r2") == "r2"
    told.temporal.add("r2", WorkflowExecutionStatus.TERMINATED)
    assert told.store.follow_run(RUN, "r2", "r3", anew=T0)
    go.set()
    await asyncio.gather(*told.runs._telling)
    assert told.kept() == []


async def test_the_record_says_what_a_worker_that_ends_owes(told: Told) -> None:
    told.temporal.add("r2", WorkflowExecutionStatus.RUNNING, reset=True)
    assert await told.runs.heard(RUN, "r2") == "r2"
    await told.runs.close()
    assert told.owes()
