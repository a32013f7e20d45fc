"""Repairs of what a run has started: children that are held or paused, what they tell, and what a run believes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio import workflow

from flyte_temporal.errors import Conflict
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ExecutionPhase,
)
from flyte_temporal.spec.nodes import ArrayTarget, LaunchPlanTarget, Node
from flyte_temporal.spec.repairs import (
    CHILD_PAUSED,
    ChildPause,
    GiveUp,
    NodeRetry,
    Pause,
)
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.workflows import telling
from tests.workflow.conftest import Attempted, Stage, arithmetic, user_error
from tests.workflow.test_failures import hold, replayed
from tests.workflow.test_interpreter import failing, until
from tests.workflow.test_repairs import Story, fails, story
from tests.workflow.test_structures import planned


async def test_a_child_is_repaired_where_it_runs_and_its_parent_shows_that(stage: Stage) -> None:
    async with story(stage, planned(), fails("n0"), 1) as told:
        state = await told.until(lambda state: bool(state.children))
        child = told.id.model_copy(update={"name": state.children[0]})
        assert state.phase is ExecutionPhase.PAUSED
        with pytest.raises(Conflict, match=f"It runs the execution {child.name}"):
            await told.ask(NodeRetry(node="lp"))
        await stage.engine.repair(child, NodeRetry(node="n0"))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
        await replayed(stage, child.name)


async def test_what_is_held_in_a_child_that_was_paused_with_its_parent_is_shown_when_that_goes_on(
    stage: Stage,
) -> None:
    go = asyncio.Event()
    breaks = fails("n0")

    async def behave(request: AttemptRequest) -> Any:
        await go.wait()
        return await breaks(request)

    async with story(stage, planned(), behave, 1) as told:
        await until(lambda: told.tries("n0") == 1)
        child = Story(stage, told.seen, told.seen.requests[0].attempt.execution)
        await told.ask(Pause(by="ann"))
        await child.until(lambda state: state.pause is not None)
        go.set()
        await child.held("n0")
        await told.ask(Pause(ends=True))
        state = await told.until(lambda state: bool(state.children))
        assert (state.phase, state.children) == (ExecutionPhase.PAUSED, (child.id.name,))
        await child.ask(NodeRetry(node="n0"))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
        await replayed(stage, child.id.name)


async def test_a_parent_takes_no_news_of_an_execution_that_its_node_does_not_run(stage: Stage) -> None:
    """As it is delivered again after a reset, when that execution may be over: nobody would take it back."""
    async with story(stage, planned(), hold, 1) as told:
        await until(lambda: told.tries("n0") == 1)
        handle = stage.client.get_workflow_handle(told.id.name)
        child = told.seen.requests[0].attempt.execution.name
        await handle.signal(CHILD_PAUSED, ChildPause(node="lp", child=f"{child}-r7", paused=True))
        state = await stage.engine.repairs(told.id)
        assert (state.phase, state.children) == (ExecutionPhase.RUNNING, ())
        await handle.signal(CHILD_PAUSED, ChildPause(node="lp", child=child, paused=True))
        state = await stage.engine.repairs(told.id)
        assert (state.phase, state.children) == (ExecutionPhase.PAUSED, (child,))
        await stage.engine.abort(told.id, "over")
        assert (await told.end()).phase is ExecutionPhase.ABORTED


async def test_a_run_whose_held_child_in_a_shard_was_ended_from_outside_goes_on_with_the_next_shard(
    stage: Stage,
) -> None:
    """The shard takes in that end; what the child had told, it had told the run that holds the map."""
    closure, go = planned(), asyncio.Event()
    array = Node(
        id="m",
        target=ArrayTarget(
            item=LaunchPlanTarget(launch_plan="shapes.plan"), over=("x",), min_successes=1, concurrency=2
        ),
        inputs={"x": Constant(value=[1, 2, 3, 4])},
    )
    main = closures.workflow("shapes.parent", [array], None)
    # A map of a run that pauses itself is in shards only if it is very large.
    plan = closure.launch_plans["shapes.plan"].model_copy(update={"pause_on_failure": True})
    closure = closure.model_copy(
        update={"workflows": {**closure.workflows, main.name: main}, "launch_plans": {plan.name: plan}}
    )

    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.execution.name.endswith(".m-0"):
            raise failing(user_error("m[0] is broken"))
        while request.attempt.execution.name.endswith((".m-2", ".m-3")) and not go.is_set():  # noqa: ASYNC110 - an event would hold up a worker that shuts down
            await asyncio.sleep(0.02)
        return await arithmetic(request)

    async with story(stage, closure, behave, pausing=False, limits=RunLimits(shard=2)) as told:
        state = await told.until(lambda state: bool(state.children))
        assert state.children == (f"{told.id.name}.m-0",)
        await stage.client.get_workflow_handle(state.children[0]).terminate("by somebody")
        state = await told.until(lambda state: not state.children)
        assert state.phase is ExecutionPhase.RUNNING
        assert not go.is_set()
        go.set()
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED


async def test_a_child_that_is_to_continue_as_new_waits_for_what_it_tells_its_parent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing new may start in it and nothing is at work: the loop would turn without end, and cost the worker."""

    async def slowly(execution: str, signal: str, news: Any) -> None:
        await workflow.sleep(3)
        await telling.tell(execution, signal, news)

    monkeypatch.setattr("flyte_temporal.workflows.repairs.tell", slowly)
    monkeypatch.setattr("flyte_temporal.workflows.leaving.PATIENCE", 0)
    limits = RunLimits(history_events=3)
    async with story(stage, planned(), fails("n0"), 1, limits=limits) as told:
        await until(lambda: told.tries("n0") == 1)
        child = Story(stage, told.seen, told.seen.requests[0].attempt.execution)
        await child.held("n0")
        await child.ask(NodeRetry(node="n0"))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    assert told.tries("n0") == 2


async def test_a_child_that_was_given_up_is_held_by_its_parent_and_started_anew(stage: Stage) -> None:
    async with story(stage, planned(), fails("n0"), 1) as told:
        state = await told.until(lambda state: bool(state.children))
        await stage.engine.repair(told.id.model_copy(update={"name": state.children[0]}), GiveUp(by="ann"))
        await told.held("lp")
        told.seen.behaviour = arithmetic
        await told.ask(NodeRetry(node="lp"))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    assert told.last("lp").child.endswith(".lp-r1")


async def test_a_paused_run_pauses_its_children_and_outlives_its_worker(stage: Stage) -> None:
    go = asyncio.Event()

    async def behave(request: AttemptRequest) -> Any:
        await go.wait()
        raise failing(ErrorDocument(kind="system", code="AttemptLost", message="lost"))

    async with story(stage, planned(), behave, 1, pausing=False) as told:
        await until(lambda: told.tries("n0") == 1)
        await told.ask(Pause(by="ann"))
        child = told.id.model_copy(update={"name": told.seen.requests[0].attempt.execution.name})
        async with asyncio.timeout(30):
            while (await stage.engine.repairs(child)).pause is None:  # noqa: ASYNC110 - the run is asked
                await asyncio.sleep(0.02)
        told.seen.behaviour = arithmetic
        go.set()
        await asyncio.sleep(0)
    after = Attempted()
    async with stage.worker(after):
        told.seen = after
        assert (await stage.engine.repairs(child)).phase is ExecutionPhase.PAUSED
        await stage.engine.repair(told.id, Pause(ends=True))
        done = await told.end()
    assert done.phase is ExecutionPhase.SUCCEEDED
