"""How the interpreter writes records: nothing waits for a store that does not answer, and nothing is lost for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import workflow

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from flyte_temporal.spec.runs import RunOutput
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.records import LONGEST_REST_S, TRY, Records
from flyte_temporal.workflows.scope import NodeState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Call:
    """A write that the run has asked for."""

    request: calls.RecordRequest
    options: dict[str, Any]
    done: asyncio.Future[None] = field(default_factory=asyncio.Future)

    def nodes(self) -> dict[str, str]:
        return {node.id: node.phase.value for node in self.request.nodes}


class Book:
    """Records of a run, over a store that answers as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        self.rests: list[tuple[float, asyncio.Future[None]]] = []
        monkeypatch.setattr(workflow, "start_local_activity", self._start)
        monkeypatch.setattr(workflow, "now", lambda: NOW)
        monkeypatch.setattr("flyte_temporal.workflows.records.pause", self._pause)
        closure = closures.fan_out(3)
        given = closures.run_input(closure, "e", 1)
        program = Program(closure, given.request.spec)
        body = workflow_body(program, program.main, {}, None)
        self.states = [NodeState(body, p.node, p.path, order) for order, p in enumerate(body.places())]
        self.records = Records(given, self.states, NOW)

    def _start(self, name: str, request: calls.RecordRequest, **options: Any) -> asyncio.Future[None]:
        assert name == calls.RECORD
        self.calls.append(Call(request, options))
        return self.calls[-1].done

    async def _pause(self, seconds: float, why: str) -> None:
        self.rests.append((seconds, asyncio.Future()))
        await self.rests[-1][1]

    def changes(self, index: int, phase: NodePhase) -> None:
        self.states[index].phase = phase
        self.records.changed(self.states[index])
        self.records.flush()

    async def fails(self, call: Call) -> None:
        call.done.set_exception(TimeoutError())
        await settled()

    async def rested(self) -> None:
        self.rests[-1][1].set_result(None)
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    return Book(monkeypatch)


async def test_what_the_run_waits_for_is_tried_once_and_for_a_moment(book: Book) -> None:
    book.changes(0, NodePhase.RUNNING)
    book.records.enter(ExecutionPhase.PAUSED)
    assert [call.options["schedule_to_close_timeout"] for call in book.calls] == [TRY, TRY]
    assert timedelta(seconds=5) > TRY
    assert [call.options["retry_policy"].maximum_attempts for call in book.calls] == [1, 1]


async def test_its_end_is_tried_until_it_is_written(book: Book) -> None:
    closing = asyncio.create_task(book.records.close(ExecutionPhase.SUCCEEDED, RunOutput(), None, ""))
    await settled()
    (call,) = book.calls
    assert "schedule_to_close_timeout" not in call.options
    assert call.options["retry_policy"].maximum_attempts == 0
    call.done.set_result(None)
    await closing


async def test_a_store_that_does_not_answer_is_left_alone_for_a_while(book: Book) -> None:
    book.changes(0, NodePhase.RUNNING)
    await book.fails(book.calls[0])
    book.changes(0, NodePhase.FAILED)
    book.changes(1, NodePhase.SKIPPED)
    await settled()
    assert len(book.calls) == 1
    assert {node.id for node in book.records.unsure()} == {"n0", "n1"}
    await book.rested()
    assert [call.nodes() for call in book.calls[1:]] == [{"n0": "FAILED", "n1": "SKIPPED"}]
    book.calls[1].done.set_result(None)
    await settled()
    book.changes(2, NodePhase.RUNNING)
    assert [call.nodes() for call in book.calls[2:]] == [{"n2": "RUNNING"}]


async def test_it_is_left_alone_longer_each_time_until_it_answers(book: Book) -> None:
    book.changes(0, NodePhase.RUNNING)
    for turn in range(7):
        await book.fails(book.calls[turn])
        await book.rested()
    pauses = [seconds for seconds, _ in book.rests]
    assert pauses == [2, 4, 8, 16, LONGEST_REST_S, LONGEST_REST_S, LONGEST_REST_S]
    book.calls[-1].done.set_result(None)
    await settled()
    book.changes(1, NodePhase.RUNNING)
    await book.fails(book.calls[-1])
    assert book.rests[-1][0] == 2


async def test_a_write_that_fails_late_takes_no_end_back(book: Book) -> None:
    book.changes(0, NodePhase.RUNNING)
    book.changes(0, NodePhase.SKIPPED)
    await book.fails(book.calls[1])
    assert [node.phase for node in book.records.unsure()] == [NodePhase.SKIPPED]
    await book.fails(book.calls[0])
    await book.rested()
    assert book.calls[2].nodes() == {"n0": "SKIPPED"}


async def test_what_no_activity_tells_of_is_handed_over_as_it_is_now(book: Book) -> None:
    """A held node that the store has not taken would be shown at work until it ends, by the run that goes on."""
    book.changes(0, NodePhase.RUNNING)
    book.changes(1, NodePhase.PAUSED)
    book.changes(2, NodePhase.SKIPPED)
    for call in book.calls:
        await book.fails(call)
    book.states[1].attempts = 2
    found = {node.id: node for node in book.records.untaken()}
    assert {id_: node.phase for id_, node in found.items()} == {
        "n1": NodePhase.PAUSED,
        "n2": NodePhase.SKIPPED,
    }
    assert found["n1"].attempts == 2


async def test_a_phase_that_was_not_written_is_told_later(book: Book) -> None:
    book.records.enter(ExecutionPhase.PAUSED)
    await book.fails(book.calls[0])
    assert book.records.known == "RUNNING", "the next run has to tell it"
    book.records.enter(ExecutionPhase.RUNNING)
    book.records.enter(ExecutionPhase.PAUSED)
    assert len(book.calls) == 1
    await book.rested()
    assert [(c.request.phase, c.nodes()) for c in book.calls[1:]] == [(ExecutionPhase.PAUSED, {})]
    book.calls[1].done.set_result(None)
    await settled()
    assert book.records.known == "PAUSED"


async def test_the_end_does_not_wait_for_the_pause(book: Book) -> None:
    book.changes(0, NodePhase.SKIPPED)
    book.changes(1, NodePhase.SKIPPED)
    await book.fails(book.calls[0])
    closing = asyncio.create_task(book.records.close(ExecutionPhase.FAILED, RunOutput(), None, ""))
    await settled()
    assert book.calls[-1].nodes() == {"n0": "SKIPPED", "n1": "SKIPPED"}
    await book.fails(book.calls[1])
    book.calls[-1].done.set_result(None)
    await closing
    assert (len(book.calls), len(book.rests)) == (3, 1), "nothing is tried after the end"
