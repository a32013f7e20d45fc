"""The interpreter on a real Temporal server, with activities of the tests' own in place of launchers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from flyte_temporal.activities.refusals import their_failure
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.engine import RunState, Started
from flyte_temporal.spec.bindings import InputRef, OutputRef
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.entities import Closure, FailurePolicy
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, Node, TaskTarget
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.spec.types import INTEGER, STRING, MapType
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic, user_error


def failing(error: ErrorDocument) -> ApplicationError:
    return ApplicationError(error.message, error.model_dump(mode="json"), type=error.code, non_retryable=True)


async def test_a_chain_passes_each_output_on(stage: Stage) -> None:
    closure = closures.chain(5)
    state = await stage.run(closures.run_input(closure, "chain", 10), closure)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert state.outputs == {"o0": Inline(value=15)}


async def test_a_fan_out_is_gathered_in_order(stage: Stage) -> None:
    closure = closures.fan_out(150)
    seen = Attempted()
    state = await stage.run(closures.run_input(closure, "fan", 1), closure, seen)
    assert state.outputs == {"o0": Inline(value=300)}
    assert len(seen.requests) == 151


async def test_no_activation_makes_more_commands_than_the_window(stage: Stage) -> None:
    closure = closures.fan_out(120)
    await stage.run(closures.run_input(closure, "window", 1, RunLimits(window=7)), closure)
    history = await stage.client.get_workflow_handle("window").fetch_history()
    per_task = Counter(
        e.activity_task_scheduled_event_attributes.workflow_task_completed_event_id
        for e in history.events
        if e.HasField("activity_task_scheduled_event_attributes")
    )
    assert sum(per_task.values()) == 121
    assert max(per_task.values()) <= 7


async def test_long_tasks_fill_all_places_though_one_activation_may_start_few(stage: Stage) -> None:
    """150 attempts of which none ends before all have begun."""
    closure = closures.fan_out(150)
    all_at_work = asyncio.Event()
    seen = Attempted()

    async def behave(request: AttemptRequest) -> int:
        if len(seen.requests) == 150:
            all_at_work.set()
        await all_at_work.wait()
        return await arithmetic(request)

    seen.behaviour = behave
    run = closures.run_input(closure, "ramp", 1, RunLimits(window=60))
    state = await stage.run(run, closure, seen, max_concurrent_activities=200)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert seen.most_at_once == 150


@pytest.mark.parametrize("window", [1, 100])
async def test_many_nodes_whose_inputs_are_not_there_fail_without_a_stuck_run(
    stage: Stage, window: int
) -> None:
    """They make no command; the loop must neither wait for their end nor turn for ever."""
    text = MapType(key=STRING, value=INTEGER)
    source = closures.task("shapes.source").model_copy(
        update={"interface": Interface(outputs=(Variable(name="o0", type=text),))}
    )
    nodes = [Node(id="source", target=TaskTarget(task="shapes.source"))]
    nodes += [closures.step(f"n{i}", OutputRef(node="source", name="o0", path=("nope",))) for i in range(130)]
    policy = {"failure_policy": FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE}
    main = closures.workflow("shapes.unbound", nodes, None).model_copy(update=policy)
    closure = closures.closure(main, source)
    run = closures.run_input(closure, f"unbound-{window}", 1, RunLimits(window=window))
    seen = Attempted(no_keys)
    state = await stage.run(run, closure, seen)
    assert state.error is not None
    assert state.error.code == "AttributeNotFound"
    assert Counter(seen.phases().values()) == {"FAILED": 130, "SUCCEEDED": 1}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another task's state
            await asyncio.sleep(0.01)


async def no_keys(request: AttemptRequest) -> dict[str, int]:
    return {}


async def test_cancels_go_through_the_window_too(stage: Stage) -> None:
    all_at_work = asyncio.Event()
    seen = Attempted()

    async def behave(request: AttemptRequest) -> int:
        if len(seen.requests) == 41:
            all_at_work.set()
        await all_at_work.wait()
        if request.attempt.node == "bad":
            raise failing(user_error())
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    seen.behaviour = behave
    nodes = [closures.step(f"n{i}", InputRef(name="x")) for i in range(40)]
    nodes.append(closures.step("bad", InputRef(name="x")))
    closure = closures.closure(closures.workflow("shapes.cancels", nodes, None))
    run = closures.run_input(closure, "cancels", 1, RunLimits(window=9, heartbeat_timeout_s=10))
    state = await stage.run(run, closure, seen)
    assert state.phase is ExecutionPhase.FAILED
    assert Counter(seen.phases().values()) == {"ABORTED": 40, "FAILED": 1}
    history = await stage.client.get_workflow_handle("cancels").fetch_history()
    per_task = Counter(
        e.activity_task_cancel_requested_event_attributes.workflow_task_completed_event_id
        for e in history.events
        if e.HasField("activity_task_cancel_requested_event_attributes")
    )
    assert sum(per_task.values()) == 40
    assert max(per_task.values()) <= 9


async def test_an_aborted_attempt_that_never_answers_is_aborted_and_not_failed(stage: Stage) -> None:
    running = asyncio.Event()
    release = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        running.set()
        while True:
            try:
                await release.wait()
                return 1
            except asyncio.CancelledError:
                continue

    closure = closures.chain(1)
    run = closures.run_input(closure, "deaf", limits=RunLimits(heartbeat_timeout_s=0.5))
    seen = Attempted(behave)
    async with stage.worker(seen):
        await stage.engine.start(run, closure)
        await running.wait()
        await stage.engine.abort(run.request.id, "enough")
        state = await stage.engine.wait(run.request.id, 30)
        release.set()
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED
    assert seen.phases() == {"n0": "ABORTED"}


@pytest.mark.row(39)
async def test_no_more_activities_are_pending_than_the_limit(stage: Stage) -> None:
    closure = closures.fan_out(40)

    async def slow(request: AttemptRequest) -> int:
        await asyncio.sleep(0.02)
        return await arithmetic(request)

    seen = Attempted(slow)
    await stage.run(closures.run_input(closure, "pending", 1, RunLimits(pending=5)), closure, seen)
    assert 2 <= seen.most_at_once <= 5


async def test_the_history_reads_in_the_users_words(stage: Stage) -> None:
    closure = closures.chain(1)
    await stage.run(closures.run_input(closure, "words", 1), closure)
    handle = stage.client.get_workflow_handle("words")
    description = await handle.describe()
    assert description.workflow_type == "shapes.chain"
    found = {k: v[0] for k, v in description.search_attributes.items()}
    assert found["FtEntity"] == "shapes.chain"
    assert found["FtPhase"] == "SUCCEEDED"
    history = await handle.fetch_history()
    scheduled = [
        e.activity_task_scheduled_event_attributes
        for e in history.events
        if e.HasField("activity_task_scheduled_event_attributes")
    ]
    assert [(s.activity_type.name, s.activity_id) for s in scheduled] == [("shapes.step", "n0#1")]


def nested() -> Closure:
    inner = closures.workflow(
        "shapes.inner",
        [closures.step("a", InputRef(name="x")), closures.step("b", closures.out("a"))],
        closures.out("b"),
    )
    outer = closures.workflow(
        "shapes.outer",
        [
            closures.step("first", InputRef(name="x")),
            closures.sub_workflow("twice", "shapes.inner", closures.out("first")),
            closures.step("last", closures.out("twice")),
        ],
        closures.out("last"),
    )
    return closures.closure(outer, inner)


async def test_a_sub_workflow_runs_inside_under_paths(stage: Stage) -> None:
    seen = Attempted()
    state = await stage.run(closures.run_input(nested(), "nested", 0), nested(), seen)
    assert state.outputs == {"o0": Inline(value=4)}
    assert [r.attempt.node for r in seen.requests] == ["first", "twice.a", "twice.b", "last"]
    assert seen.phases() == dict.fromkeys(["first", "twice", "twice.a", "twice.b", "last"], "SUCCEEDED")


async def test_a_failure_names_the_node_cancels_the_running_and_skips_the_rest(stage: Stage) -> None:
    stopped: list[str] = []
    running = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "bad":
            await running.wait()
            raise failing(user_error("no such file"))
        try:
            running.set()
            while True:
                await asyncio.sleep(0.05)
                activity.heartbeat()
        except asyncio.CancelledError:
            stopped.append(request.attempt.node)
            raise

    main = closures.workflow(
        "shapes.fails",
        [
            closures.step("slow", InputRef(name="x")),
            closures.step("bad", InputRef(name="x")),
            closures.step("after", closures.out("bad")),
        ],
        closures.out("after"),
    )
    closure = closures.closure(main)
    seen = Attempted(behave)
    state = await stage.run(
        closures.run_input(closure, "fails", limits=RunLimits(heartbeat_timeout_s=5)), closure, seen
    )
    assert state.phase is ExecutionPhase.FAILED
    assert state.error is not None
    assert (state.error.node, state.error.message, state.error.kind) == ("bad", "no such file", "user")
    assert stopped == ["slow"]
    assert seen.phases() == {"slow": "ABORTED", "bad": "FAILED", "after": "SKIPPED"}
    last = seen.records[-1]
    assert last.phase is ExecutionPhase.FAILED
    assert last.error == state.error


async def test_the_ui_shows_the_users_traceback_and_not_ours(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> int:
        raise failing(user_error().model_copy(update={"traceback": "File pipeline.py, line 3"}))

    closure = closures.chain(1)
    await stage.run(closures.run_input(closure, "traceback"), closure, Attempted(behave))
    history = await stage.client.get_workflow_handle("traceback").fetch_history()
    failures = [e.activity_task_failed_event_attributes.failure for e in history.events] + [
        e.workflow_execution_failed_event_attributes.failure for e in history.events
    ]
    shown = [(f.message, f.stack_trace) for f in failures if f.message]
    assert shown == [("boom", "File pipeline.py, line 3"), ("node n0: boom", "File pipeline.py, line 3")]


async def test_a_policy_lets_independent_nodes_finish(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "bad":
            raise failing(user_error())
        return await arithmetic(request)

    main = closures.workflow(
        "shapes.completes",
        [
            closures.step("bad", InputRef(name="x")),
            closures.step("after", closures.out("bad")),
            closures.step("a", InputRef(name="x")),
            closures.step("b", closures.out("a")),
        ],
        closures.out("b"),
    ).model_copy(update={"failure_policy": FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE})
    closure = closures.closure(main)
    seen = Attempted(behave)
    state = await stage.run(closures.run_input(closure, "completes"), closure, seen)
    assert state.phase is ExecutionPhase.FAILED
    assert seen.phases() == {"bad": "FAILED", "after": "SKIPPED", "a": "SUCCEEDED", "b": "SUCCEEDED"}


async def test_of_independent_failures_the_first_of_the_listing_is_told(stage: Stage) -> None:
    """Whichever was faster: `b` has failed for good before `a` may."""
    main = closures.workflow(
        "shapes.both", [closures.step(node, InputRef(name="x")) for node in ("a", "b")], None
    ).model_copy(update={"failure_policy": FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE})
    closure = closures.closure(main)
    seen = Attempted()

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "a":
            await until(lambda: seen.phases().get("b") == "FAILED")
        raise failing(user_error())

    seen.behaviour = behave
    state = await stage.run(closures.run_input(closure, "both"), closure, seen)
    assert state.error is not None
    assert (state.error.node, [other.node for other in state.error.others]) == ("a", ["b"])


async def test_a_failure_inside_a_sub_workflow_ends_what_runs_beside_it(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "sub.bad":
            raise failing(user_error())
        return await arithmetic(request)

    inner = closures.workflow(
        "shapes.inner",
        [
            closures.step("bad", InputRef(name="x")),
            closures.step("ok", InputRef(name="x"), "bad"),
        ],
        closures.out("ok"),
    )
    main = closures.workflow(
        "shapes.outer",
        [
            closures.step("first", InputRef(name="x")),
            closures.sub_workflow("sub", "shapes.inner", closures.out("first")),
            closures.step("last", closures.out("sub")),
        ],
        closures.out("last"),
    )
    closure = closures.closure(main, inner)
    seen = Attempted(behave)
    state = await stage.run(closures.run_input(closure, "inner-fails"), closure, seen)
    assert state.error is not None
    assert state.error.node == "sub.bad"
    assert seen.phases() == {
        "first": "SUCCEEDED",
        "sub": "FAILED",
        "sub.bad": "FAILED",
        "sub.ok": "SKIPPED",
        "last": "SKIPPED",
    }


@pytest.mark.parametrize(
    ("kind", "retries", "failures", "attempts", "phase"),
    [
        ("user", 2, 2, 3, "SUCCEEDED"),
        ("user", 2, 3, 3, "FAILED"),
        ("system", 0, 3, 4, "SUCCEEDED"),
        ("system", 0, 4, 4, "FAILED"),
    ],
)
async def test_the_budgets_of_user_and_platform_are_apart(
    stage: Stage,
    kind: str,
    retries: int,
    failures: int,
    attempts: int,
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flyte_temporal.workflows.retries.SYSTEM_BACKOFF", Backoff(initial_s=0.01))
    left = [failures]

    async def behave(request: AttemptRequest) -> int:
        if left[0]:
            left[0] -= 1
            raise failing(user_error().model_copy(update={"kind": ErrorKind(kind)}))
        return await arithmetic(request)

    task = closures.task("shapes.flaky", "x", policy=TaskPolicy(retries=RetryPolicy(count=retries)))
    main = closures.workflow(
        "shapes.retried", [closures.step("n0", InputRef(name="x"), name="shapes.flaky")], closures.out("n0")
    )
    closure = closures.closure(main, task)
    seen = Attempted(behave)
    state = await stage.run(closures.run_input(closure, f"retry-{kind}-{failures}"), closure, seen)
    assert state.phase == phase
    assert [r.attempt.number for r in seen.requests] == list(range(1, attempts + 1))
    assert len({r.attempt.token for r in seen.requests}) == attempts


async def test_attempts_know_their_predecessors_and_the_record_the_last_checkpoint(stage: Stage) -> None:
    """The first saves and fails, the second is lost without having saved, the third saves nothing and succeeds."""
    saved = SavedCheckpoint(execution="e", attempt=1, generation=3, step=7, saved_at=datetime.now(UTC))

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.number < 3:
            checkpoint = saved if request.attempt.number == 1 else None
            raise their_failure(user_error(), checkpoint)
        return await arithmetic(request)

    task = closures.task("shapes.flaky", "x", policy=TaskPolicy(retries=RetryPolicy(count=2)))
    main = closures.workflow(
        "shapes.retried", [closures.step("n0", InputRef(name="x"), name="shapes.flaky")], closures.out("n0")
    )
    closure = closures.closure(main, task)
    seen = Attempted(behave)
    state = await stage.run(closures.run_input(closure, "predecessors"), closure, seen)
    assert state.phase == "SUCCEEDED"
    tokens = [request.attempt.token for request in seen.requests]
    assert [request.earlier for request in seen.requests] == [(), (tokens[0],), (tokens[0], tokens[1])]
    (record,) = seen.records[-1].nodes
    assert record.checkpoint == saved


async def test_what_cannot_be_retried_is_not(stage: Stage) -> None:
    async def behave(request: AttemptRequest) -> int:
        raise failing(user_error(recoverable=False))

    task = closures.task("shapes.flaky", "x", policy=TaskPolicy(retries=RetryPolicy(count=5)))
    main = closures.workflow(
        "shapes.final", [closures.step("n0", InputRef(name="x"), name="shapes.flaky")], closures.out("n0")
    )
    seen = Attempted(behave)
    closure = closures.closure(main, task)
    state = await stage.run(closures.run_input(closure, "final"), closure, seen)
    assert state.phase is ExecutionPhase.FAILED
    assert len(seen.requests) == 1


async def test_an_abort_stops_what_runs_and_is_recorded(stage: Stage) -> None:
    running = asyncio.Event()
    stopped: list[str] = []

    async def behave(request: AttemptRequest) -> int:
        running.set()
        try:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            stopped.append(request.attempt.node)
            raise

    closure = closures.chain(2)
    run = closures.run_input(closure, "abort", limits=RunLimits(heartbeat_timeout_s=5))
    seen = Attempted(behave)
    async with stage.worker(seen):
        await stage.engine.start(run, closure)
        await running.wait()
        await stage.engine.abort(run.request.id, "changed my mind")
        state = await stage.engine.wait(run.request.id, 30)
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED
    assert stopped == ["n0"]
    assert seen.phases() == {"n0": "ABORTED", "n1": "SKIPPED"}
    assert (seen.records[-1].phase, seen.records[-1].reason) == (ExecutionPhase.ABORTED, "changed my mind")


async def test_the_same_id_starts_once(stage: Stage) -> None:
    closure = closures.chain(1)
    run = closures.run_input(closure, "once")
    assert await stage.engine.start(run, closure) is Started.NEW
    assert await stage.engine.start(run, closure) is Started.EXISTS
    state = await stage.run(run, closure)
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert await stage.engine.start(run, closure) is Started.EXISTS


async def test_forgetting_a_worker_harms_no_run(stage: Stage) -> None:
    """What it is for (a killed worker's runs go on at once) is in tests/e2e/test_faults.py."""
    closure = closures.chain(3)
    run = closures.run_input(closure, "moved", 1)

    async def behave(request: AttemptRequest) -> int:
        await stage.engine.forget_worker(run.request.id)
        return await arithmetic(request)

    state = await stage.run(run, closure, Attempted(behave))
    assert state.outputs == {"o0": Inline(value=4)}
    await stage.engine.forget_worker(run.request.id)
    await stage.engine.forget_worker(closures.run_input(closure, "never-was").request.id)


async def test_an_unknown_execution_is_unknown(stage: Stage) -> None:
    unknown = closures.run_input(closures.chain(1), "nobody").request.id
    assert await stage.engine.state(unknown) is None
    with pytest.raises(NotFound):
        await stage.engine.abort(unknown, "")


async def test_a_node_that_is_not_run_fails_the_run_with_words(stage: Stage) -> None:
    gates = Node(id="wait", target=ArrayTarget(item=GateTarget(gate="sleep"), over=("duration",)))
    closure = closures.closure(closures.workflow("shapes.gated", [gates], None))
    state = await stage.run(closures.run_input(closure, "gate"), closure)
    assert state.phase is ExecutionPhase.FAILED
    assert state.error is not None
    assert state.error.code == "UnsupportedSpec"
    assert "a map over a gate" in state.error.message


async def test_a_run_goes_on_from_its_history_when_no_worker_remembers_it(stage: Stage) -> None:
    closure = nested()
    run = closures.run_input(closure, "evicted", 3)
    state = await _with_options(stage, run, closure, max_cached_workflows=0)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=7)}


async def _with_options(stage: Stage, run: RunInput, closure: Closure, **options: Any) -> RunState | None:
    async with stage.worker(Attempted(), **options):
        await stage.engine.start(run, closure)
        return await stage.engine.wait(run.request.id, 60)


async def test_an_abort_of_a_run_that_was_evicted_is_clean(stage: Stage) -> None:
    running = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        running.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    closure = closures.fan_out(3)
    run = closures.run_input(closure, "evicted-abort", limits=RunLimits(heartbeat_timeout_s=5))
    async with stage.worker(Attempted(behave), max_cached_workflows=0):
        await stage.engine.start(run, closure)
        await running.wait()
        await stage.engine.abort(run.request.id, "why not")
        state = await stage.engine.wait(run.request.id, 30)
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED


async def test_live_nodes_come_from_the_run_itself(stage: Stage) -> None:
    reached = asyncio.Event()
    go_on = asyncio.Event()

    async def behave(request: AttemptRequest) -> int:
        if request.attempt.node == "n1":
            reached.set()
            await go_on.wait()
        return await arithmetic(request)

    closure = closures.chain(3)
    run = closures.run_input(closure, "live")
    async with stage.worker(Attempted(behave)):
        await stage.engine.start(run, closure)
        await reached.wait()
        nodes = await stage.engine.nodes(run.request.id)
        go_on.set()
        await stage.engine.wait(run.request.id, 30)
    assert [(n.id, n.phase.value) for n in nodes] == [
        ("n0", "SUCCEEDED"),
        ("n1", "RUNNING"),
        ("n2", "QUEUED"),
    ]


@pytest.mark.row(39)
async def test_a_spec_of_thousands_of_nodes_stays_out_of_the_history(stage: Stage) -> None:
    """The claim check: 2,000 nodes are about 200 kB of JSON, the history holds only references."""
    closure = closures.closure(
        closures.workflow(
            "shapes.wide",
            [closures.step(f"n{i}", 1, *(["n0"] if i else [])) for i in range(2000)],
            closures.out("n1"),
        )
    )

    async def first_fails(request: AttemptRequest) -> int:
        raise failing(user_error())

    run = closures.run_input(closure, "large")
    state = await stage.run(run, closure, Attempted(first_fails))
    assert state.phase is ExecutionPhase.FAILED
    handle = stage.client.get_workflow_handle("large")
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.FAILED
    assert description.raw_description.workflow_execution_info.history_size_bytes < 20_000
