"""Row 36 of the fault matrix: a build of the interpreter that raises; the run waits for a better one."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.testing import closures
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.scope import NodeState
from tests.workflow.conftest import Attempted, Stage


def raises(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def loses(attempts: Attempts, state: NodeState, _done: object) -> None:
    attempts._inbox.forget(state)
    attempts._inbox.wake()


BUGS = {
    "where nodes are planned": ("plan.Progress.first", raises),
    "where an end is taken in": ("attempts.Attempts._on_end", raises),
    "by which an end is lost": ("attempts.Attempts._on_end", loses),
}


@pytest.mark.row(36)
@pytest.mark.parametrize("bug", BUGS)
async def test_a_run_survives_a_build_that_raises(
    bug: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never does it wait for ever or end without its outputs: its workflow tasks fail, which Temporal shows."""
    closure = closures.chain(3)
    run = stage.stored(closure, stage.name)
    attempted = Attempted()

    async def failed_tasks() -> int:
        history = await stage.client.get_workflow_handle(run.request.id.name).fetch_history()
        return sum(e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED for e in history.events)

    where, broken = BUGS[bug]
    with monkeypatch.context() as patched:
        patched.setattr(f"flyte_temporal.workflows.{where}", broken)
        async with stage.worker(attempted):
            await stage.engine.start(run, closure)
            async with asyncio.timeout(30):
                while not await failed_tasks():  # noqa: ASYNC110 - Temporal tells nobody
                    await asyncio.sleep(0.05)
    described = await stage.client.get_workflow_handle(run.request.id.name).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    async with stage.worker(attempted):
        state = await stage.engine.wait(run.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert [request.attempt.node for request in attempted.requests] == ["n0", "n1", "n2"]
