"""Retries, time-outs and aborts of nodes in a real Temporal; the activities are the tests' own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from temporalio import activity
from temporalio.worker import Replayer

from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.errors import Conflict, NotFound
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.bindings import Constant, InputRef, OutputRef
from flyte_temporal.spec.cache import LeaseOwner, Recipe
from flyte_temporal.spec.calls import AttemptRequest, NodeAbort
from flyte_temporal.spec.entities import Closure, FailurePolicy, TaskSpec
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import (
    Backoff,
    CacheSettings,
    Resources,
    ResourceValues,
    RetryPolicy,
    TaskPolicy,
    Timeouts,
)
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures
from flyte_temporal.workflows.interpreter import Interpreter
from tests.workflow.conftest import Attempted, Stage, user_error
from tests.workflow.test_interpreter import failing, until
from tests.workflow.test_structures import body, branch, one, planned, run

SLACK_S = 2.0
LENIENT = FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
LOST = ErrorDocument(kind=ErrorKind.SYSTEM, code="AttemptLost", message="lost")
OOM = ErrorDocument(kind=ErrorKind.USER, code="OutOfMemory", message="too much")


def tasks(policy: TaskPolicy, *nodes: str) -> tuple[TaskSpec, list[Node]]:
    """Return a task of a policy, and independent nodes of it."""
    task = closures.task("shapes.under_policy", "x", policy=policy)
    return task, [closures.step(node, 1, name=task.name) for node in nodes]


def under(policy: TaskPolicy) -> Closure:
    task, nodes = tasks(policy, "n0")
    return closures.closure(closures.workflow("shapes.under", nodes, closures.out("n0")), task)


async def hold(_request: AttemptRequest) -> int:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.02)


def last(seen: Attempted, node: str) -> NodeRecord:
    return [n for change in seen.records for n in change.nodes if n.id == node][-1]


async def test_each_failed_attempt_is_kept_with_what_was_decided(stage: Stage) -> None:
    policy = TaskPolicy(retries=RetryPolicy(count=1, backoff=Backoff(initial_s=0.05)))
    ends = iter([LOST, user_error("first"), user_error("second")])

    async def behave(request: AttemptRequest) -> int:
        raise failing(next(ends))

    state, seen = await run(stage, under(policy), attempted=Attempted(behave))
    assert state.error is not None
    assert state.error.message == "second"
    assert [len(r.failed) for r in seen.requests] == [0, 1, 2]
    found = last(seen, "n0").failed
    assert [(f.number, f.verdict.value, f.message, f.next) for f in found] == [
        (1, "SYSTEM", "lost", "platform retry 1 of 3"),
        (2, "USER", "first", "retry 1 of 1 in 0.05 s"),
        (3, "USER", "second", "its budget of 1 for retries is used up"),
    ]
    assert [f.attempt_key for f in found] == [r.attempt.key for r in seen.requests]
    assert all(f.asked_at and f.finished_at and f.asked_at <= f.finished_at for f in found)


async def test_an_attempt_after_one_without_memory_gets_more(stage: Stage) -> None:
    policy = TaskPolicy(
        retries=RetryPolicy(count=2, oom_memory_factor=2, oom_memory_max="3Gi"),
        resources=Resources(limits=ResourceValues(mem="1Gi")),
    )

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.number < 3:
            raise failing(OOM)
        return 1

    state, seen = await run(stage, under(policy), attempted=Attempted(behave))
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert [r.memory for r in seen.requests] == ["", "2048Mi", "3Gi"]
    assert [f.memory for f in last(seen, "n0").failed] == ["", "2048Mi"]


async def test_what_is_taken_away_too_often_moves_to_machines_that_stay(stage: Stage) -> None:
    task, nodes = tasks(TaskPolicy(), "n0")
    spec = closures.workflow("shapes.spot", nodes, closures.out("n0")).model_copy(
        update={"interruptible": True}
    )

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.number == 1:
            raise failing(LOST)
        return 1

    closure = closures.closure(spec, task)
    given = closures.run_input(closure, "spot", 0, RunLimits(interruptible_failures=1))
    seen = Attempted(behave)
    await stage.run(given, closure, seen)
    assert [r.interruptible for r in seen.requests] == [True, False]


def everywhere(policy: TaskPolicy) -> Closure:
    """A task in a case of a conditional, as an item of a map, in a sub-workflow and at the top, all at once."""
    task, (top,) = tasks(policy, "top")
    _, (cased,) = tasks(policy, "cased")
    _, (inner,) = tasks(policy, "inner")
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=task.name), over=("x",)),
        inputs={"x": Constant(value=[1])},
    )
    sub = closures.workflow("shapes.sub", [inner], closures.out("inner"))
    nodes = [
        top,
        branch((0, body(cased))),
        array,
        closures.sub_workflow("s", "shapes.sub", InputRef(name="x")),
    ]
    main = closures.workflow("shapes.everywhere", nodes, None)
    main = main.model_copy(update={"failure_policy": LENIENT})
    return closures.closure(main, sub, task)


async def test_the_whole_time_of_a_node_is_limited_wherever_it_stands(stage: Stage) -> None:
    """It ends attempts that run as well as pauses, on time, and no retry follows."""
    policy = TaskPolicy(
        retries=RetryPolicy(count=9, backoff=Backoff(initial_s=60)), timeouts=Timeouts(total_s=1)
    )

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "top":
            raise failing(user_error())
        return await hold(request)

    started = time.monotonic()
    state, seen = await run(stage, everywhere(policy), attempted=Attempted(behave))
    assert 1 <= time.monotonic() - started < 1 + SLACK_S
    assert state.error is not None
    failed = [state.error, *state.error.others]
    assert {e.node for e in failed} == {"top", "b.cased", "m[0]", "s.inner"}
    assert {e.code for e in failed} == {"TotalTimedOut"}
    assert len(seen.requests) == 4
    assert seen.phases()["b.cased"] == "FAILED"
    await replayed(stage, f"run-0-{stage.name}")


async def test_the_whole_time_of_a_node_counts_while_another_execution_computes_the_same(
    stage: Stage,
) -> None:
    settings = CacheSettings(enabled=True, version="1", serialize=True)
    closure = under(TaskPolicy(timeouts=Timeouts(total_s=1), cache=settings))
    task = closure.tasks["shapes.under_policy"]
    where = closures.run_input(closure, "any", 0).request.id
    key = Recipe(where, task, settings).order({"x": Inline(value=1)}).key
    stage.catalog.reserve([key], [LeaseOwner(execution="other", node="n0")], 600)
    state, seen = await run(stage, closure, attempted=Attempted(hold))
    assert state.error is not None
    assert state.error.code == "TotalTimedOut"
    assert not seen.requests
    await replayed(stage, f"run-0-{stage.name}")


async def test_the_whole_time_of_a_node_counts_while_it_waits_for_a_place(stage: Stage) -> None:
    """As soon as it was looked up; what ends while it waits never starts."""
    settings = CacheSettings(enabled=True, version="1")
    task, nodes = tasks(TaskPolicy(timeouts=Timeouts(total_s=1), cache=settings), "n0", "n1")
    main = closures.workflow("shapes.places", nodes, None)
    main = main.model_copy(update={"max_parallelism": 1, "failure_policy": LENIENT})
    closure = closures.closure(main, task)
    stage.store_closure(closure)
    seen = Attempted(hold)
    given = closures.run_input(closure, f"run-0-{stage.name}", 0, RunLimits(batches="on"))
    state = await stage.run(given, closure, seen)
    assert state.error is not None
    assert {e.code for e in [state.error, *state.error.others]} == {"TotalTimedOut"}
    assert seen.phases() == {"n0": "FAILED", "n1": "FAILED"}
    assert [r.attempt.node for r in seen.requests] == ["n0"]
    await replayed(stage, f"run-0-{stage.name}")


async def test_a_deadline_ends_all_that_runs_and_the_handler_acts(stage: Stage) -> None:
    handler = closures.task("shapes.handler", "x")
    spec = closures.workflow("shapes.late", [closures.step("n0", 1)], None).model_copy(
        update={"timeout_s": 0.5, "on_failure": TaskTarget(task=handler.name)}
    )
    handled: list[str] = []

    async def behave(request: AttemptRequest) -> int:
        if request.task == handler.name:
            handled.append(request.attempt.node)
            return 1
        return await hold(request)

    closure = closures.closure(spec, handler)
    state, seen = await run(stage, closure, attempted=Attempted(behave))
    assert state.error is not None
    assert (state.phase, state.error.code, state.error.recoverable) == (
        ExecutionPhase.FAILED,
        "DeadlineExceeded",
        False,
    )
    assert "deadline of 0.5 s" in state.error.message
    assert handled == ["efn"]
    assert seen.phases()["n0"] == "ABORTED"


async def test_a_request_may_set_an_earlier_deadline_and_a_sub_workflow_one_of_its_own(stage: Stage) -> None:
    closure = under(TaskPolicy())
    given = closures.run_input(closure, "own-deadline")
    given = given.model_copy(update={"request": given.request.model_copy(update={"deadline_s": 0.3})})
    state = await stage.run(given, closure, Attempted(hold))
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("DeadlineExceeded", "")
    inner = closures.workflow("shapes.sub", [closures.step("n0", 1)], closures.out("n0"))
    inner = inner.model_copy(update={"timeout_s": 0.3})
    nodes = [closures.sub_workflow("s", "shapes.sub", InputRef(name="x")), closures.step("other", 1)]
    outer = closures.workflow("shapes.outer", nodes, None)
    outer = outer.model_copy(update={"failure_policy": LENIENT})

    async def behave(request: AttemptRequest) -> int:
        return 1 if request.attempt.node == "other" else await hold(request)

    state, seen = await run(stage, closures.closure(outer, inner), attempted=Attempted(behave))
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("DeadlineExceeded", "s")
    assert seen.phases() == {"s": "FAILED", "s.n0": "ABORTED", "other": "SUCCEEDED"}


async def test_a_deadline_that_passes_while_no_worker_is_up_acts_at_once(stage: Stage) -> None:
    closure = under(TaskPolicy())
    given = closures.run_input(closure, "dead-worker")
    given = given.model_copy(update={"request": given.request.model_copy(update={"deadline_s": 1.5})})
    seen = Attempted(hold)
    started = time.monotonic()
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await until(lambda: bool(seen.requests))
    await asyncio.sleep(max(0.0, 2.0 - (time.monotonic() - started)))
    again = Attempted(hold)
    async with stage.worker(again):
        back = time.monotonic()
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.error is not None
    assert state.error.code == "DeadlineExceeded"
    # The old worker's activity was told; the server's sticky time-out of 10 s is what is waited for at most.
    assert time.monotonic() - back < 10 + SLACK_S
    assert [a.node for stop in again.stops for a in stop.attempts] == ["n0"]


async def aborted(
    stage: Stage, closure: Closure, node: str, at_work: Sequence[str], seen: Attempted
) -> RunState:
    """Run a closure; abort a node once some attempts are at work."""
    stage.store_closure(closure)
    given = closures.run_input(closure, f"abort-{stage.name}", 0)
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await until(lambda: {r.attempt.node for r in seen.requests} >= set(at_work))
        await stage.engine.abort_node(given.request.id, NodeAbort(node=node, reason="enough", by="ann"))
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    await replayed(stage, given.request.id.name)
    return state


async def replayed(stage: Stage, execution: str) -> None:
    """Check that a run replays under the code of today (I7 of the fault matrix)."""
    history = await stage.client.get_workflow_handle(execution).fetch_history()
    replayer = Replayer(workflows=[Interpreter], data_converter=data_converter(stage.blobs))
    await replayer.replay_workflow(history)


async def test_an_aborted_node_fails_for_good_and_its_handler_acts(stage: Stage) -> None:
    task, (node,) = tasks(TaskPolicy(retries=RetryPolicy(count=5)), "n0")
    handler = closures.task("shapes.handler", "x")
    node = node.model_copy(update={"on_failure": TaskTarget(task=handler.name)})
    closure = closures.closure(closures.workflow("shapes.handled", [node], None), task, handler)

    async def behave(request: AttemptRequest) -> int:
        return 1 if request.task == handler.name else await hold(request)

    seen = Attempted(behave)
    state = await aborted(stage, closure, "n0", ["n0"], seen)
    assert state.error is not None
    assert (state.phase, state.error.code, state.error.node) == (ExecutionPhase.FAILED, "NodeAborted", "n0")
    assert state.error.message == "The node was aborted by ann: enough."
    assert [r.task for r in seen.requests] == [task.name, handler.name]
    assert (seen.phases()["n0"], last(seen, "n0").attempts) == ("FAILED", 1)
    # Nothing but a look at the attempt itself proves that it is over.
    assert [a.node for stop in seen.stops for a in stop.attempts] == ["n0"]


async def test_an_aborted_item_counts_as_one_that_failed(stage: Stage) -> None:
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",), min_successes=1),
        inputs={"x": Constant(value=[1, 2])},
    )
    closure = one("shapes.mapped", [array], None)
    go = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "m[0]":
            try:
                return await hold(request)
            finally:
                go.set()
        while not go.is_set():
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return 1

    seen = Attempted(behave)
    state = await aborted(stage, closure, "m[0]", ["m[0]", "m[1]"], seen)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert seen.phases() == {"m": "SUCCEEDED", "m[0]": "FAILED", "m[1]": "SUCCEEDED"}


async def test_nodes_that_hold_others_can_be_aborted(stage: Stage) -> None:
    sub = closures.workflow("shapes.sub", [closures.step("n0", 1)], closures.out("n0"))
    closure = closures.closure(
        closures.workflow("shapes.o", [closures.sub_workflow("s", "shapes.sub", InputRef(name="x"))], None),
        sub,
    )
    seen = Attempted(hold)
    state = await aborted(stage, closure, "s", ["s.n0"], seen)
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", "s")
    assert seen.phases() == {"s": "FAILED", "s.n0": "ABORTED"}


async def test_the_execution_of_a_launch_plan_is_stopped_with_its_node(stage: Stage) -> None:
    seen = Attempted(hold)
    state = await aborted(stage, planned(), "lp", ["n0"], seen)
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", "lp")
    ended = [c for c in seen.records if c.phase is ExecutionPhase.ABORTED]
    assert len(ended) == 1
    assert "whose node lp started it, stopped it" in ended[0].reason


async def test_a_gate_can_be_aborted_and_what_cannot_is_refused(stage: Stage) -> None:
    gate = Node(id="g", target=GateTarget(gate="input", name="n", type=INTEGER))
    closure = one("shapes.gate", [closures.step("n0", 1), gate, closures.step("n1", closures.out("g"))], None)
    closure = closure.model_copy(
        update={
            "workflows": {
                n: w.model_copy(update={"failure_policy": LENIENT}) for n, w in closure.workflows.items()
            }
        }
    )
    given = closures.run_input(closure, "abort-refused")
    seen = Attempted()
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await until(lambda: seen.phases().get("g") == "RUNNING" and bool(seen.requests))
        abort = stage.engine.abort_node
        with pytest.raises(NotFound, match=r"no node 'nope'.*g \(g\)"):
            await abort(given.request.id, NodeAbort(node="nope"))
        await until_refused(stage, given)
        found = await abort(given.request.id, NodeAbort(node="g"))
        assert found.id == "g"
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", "g")
    history = await stage.client.get_workflow_handle("abort-refused").fetch_history()
    accepted = [
        e for e in history.events if e.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    assert len(accepted) == 1


async def until_refused(stage: Stage, given: RunInput) -> None:
    """Wait until n0 has ended, as the run itself sees it, and have its abort refused."""
    while not any(n.id == "n0" and n.phase.terminal for n in await stage.engine.nodes(given.request.id)):  # noqa: ASYNC110 - the run is asked
        await asyncio.sleep(0.01)
    with pytest.raises(Conflict, match=r"The node n0 \(n0\) has ended: it is SUCCEEDED"):
        await stage.engine.abort_node(given.request.id, NodeAbort(node="n0"))


async def test_a_node_that_waits_can_be_aborted_before_it_runs(stage: Stage) -> None:
    nodes = [closures.step("n0", 1), closures.step("n1", closures.out("n0"))]
    seen = Attempted(hold)
    state = await aborted(stage, one("shapes.waits", nodes, None), "n1", ["n0"], seen)
    assert state.error is not None
    assert (state.error.code, state.error.node) == ("NodeAborted", "n1")
    assert seen.phases() == {"n0": "ABORTED", "n1": "FAILED"}
    assert [r.attempt.node for r in seen.requests] == ["n0"]


async def test_an_attempt_that_nobody_watched_is_seen_to_be_over_before_the_run_ends(stage: Stage) -> None:
    """The worker dies, the run is aborted: Temporal ends the activity itself, and tells no process."""
    closure = under(TaskPolicy())
    given = closures.run_input(closure, "unwatched", 0, RunLimits(heartbeat_timeout_s=1))
    seen = Attempted(hold)
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        await until(lambda: bool(seen.requests))
    await stage.engine.abort(given.request.id, "enough")
    again = Attempted(hold)
    async with stage.worker(again):
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED
    assert [a.key for stop in again.stops for a in stop.attempts] == [seen.requests[0].attempt.key]


async def test_an_item_that_is_faster_than_its_stop_shows_what_it_did(stage: Stage) -> None:
    sub = closures.workflow("shapes.item", [closures.step("n0", InputRef(name="x"))], closures.out("n0"))
    array = Node(
        id="m",
        target=ArrayTarget(item=WorkflowTarget(workflow="shapes.item"), over=("x",)),
        inputs={"x": Constant(value=[0, 1])},
    )
    closure = closures.closure(closures.workflow("shapes.m", [array], OutputRef(node="m", name="o0")), sub)
    at_work = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "m[0].n0":
            await at_work.wait()
            raise failing(user_error(recoverable=False))
        at_work.set()
        try:
            return await hold(request)
        except asyncio.CancelledError:
            return 7  # its manifest was there already

    state, seen = await run(stage, closure, attempted=Attempted(behave))
    assert state.phase is ExecutionPhase.FAILED
    assert seen.phases() == {
        "m": "FAILED",
        "m[0]": "FAILED",
        "m[0].n0": "FAILED",
        "m[1]": "SUCCEEDED",
        "m[1].n0": "SUCCEEDED",
    }
