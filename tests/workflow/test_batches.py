"""Batches and segments on a real server: what travels together, and what happens when a part of it does not end well."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from flyte_temporal.activities.refusals import their_failure
from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.spec import calls
from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import Backoff, CacheSettings, RetryPolicy, TaskPolicy, Timeouts
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.workflows.interpreter import Interpreter
from tests.workflow.conftest import Attempted, HandedBack, Stage, arithmetic, plain, user_error
from tests.workflow.test_structures import mapped

ON = RunLimits(batches="on", slots=2, heartbeat_timeout_s=5)


def short(closure: Closure, **policy: Any) -> Closure:
    """Return a closure whose tasks are declared to be short."""
    tasks = {
        name: task.model_copy(update={"policy": TaskPolicy(short=True, **policy)})
        for name, task in closure.tasks.items()
    }
    return closure.model_copy(update={"tasks": tasks})


async def scheduled(stage: Stage, name: str) -> dict[str, str]:
    """Return the summaries of a run's activities by their ids; the history is replayed on the way."""
    history = await stage.client.get_workflow_handle(name).fetch_history()
    replayer = Replayer(
        workflows=[Interpreter],
        data_converter=data_converter(stage.blobs),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    await replayer.replay_workflow(history)
    found = {}
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            attributes = event.activity_task_scheduled_event_attributes
            found[attributes.activity_id] = event.user_metadata.summary.data.decode().strip('"')
    return found


def nodes(seen: Attempted) -> list[str]:
    return [request.attempt.node for request in seen.requests]


async def test_a_chain_of_short_tasks_is_one_activity(stage: Stage) -> None:
    closure, seen = short(closures.chain(30)), Attempted()
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert plain(state.outputs["o0"]) == 31
    assert nodes(seen) == [f"n{i}" for i in range(30)]
    assert await scheduled(stage, stage.name) == {"n0+29#1": "n0 … n29"}
    assert set(seen.phases().values()) == {"SUCCEEDED"}


async def test_ready_siblings_are_spread_over_the_slots(stage: Stage) -> None:
    closure, seen = short(closures.layers(3, 10)), Attempted()
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert Counter(nodes(seen)) == Counter({request.attempt.node: 1 for request in seen.requests})
    assert len(seen.requests) == 31
    first = [batch for batch in seen.batches if batch.members[0].node.startswith("n0_")]
    assert [sum(m.node.startswith("n0_") for m in batch.members) for batch in first] == [5, 5]
    assert len(await scheduled(stage, stage.name)) < 12


@pytest.mark.parametrize("seconds", [0.001, 3.0])
async def test_without_a_hint_the_first_results_decide(stage: Stage, seconds: float) -> None:
    closure = closures.fan_out(60)

    async def measured(request: calls.AttemptRequest) -> calls.AttemptResult:
        value = await arithmetic(request)
        now = datetime.now(UTC)
        return calls.AttemptResult(
            outputs={"o0": Inline(value=value)}, started_at=now, finished_at=now + timedelta(seconds=seconds)
        )

    seen = Attempted(measured)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert plain(state.outputs["o0"]) == 120
    assert len(seen.requests) == 61
    assert bool(seen.batches) == (seconds < 1)
    if seconds < 1:
        assert sum(len(batch.members) for batch in seen.batches) >= 50


@pytest.mark.parametrize("known_short", [False, True])
async def test_a_cached_task_is_looked_up_once_also_if_it_goes_alone(stage: Stage, known_short: bool) -> None:
    """Looked up again whenever it is to start, it never did."""
    closure = closures.chain(3)
    policy = TaskPolicy(short=known_short or None, cache=CacheSettings(enabled=True, version="1"))
    tasks = {name: task.model_copy(update={"policy": policy}) for name, task in closure.tasks.items()}
    closure = closure.model_copy(update={"tasks": tasks})
    stage.store_closure(closure)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen := Attempted())
    assert (state.phase, nodes(seen)) == (ExecutionPhase.SUCCEEDED, ["n0", "n1", "n2"])
    history = await stage.client.get_workflow_handle(stage.name).fetch_history()
    lookups = [e for e in history.events if b"flyte_temporal.lookup" in e.SerializeToString()]
    assert len(lookups) == 3


async def test_short_nodes_whose_inputs_are_wrong_hold_up_nothing(stage: Stage) -> None:
    """Each goes alone, fails before anything is asked for, and leaves its place in the row."""
    broken = closures.step("n0", InputRef(name="x", path=("missing",)))
    inner = closures.workflow("shapes.inner", [broken], closures.out("n0"))
    array = Node(
        id="m",
        target=ArrayTarget(item=WorkflowTarget(workflow=inner.name), over=("x",), min_successes=0),
        inputs={"x": Constant(value=[{"has": i} for i in range(8)])},
    )
    main = closures.workflow("shapes.outer", [array, closures.step("last", 1)], closures.out("last"))
    closure = closures.closure(main)
    closure = short(closure.model_copy(update={"workflows": {**closure.workflows, inner.name: inner}}))
    seen = Attempted()
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert Counter(seen.phases().values())["FAILED"] == 16  # the items, and the node in each


async def test_the_abort_of_one_member_leaves_the_others_when_no_worker_has_their_batch(stage: Stage) -> None:
    """Temporal then ends the activity by itself, and nobody says whom it was about."""
    closure = short(mapped(range(10), min_successes=5))
    run = closures.run_input(closure, stage.name, 1, RunLimits(batches="on", slots=1, heartbeat_timeout_s=5))
    async with stage.worker(Attempted(), no_remote_activities=True):
        await stage.engine.start(run, closure)
        async with asyncio.timeout(30):
            while len(await scheduled(stage, stage.name)) == 0:  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.02)
        await stage.engine.abort_node(run.request.id, calls.NodeAbort(node="m[3]"))
    seen = Attempted()
    async with stage.worker(seen):
        state = await stage.engine.wait(run.request.id, 60)
    assert state is not None
    assert plain(state.outputs["o0"]) == [1, 2, 3, None, *range(5, 11)]
    assert sorted(nodes(seen)) == [f"m[{i}]" for i in range(10) if i != 3]


async def test_it_is_off_unless_it_is_on(stage: Stage) -> None:
    closure, seen = short(closures.chain(5)), Attempted()
    off = ON.model_copy(update={"batches": "off"})
    await stage.run(closures.run_input(closure, stage.name, 1, off), closure, seen)
    assert not seen.batches


async def test_a_failed_member_is_tried_again_alone_and_ends_its_segment(stage: Stage) -> None:
    closure = short(closures.chain(10), retries=RetryPolicy(count=1))
    failures: list[str] = []

    async def once(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n4" and not failures:
            failures.append(request.attempt.node)
            raise their_failure(user_error())
        return await arithmetic(request)

    seen = Attempted(once)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert plain(state.outputs["o0"]) == 11
    assert Counter(nodes(seen)) == Counter([*(f"n{i}" for i in range(10)), "n4"])
    assert list(await scheduled(stage, stage.name)) == ["n0+9#1", "n4#2", "n5+4#1"]
    assert {r.attempt.number for r in seen.requests if r.attempt.node != "n4"} == {1}


async def test_what_fails_for_good_leaves_the_rest_of_its_segment_skipped(stage: Stage) -> None:
    closure = short(closures.chain(6))

    async def fails(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n2":
            raise their_failure(user_error("no luck"))
        return await arithmetic(request)

    seen = Attempted(fails)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert (state.phase, state.error.node, state.error.message) == (ExecutionPhase.FAILED, "n2", "no luck")
    assert nodes(seen) == ["n0", "n1", "n2"]
    assert seen.phases() == {
        "n0": "SUCCEEDED",
        "n1": "SUCCEEDED",
        "n2": "FAILED",
        "n3": "SKIPPED",
        "n4": "SKIPPED",
        "n5": "SKIPPED",
    }
    attempts = {node.id: node.attempts for change in seen.records for node in change.nodes}
    assert attempts == {"n0": 1, "n1": 1, "n2": 1, "n3": 0, "n4": 0, "n5": 0}


async def test_a_long_member_goes_on_alone_and_the_rest_without_it(stage: Stage) -> None:
    closure = short(closures.fan_out(10))

    async def long(request: calls.AttemptRequest) -> int:
        alone = not any(
            request.attempt.token == m.token and b.members[0].node == "n0"
            for b in seen.batches
            for m in b.members
        )
        seen_before = [r for r in seen.requests[:-1] if r.attempt == request.attempt]
        if request.attempt.node == "n1" and not seen_before and not alone:
            raise HandedBack
        return await arithmetic(request)

    seen = Attempted(long)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert plain(state.outputs["o0"]) == 20
    ids = await scheduled(stage, stage.name)
    assert "n1#1" in ids
    # It may have ended since, where the worker that gets it sees nothing of its process.
    assert [r.again for r in seen.requests if r.attempt.node == "n1"][-1] is True
    again = [batch for batch in seen.batches if batch.members[0].node == "n2"]
    assert [batch.again for batch in again] == [True]
    tokens = {(r.attempt.node, r.attempt.number, r.attempt.token) for r in seen.requests}
    assert len(tokens) == 11, "asked for again, an attempt stays the same"


async def test_the_time_of_what_came_back_before_it_began_has_not_begun(stage: Stage) -> None:
    """It travels behind one that fails, and waits for its next attempt for longer than its own total time-out."""
    again = RetryPolicy(count=1, backoff=Backoff(initial_s=2.5))
    first = closures.task("shapes.first", "x").model_copy(
        update={"policy": TaskPolicy(short=True, retries=again)}
    )
    second = closures.task("shapes.second", "x").model_copy(
        update={"policy": TaskPolicy(short=True, timeouts=Timeouts(total_s=1.5))}
    )
    steps = [
        Node(id="a", target=TaskTarget(task=first.name), inputs={"x": Constant(value=1)}),
        Node(id="b", target=TaskTarget(task=second.name), inputs={"x": closures.out("a")}),
    ]
    closure = closures.closure(closures.workflow("shapes.behind", steps, closures.out("b")), first, second)

    async def fails(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "a" and request.attempt.number == 1:
            raise their_failure(user_error("not yet"))
        return await arithmetic(request)

    seen = Attempted(fails)
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert [[m.node for m in batch.members] for batch in seen.batches][:1] == [["a", "b"]]
    assert (state.phase, state.error) == (ExecutionPhase.SUCCEEDED, None)
    await scheduled(stage, stage.name)


async def test_fail_fast_stops_other_batches_at_once(stage: Stage) -> None:
    closure = short(closures.fan_out(20))
    started = asyncio.Event()

    async def fails(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n0":
            await started.wait()
            raise their_failure(user_error())
        started.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.02)

    seen = Attempted(fails)
    begun = asyncio.get_running_loop().time()
    state = await stage.run(closures.run_input(closure, stage.name, 1, ON), closure, seen)
    assert state.phase is ExecutionPhase.FAILED
    assert asyncio.get_running_loop().time() - begun < 20
    phases = Counter(seen.phases().values())
    assert phases == {"FAILED": 1, "ABORTED": 1, "SKIPPED": 19}


async def test_an_abort_stops_a_segment(stage: Stage) -> None:
    closure = short(closures.chain(5))
    started = asyncio.Event()

    async def waits(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n1":
            started.set()
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.02)
        return await arithmetic(request)

    seen = Attempted(waits)
    run = closures.run_input(closure, stage.name, 1, ON)
    async with stage.worker(seen):
        await stage.engine.start(run, closure)
        await started.wait()
        await stage.engine.abort(run.request.id, "enough")
        state = await stage.engine.wait(run.request.id, 30)
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED
    assert seen.phases() == {"n0": "SUCCEEDED", "n1": "ABORTED"} | dict.fromkeys(
        ("n2", "n3", "n4"), "SKIPPED"
    )
