"""Limits and pauses beyond every calendar: an overflow in the interpreter would let a run stand still for ever."""

from __future__ import annotations

import asyncio
import sys

import pytest

from flyte_temporal.activities.refusals import their_failure
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy, Timeouts
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, user_error
from tests.workflow.test_failures import under
from tests.workflow.test_gates import says
from tests.workflow.test_structures import gated

FOR_EVER = float(sys.maxsize)
DECADES_S = 1e9
ASK = GateTarget(gate="approve", name="ok", timeout_s=FOR_EVER)
SLEEP = gated(GateTarget(gate="sleep"), {"duration": Constant(value="PT86399999913600S")})
PAUSE = under(
    TaskPolicy(retries=RetryPolicy(count=1, backoff=Backoff(initial_s=FOR_EVER, max_s=2 * FOR_EVER)))
)


async def test_limits_that_are_never_reached_hold_nothing_up(stage: Stage) -> None:
    limits = Timeouts(run_s=FOR_EVER, queued_s=FOR_EVER, total_s=FOR_EVER)
    closure = under(TaskPolicy(timeouts=limits))
    given = closures.run_input(closure, "limits", 1, RunLimits(run_timeout_s=FOR_EVER))
    given = given.model_copy(update={"request": given.request.model_copy(update={"deadline_s": 1e12})})
    state = await stage.run(given, closure, Attempted())
    assert state.outputs == {"o0": Inline(value=2)}


async def test_a_gate_may_wait_for_ever_for_its_answer(stage: Stage) -> None:
    closure = gated(ASK, {"value": Constant(value=1)})
    given = closures.run_input(closure, "gate-for-ever")
    async with stage.worker(Attempted()):
        await stage.engine.start(given, closure)
        await stage.taken(given.request.id.name)
        await stage.engine.answer(given.request.id, says("ok", approved=True))
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=2)}


async def waits_long(stage: Stage, name: str) -> None:
    """Return when a run has a timer that ends in decades."""
    handle = stage.client.get_workflow_handle(name)
    async with asyncio.timeout(30):
        while True:
            events = (await handle.fetch_history()).events
            timers = [event.timer_started_event_attributes for event in events]
            if any(timer.start_to_fire_timeout.ToSeconds() > DECADES_S for timer in timers):
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("closure", [SLEEP, PAUSE, gated(ASK, {"value": Constant(value=1)})])
async def test_what_waits_for_ever_can_be_aborted(stage: Stage, closure: Closure) -> None:
    async def fails(_request: AttemptRequest) -> int:
        raise their_failure(user_error("not yet"))

    given = closures.run_input(closure, stage.name)
    async with stage.worker(Attempted(fails)):
        await stage.engine.start(given, closure)
        await waits_long(stage, given.request.id.name)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 60)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED
