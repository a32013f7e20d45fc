"""A reset in a real Temporal keeps the records of everything that it did not undo, also of what the new run cannot tell."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import Node, TaskTarget
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from tests.workflow.conftest import Stage, user_error
from tests.workflow.launched import Failed, Launched, arithmetic, histories
from tests.workflow.test_structures import mapped, one


async def failed_and_reset(
    stage: Stage, closure: Closure, limits: RunLimits, culprit: str
) -> tuple[Any, dict[str, NodeRecord], dict[str, NodeRecord], Launched]:
    """Let a node fail, and its run be reset to the task that asked for it; return the end and the records of before and after."""
    broken = True

    async def work(order: AttemptOrder) -> int:
        if broken and order.attempt.node == culprit:
            raise Failed(user_error("not yet", recoverable=False))
        return await arithmetic(order)

    launched = Launched(stage, work)
    given = launched.prepared(closure, stage.name, 1, limits)
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        state = await stage.engine.wait(given.request.id, 60)
        assert state is not None
        assert state.phase is ExecutionPhase.FAILED
        await launched.records.flush()
        before, broken = launched.nodes(given), False
        await reset(stage, f"{culprit}#1")
        end = await stage.engine.wait(given.request.id, 60)
        runs = launched.records._runs
        assert runs is not None
        # The new run is asked for its nodes a moment after its first word.
        await asyncio.gather(*runs._telling)
        await launched.records.flush()
    record = launched.store.execution(given.request.id)
    assert record is not None
    assert record.phase is ExecutionPhase.SUCCEEDED
    return end, before, launched.nodes(given), launched


async def reset(stage: Stage, activity: str) -> None:
    """Reset the newest run to the workflow task that asked for an activity."""
    handle = stage.client.get_workflow_handle(stage.name)
    run = (await handle.describe()).run_id
    asked = [
        event.activity_task_scheduled_event_attributes
        for event in (await handle.fetch_history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    (task,) = [each.workflow_task_completed_event_id for each in asked if each.activity_id == activity]
    await reset_to(stage, run, task)


async def reset_to(stage: Stage, run: str, event: int) -> str:
    """Reset a run of the test's execution to the workflow task that an event has completed; return the new run."""
    request = ResetWorkflowExecutionRequest(
        namespace=stage.client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=stage.name, run_id=run),
        reason="try again",
        workflow_task_finish_event_id=event,
        request_id=str(uuid4()),
    )
    answer = await stage.client.workflow_service.reset_workflow_execution(request)
    return answer.run_id


async def test_what_ended_before_the_last_continue_as_new_keeps_its_record(stage: Stage) -> None:
    end, before, after, launched = await failed_and_reset(
        stage, closures.chain(12), RunLimits(history_events=5), "n11"
    )
    assert end.outputs == {"o0": Inline(value=13)}
    assert len(await histories(stage, stage.name)) > 1
    assert list(after) == [f"n{i}" for i in range(12)]
    kept = [f"n{i}" for i in range(11)]
    assert [after[path].attempt_key for path in kept] == [before[path].attempt_key for path in kept]
    assert {after[path].phase for path in kept} == {NodePhase.SUCCEEDED}
    assert (after["n11"].phase, after["n11"].error) == (NodePhase.SUCCEEDED, None)
    assert launched.doubled() == []


async def test_items_of_a_map_in_shards_keep_their_records(stage: Stage) -> None:
    array = mapped(range(5)).workflows["shapes.mapped"].nodes[0]
    total = Node(id="t", target=TaskTarget(task=closures.TOTAL), inputs={"values": closures.out("m")})
    closure = one("shapes.summed", [array, total], closures.out("t"))
    end, before, after, launched = await failed_and_reset(stage, closure, RunLimits(shard=2), "t")
    assert end.outputs == {"o0": Inline(value=15)}
    items = {f"m[{i}]" for i in range(5)}
    assert set(after) == {"m", "t", *items}
    assert {path: after[path] for path in items} == {path: before[path] for path in items}
    assert {node.phase for node in after.values()} == {NodePhase.SUCCEEDED}
    assert launched.doubled() == []
