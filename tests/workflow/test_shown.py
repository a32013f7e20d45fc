"""What somebody finds in Temporal who has nothing of ours: by Temporal's own API, on a real server."""

from __future__ import annotations

import asyncio

from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from flyte_temporal.spec.bindings import InputRef
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic
from tests.workflow.test_interpreter import failing
from tests.workflow.test_structures import planned

TOLD = 'Traceback (most recent call last):\n  File "night.py", line 16, in load\nConnectionError: port 5432 is closed'
CLOSED = ErrorDocument(
    kind="user",
    code="UserCodeError",
    message="ConnectionError: port 5432 is closed",
    exception="ConnectionError",
    traceback=TOLD,
)


async def plainly(stage: Stage) -> Client:
    """Return a client as anybody has one: no converter of ours, no failure converter."""
    return await Client.connect(stage.client.service_client.config.target_host)


def retried() -> Closure:
    policy = TaskPolicy(retries=RetryPolicy(count=1, backoff=Backoff(initial_s=0.1)))
    load = closures.task("night.load", "x", policy=policy)
    nodes = [
        closures.step("n0", InputRef(name="x")),
        closures.step("n1", closures.out("n0"), name="night.load"),
        closures.step("n2", closures.out("n1")),
    ]
    return closures.closure(closures.workflow("night.nightly", nodes, closures.out("n2")), load)


async def closed(request: AttemptRequest) -> int:
    if request.attempt.node == "n1":
        raise failing(CLOSED)
    return await arithmetic(request)


def asked_by(given: RunInput, owner: str) -> RunInput:
    request = given.request.model_copy(update={"requested_by": owner})
    return given.model_copy(update={"request": request})


async def details(client: Client, workflow_id: str) -> str:
    """Return what the UI shows as current details; it asks in the same way."""
    handle = client.get_workflow_handle(workflow_id)
    found = await handle.query("__temporal_workflow_metadata")
    return str(found.current_details)


def summaries(history: WorkflowHistory) -> list[tuple[str, str]]:
    """Return (id of the activity or `timer`, summary) of everything that was asked for."""
    found = []
    for event in history.events:
        name = event.activity_task_scheduled_event_attributes.activity_id
        if event.HasField("timer_started_event_attributes"):
            name = "timer"
        if name:
            found.append((name, event.user_metadata.summary.data.decode().strip('"')))
    return found


async def test_a_failed_run_is_found_by_its_attributes_and_tells_why(stage: Stage) -> None:
    closure = retried()
    given = asked_by(closures.run_input(closure, stage.name, 1), "ada")
    client = await plainly(stage)
    async with stage.worker(Attempted(closed)):
        await stage.engine.start(given, closure)
        await stage.engine.wait(given.request.id, 60)
        shown = await details(client, stage.name)
        request = given.request
        query = (
            f"WorkflowType = 'night.nightly' AND FtProject = '{request.id.project}' AND FtDomain = '{request.id.domain}' "
            f"AND FtEntity = 'night.nightly' AND FtVersion = '{request.version}' AND FtOwner = 'ada' "
            f"AND FtPhase = 'FAILED' AND WorkflowId = '{stage.name}'"
        )
        async with asyncio.timeout(20):
            while not [run.id async for run in client.list_workflows(query)]:  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.05)
    assert shown.startswith("**FAILED** · 3 nodes: 1 SUCCEEDED, 1 FAILED, 1 SKIPPED\n")
    assert "Node `n1` failed: UserCodeError: ConnectionError: port 5432 is closed" in shown
    assert TOLD in shown
    row = next(line for line in shown.splitlines() if line.startswith("| `n1`")).replace("\u00a0", " ")
    assert [cell.strip() for cell in row.split("|")[3:5]] == ["✘ FAILED", "2"]


async def test_the_failure_of_a_run_and_of_each_attempt_is_the_users_with_our_code_as_its_type(
    stage: Stage,
) -> None:
    closure = retried()
    given = closures.run_input(closure, stage.name, 1)
    client = await plainly(stage)
    await stage.run(given, closure, Attempted(closed))
    handle = client.get_workflow_handle(stage.name)
    try:
        await handle.result()
    except WorkflowFailureError as error:
        cause = error.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == ("UserCodeError", "node n1: ConnectionError: port 5432 is closed")
    history = await handle.fetch_history()
    failures = [e.activity_task_failed_event_attributes.failure for e in history.events]
    attempts = [f for f in failures if f.message]
    assert [(f.application_failure_info.type, f.message, f.stack_trace) for f in attempts] == [
        ("UserCodeError", "ConnectionError: port 5432 is closed", TOLD)
    ] * 2
    assert summaries(history) == [
        ("n0#1", "n0"),
        ("n1#1", "n1"),
        ("timer", "n1: pause before attempt 2 (retry 1 of 1 in 0.1 s)"),
        ("n1#2", "n1 attempt 2"),
    ]


async def test_the_call_stack_names_what_waits_after_nodes(stage: Stage) -> None:
    closure = closures.fan_out(2)
    given = closures.run_input(closure, stage.name, 1)
    client, released, begun = await plainly(stage), asyncio.Event(), asyncio.Event()

    async def held(request: AttemptRequest) -> int:
        begun.set()
        await released.wait()
        return await arithmetic(request)

    async with stage.worker(Attempted(held)):
        await stage.engine.start(given, closure)
        await begun.wait()
        stack = str(await client.get_workflow_handle(stage.name).query("__stack_trace"))
        shown = await details(client, stage.name)
        released.set()
        await stage.engine.wait(given.request.id, 60)
    assert "name='n0'" in stack
    assert "name='n1'" in stack
    assert shown.startswith("**RUNNING** · 3 nodes: 1 QUEUED, 2 RUNNING\n")


async def test_a_child_stands_under_its_parent_and_an_aborted_run_tells_why(stage: Stage) -> None:
    begun = asyncio.Event()

    async def forever(request: AttemptRequest) -> int:
        from temporalio import activity

        begun.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    given = asked_by(stage.stored(planned(), f"p-{stage.name}"[:60]), "ada")
    parent = given.request.id.name
    client = await plainly(stage)
    async with stage.worker(Attempted(forever)):
        await stage.engine.start(given, planned())
        await begun.wait()
        description = await client.get_workflow_handle(parent).describe()
        (child,) = description.raw_description.pending_children
        below = await client.get_workflow_handle(child.workflow_id).describe()
        assert (
            below.parent_id,
            below.typed_search_attributes[SearchAttributeKey.for_keyword("FtOwner")],
        ) == (parent, "ada")
        assert await description.static_summary() == "workflow shapes.parent v1, started by ada"
        assert "flyte-temporal logs" in str(await description.static_details())
        assert str(await below.static_summary()).endswith(f" of {parent}")
        await stage.engine.abort(given.request.id, "wrong input (by bob)")
        await stage.engine.wait(given.request.id, 60)
        shown = await details(client, parent)
    history = await client.get_workflow_handle(parent).fetch_history()
    asked = [e.workflow_execution_cancel_requested_event_attributes for e in history.events]
    assert [a.cause for a in asked if a.cause] == ["wrong input (by bob)"]
    assert shown.startswith("**ABORTED: wrong input (by bob)**")
