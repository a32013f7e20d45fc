"""A node does not end while its attempt may be at work: what is in doubt is seen to end by an activity of its own."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ActivityError, CancelledError, FailureError

from flyte_temporal.activities.refusals import our_failure, their_failure
from flyte_temporal.errors import StorageError
from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.verdicts import NODE_ABORTED, TOTAL_TIMED_OUT
from flyte_temporal.testing import closures
from flyte_temporal.workflows.failures import says_itself
from tests.unit.workflows.desk import Asked, Desk

BEGAN, NEVER = calls.MemberResult(began=True), calls.MemberResult()
WELL = calls.MemberResult(outputs={"o0": Inline(value=1)}, seconds=0.01)


def error(code: str = NODE_ABORTED) -> ErrorDocument:
    return ErrorDocument(kind=ErrorKind.USER, code=code, message="enough", recoverable=False)


def activity_failed(cause: FailureError) -> ActivityError:
    made = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="w",
        activity_type="t",
        activity_id="n0#1",
        retry_state=None,
    )
    made.__cause__ = cause
    return made


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch, closures.fan_out(3))


def proved(desk: Desk, batch: Asked) -> list[str]:
    """Return the nodes whose attempts are asked to be over; they are at work until then."""
    stops = [asked for asked in desk.asked if asked is not batch]
    assert [asked.name for asked in stops] == [calls.STOP] * len(stops)
    assert not any(asked.asked_to_end for asked in stops)
    nodes = [attempt.node for asked in stops for attempt in asked.request.attempts]
    assert {desk.phases()[node] for node in nodes} <= {NodePhase.RUNNING}
    return nodes


async def test_a_member_that_is_handed_back_when_it_was_aborted_is_seen_to_end(desk: Desk) -> None:
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error())
    desk.cancels()
    assert batch.asked_to_end
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, NEVER)))
    await desk.takes()
    assert proved(desk, batch) == ["n1"]
    desk.asked[-1].set_result(None)
    await desk.takes()
    assert desk.phases()["n1"] is NodePhase.FAILED
    assert desk.states[1].error == error()


async def test_so_is_one_whose_abort_comes_with_its_batchs_end(desk: Desk) -> None:
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error())
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, NEVER)))
    await desk.takes()
    assert proved(desk, batch) == ["n1"]
    desk.asked[-1].set_result(None)
    await desk.takes()
    assert desk.phases()["n1"] is NodePhase.FAILED


async def test_a_member_that_fails_while_it_is_aborted_waits_for_no_other_attempt(desk: Desk) -> None:
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error())
    desk.cancels()
    desk.states[1].budget.system = 1  # from the second loss on there is a pause
    lost = ErrorDocument(kind=ErrorKind.SYSTEM, code="Lost", message="gone", recoverable=True)
    batch.set_result(calls.BatchResult(members=(WELL, calls.MemberResult(error=lost), NEVER)))
    await desk.takes()
    assert desk.phases()["n1"] is NodePhase.FAILED
    assert desk.states[1].error == error()


async def test_so_is_one_whose_scope_fails_by_the_end_before_it(desk: Desk) -> None:
    batch = desk.batch()
    failed = calls.MemberResult(error=error("UserCodeError"))
    batch.set_result(calls.BatchResult(members=(failed, BEGAN, NEVER)))
    await desk.takes()
    assert proved(desk, batch) == ["n1"]


async def test_so_is_one_whose_batch_no_worker_had(desk: Desk) -> None:
    """The abort of another one has ended the batch; nobody tells how far this one was."""
    batch = desk.batch()
    desk.tree.doom(desk.states[0], error())
    desk.cancels()
    desk.tree.doom(desk.states[1], error())
    batch.dropped()
    await desk.takes()
    assert proved(desk, batch) == ["n0", "n1"]
    assert desk.tree.ready[0] is desk.states[2]


async def test_so_are_all_whose_batch_failed_by_our_own_fault_when_it_was_to_end(desk: Desk) -> None:
    """Temporal tries no activity again that is to be cancelled: what it would have retried says nothing of its members."""
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error())
    desk.cancels()
    batch.set_exception(activity_failed(our_failure(StorageError("the store does not answer"))))
    await desk.takes()
    assert proved(desk, batch) == ["n1"]
    assert set(desk.tree.ready) == {desk.states[0], desk.states[2]}


async def test_only_a_failure_for_good_is_an_attempts_own_word() -> None:
    failed = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom")
    assert says_itself(activity_failed(their_failure(failed)))
    assert not says_itself(activity_failed(our_failure(StorageError("the store does not answer"))))
    assert not says_itself(activity_failed(CancelledError()))


async def test_what_is_handed_back_is_asked_for_again_as_the_same_attempt(desk: Desk) -> None:
    batch = desk.batch()
    token = desk.states[1].token
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, WELL)))
    await desk.takes()
    assert proved(desk, batch) == []
    assert (list(desk.tree.ready), desk.states[1].token) == ([desk.states[1]], token)


async def test_nobody_calls_off_what_sees_to_an_end(desk: Desk) -> None:
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error())
    desk.cancels()
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, WELL)))
    await desk.takes()
    desk.tree.stop_all()
    desk.cancels()
    assert proved(desk, batch) == ["n1"]
    assert desk.inbox.open


async def test_a_node_that_is_held_in_the_end_is_tried_again_by_another_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attempt that was stopped cannot start any more."""
    desk = Desk(monkeypatch, closures.fan_out(3), pausing=True)
    batch = desk.batch()
    desk.tree.doom(desk.states[1], error(TOTAL_TIMED_OUT))
    desk.cancels()
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, WELL)))
    await desk.takes()
    desk.asked[-1].set_result(None)
    await desk.takes()
    assert (desk.phases()["n1"], desk.states[1].token) == (NodePhase.PAUSED, "")


async def test_the_next_run_goes_on_ending_whatever_is_to_end(desk: Desk) -> None:
    """What is only to be asked to end, what was asked, what is to be seen to end, and what is being seen to."""
    batch, states = desk.batch(), desk.states
    desk.tree.doom(states[0], error())
    assert desk.stops.stopping(desk.tree) == [states[0]]
    desk.cancels()
    assert desk.stops.stopping(desk.tree) == [states[0]]
    batch.set_result(calls.BatchResult(members=(BEGAN, BEGAN, NEVER)))
    await desk.takes()
    desk.tree.doom(states[1], error())
    assert list(desk.tree.to_prove) == [states[1]]
    assert desk.stops.stopping(desk.tree) == [states[1], states[0]]
    desk.stops.take(desk.tree.to_prove)
    for asked in desk.asked[1:]:
        asked.set_result(None)
    await desk.takes()
    assert desk.stops.stopping(desk.tree) == [states[2]], "the batch may have begun it; now it is not to run"
    desk.asked[-1].set_result(None)
    await desk.takes()
    assert desk.stops.stopping(desk.tree) == []


async def test_the_call_stack_shows_a_batch_by_its_first_and_last_member(desk: Desk) -> None:
    batch = desk.batch()
    assert batch.shown == "n0 … n2"
    desk.tree.doom(desk.states[1], error())
    desk.cancels()
    batch.set_result(calls.BatchResult(members=(WELL, BEGAN, WELL)))
    await desk.takes()
    assert desk.asked[-1].shown == "n1#1: is it over?"
