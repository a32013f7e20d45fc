"""The dynamic activity over a launcher of the test's own: manifests, adoption, cancels, time-outs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from flyte_temporal.activities.attempts import Attempts
from flyte_temporal.activities.cancels import Stops
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.adapters.launchers.containers.engine import EngineFailed
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import (
    PLATFORM_STOPPED_MESSAGE,
    AttemptOrder,
    AttemptPhase,
    AttemptState,
    Intent,
    Manifest,
    StorageConfig,
)
from flyte_temporal.spec.calls import AttemptRequest, StopRequest
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.execution import Environment, ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Overrides, Resources, ResourceValues, Timeouts
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.metadata import MemoryMetadataStore
from flyte_temporal.workflows.failures import checkpoint_of, document_of

EXECUTION = ExecutionId(project="p", domain="d", name="e")
ATTEMPT = AttemptId(execution=EXECUTION, node="n0", number=1, token="t")
CLOSURE = closures.chain(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def at_once() -> None:
    return


@dataclass
class Scripted:
    """A launcher whose attempts end as the test says."""

    on_start: Callable[[AttemptOrder], None] = lambda order: None
    states: list[AttemptState] = field(default_factory=list)
    orders: list[AttemptOrder] = field(default_factory=list)
    stopped: list[AttemptId] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    released: list[AttemptId] = field(default_factory=list)
    until_stopped: Callable[[], Awaitable[None]] = at_once

    async def start(self, order: AttemptOrder) -> None:
        self.orders.append(order)
        self.on_start(order)

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        if len(self.states) > 1:
            return self.states.pop(0)
        if not self.states[0].over:
            await asyncio.sleep(0.005)
        return self.states[0]

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        await self.until_stopped()
        self.intents.append(intent)
        self.stopped.append(attempt)
        return AttemptState(phase=AttemptPhase.EXITED, exit_code=-15)

    async def release(self, attempt: AttemptId) -> None:
        self.released.append(attempt)

    async def close(self) -> None:
        return


RUNNING = AttemptState(phase=AttemptPhase.RUNNING, started_at=datetime.now(UTC))
EXITED = AttemptState(phase=AttemptPhase.EXITED, exit_code=0)


@dataclass
class House:
    blobs: BlobStore
    store: MemoryMetadataStore
    records: Records
    launcher: Scripted
    attempts: Attempts
    stops: Stops

    def manifest(self, attempt: AttemptId = ATTEMPT, **fields: Any) -> None:
        made = Manifest(attempt=attempt, started_at=NOW, finished_at=NOW, **fields)
        self.blobs.put(keys.manifest(ATTEMPT), canonical_bytes(made))

    async def run(
        self, environment: ActivityEnvironment | None = None, of: Environment | None = None, **fields: Any
    ) -> Any:
        request = AttemptRequest(
            environment=of or Environment(),
            attempt=ATTEMPT,
            spec=digest(CLOSURE),
            task=closures.STEP,
            inputs={"x": Inline(value=1)},
            name="step",
            **fields,
        )
        payload = pydantic_data_converter.payload_converter.to_payload(request)
        return await (environment or environment_of()).run(self.attempts.run, [RawValue(payload)])


def environment_of(attempt: int = 1) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.payload_converter = pydantic_data_converter.payload_converter
    made.info = ActivityEnvironment.default_info()
    made.info = dataclasses.replace(
        made.info,
        attempt=attempt,
        heartbeat_timeout=timedelta(seconds=0.03),
        start_to_close_timeout=timedelta(hours=1),
    )
    return made


@pytest.fixture
def house(tmp_path: Path) -> House:
    storage = StorageConfig(root=tmp_path.as_uri())
    blobs = open_store(storage)
    blobs.put(keys.closure(digest(CLOSURE)), canonical_bytes(CLOSURE))
    store = MemoryMetadataStore()
    records = Records(store)
    launcher = Scripted(states=[RUNNING, EXITED])
    closures = Closures(blobs)
    parts = Parts(
        launchers={"pool": launcher},
        blobs=blobs,
        storage=storage,
        closures=closures,
        records=records,
        remembering=Remembering(MemoryCatalog(), blobs, closures),
    )
    return House(blobs, store, records, launcher, Attempts(parts), Stops(parts))


async def test_success_is_what_the_manifest_says(house: House) -> None:
    house.launcher.on_start = lambda order: house.manifest(outputs={"o0": Inline(value=2)})
    result = await house.run()
    assert result.outputs == {"o0": Inline(value=2)}
    assert house.launcher.released == [ATTEMPT]


async def test_an_exit_code_of_zero_is_no_success(house: House) -> None:
    with pytest.raises(ApplicationError) as failed:
        await house.run()
    assert failed.value.type == "OutputsNotFound"
    document = ErrorDocument.model_validate(failed.value.details[0])
    assert document.kind is ErrorKind.SYSTEM
    assert document.recoverable


async def test_a_lost_attempt_is_the_platforms_fault(house: House) -> None:
    house.launcher.states = [AttemptState(phase=AttemptPhase.LOST)]
    with pytest.raises(ApplicationError) as failed:
        await house.run()
    assert failed.value.type == "AttemptLost"
    assert failed.value.non_retryable


async def test_an_attempt_that_the_platform_stopped_says_so(house: House) -> None:
    house.launcher.states = [AttemptState(phase=AttemptPhase.LOST, intent=Intent.PLATFORM)]
    with pytest.raises(ApplicationError) as failed:
        await house.run()
    document = ErrorDocument.model_validate(failed.value.details[0])
    assert (failed.value.type, document.code) == ("PlatformStopped", "PlatformStopped")
    assert (document.kind, document.recoverable) == (ErrorKind.SYSTEM, True)
    assert document.message == PLATFORM_STOPPED_MESSAGE


async def test_a_manifest_of_another_token_is_no_proof(house: House) -> None:
    zombie = ATTEMPT.model_copy(update={"token": "other"})
    house.launcher.on_start = lambda order: house.manifest(attempt=zombie, outputs={})
    with pytest.raises(ApplicationError) as failed:
        await house.run()
    assert failed.value.type == "CorruptBlob"


async def test_the_users_error_fails_the_activity_with_its_document(house: House) -> None:
    error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom", traceback="line 3")
    house.launcher.on_start = lambda order: house.manifest(error=error)
    with pytest.raises(ApplicationError, match="boom") as failed:
        await house.run()
    assert failed.value.non_retryable
    assert ErrorDocument.model_validate(failed.value.details[0]) == error


@pytest.mark.row(6)
async def test_a_second_delivery_of_a_finished_attempt_starts_nothing(house: House) -> None:
    house.manifest(outputs={"o0": Inline(value=2)})
    result = await house.run(environment_of(attempt=2))
    assert result.outputs == {"o0": Inline(value=2)}
    assert house.launcher.orders == []
    # Whoever saw it end may have died before it could do that.
    assert house.launcher.released == [ATTEMPT]


async def test_overrides_of_the_node_reach_the_order(house: House) -> None:
    house.launcher.on_start = lambda order: house.manifest(outputs={})
    await house.run(overrides=Overrides(env={"A": "b"}))
    assert house.launcher.orders[0].task.policy.env == {"A": "b"}


async def test_a_cancel_stops_the_attempt(house: House) -> None:
    house.launcher.states = [RUNNING]
    environment = environment_of()
    started = asyncio.Event()
    house.launcher.on_start = lambda order: started.set()
    running = asyncio.create_task(house.run(environment))
    await started.wait()
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert house.launcher.stopped == [ATTEMPT]


@pytest.mark.row(2)
async def test_a_worker_that_shuts_down_leaves_the_attempt_alone(house: House) -> None:
    house.launcher.states = [RUNNING]
    environment = environment_of()
    started = asyncio.Event()
    house.launcher.on_start = lambda order: started.set()
    running = asyncio.create_task(house.run(environment))
    await started.wait()
    environment.cancel(activity.ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert house.launcher.stopped == []


async def test_a_running_attempt_heartbeats(house: House) -> None:
    beats: list[object] = []
    environment = environment_of()
    environment.on_heartbeat = lambda *details: beats.append(details)
    house.launcher.states = [RUNNING, RUNNING, RUNNING, EXITED]
    house.launcher.on_start = lambda order: house.manifest(outputs={})
    await house.run(environment)
    assert len(beats) == 3


async def test_an_attempt_over_its_time_is_stopped(house: House) -> None:
    house.launcher.states = [
        RUNNING.model_copy(update={"started_at": datetime.now(UTC) - timedelta(seconds=60)})
    ]
    with pytest.raises(ApplicationError, match=r"longer than its time-out of 5 s") as failed:
        await house.run(overrides=Overrides(timeouts=Timeouts(run_s=5)))
    assert failed.value.type == "TimedOut"
    assert (house.launcher.stopped, house.launcher.intents) == ([ATTEMPT], [Intent.TIMEOUT])


async def test_an_attempt_that_waits_too_long_for_a_process_is_stopped(house: House) -> None:
    house.launcher.states = [AttemptState(phase=AttemptPhase.QUEUED, message="waiting")]
    asked = datetime.now(UTC) - timedelta(seconds=60)
    with pytest.raises(
        ApplicationError, match=r"longer than its time-out of 5 s for a free process"
    ) as failed:
        await house.run(overrides=Overrides(timeouts=Timeouts(queued_s=5)), asked_at=asked)
    assert failed.value.type == "QueuedTimedOut"
    document = ErrorDocument.model_validate(failed.value.details[0])
    assert (document.kind, document.recoverable) == (ErrorKind.USER, True)


@pytest.mark.row(29)
@pytest.mark.parametrize("why", ["time-out", "cancel"])
async def test_what_is_done_before_a_stop_counts(house: House, why: str) -> None:
    """Row 29 of the fault matrix: exactly one of SUCCESS and CANCELLED, and the manifest says which."""
    house.launcher.states = (
        [RUNNING.model_copy(update={"started_at": NOW})] if why == "time-out" else [RUNNING]
    )

    async def commits() -> None:
        house.manifest(outputs={"o0": Inline(value=2)})

    house.launcher.until_stopped = commits
    environment, started = environment_of(), asyncio.Event()
    house.launcher.on_start = lambda order: started.set()
    limits = Overrides(timeouts=Timeouts(run_s=5)) if why == "time-out" else None
    running = asyncio.create_task(house.run(environment, overrides=limits))
    await started.wait()
    if why == "cancel":
        environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    result = await running
    assert result.outputs == {"o0": Inline(value=2)}
    assert house.launcher.stopped == [ATTEMPT]
    await house.records.flush()
    assert house.store.nodes(EXECUTION)[0].phase is NodePhase.SUCCEEDED


async def test_memory_is_raised_and_the_choice_of_machine_told(house: House) -> None:
    house.launcher.on_start = lambda order: house.manifest(outputs={})
    given = Overrides(resources=Resources(requests=ResourceValues(cpu="2", mem="1Gi")))
    await house.run(overrides=given, memory="4Gi", interruptible=True)
    order = house.launcher.orders[0]
    found = order.task.policy.resources
    assert (found.requests.cpu, found.requests.mem, found.limits.mem) == ("2", "4Gi", "4Gi")
    assert order.interruptible


async def test_attempts_in_doubt_are_stopped_and_fenced(house: House) -> None:
    never = ATTEMPT.model_copy(update={"number": 2})

    async def stop(attempt: AttemptId, grace_s: float, intent: Intent = Intent.CANCEL) -> AttemptState:
        house.launcher.stopped.append(attempt)
        return AttemptState(phase=AttemptPhase.EXITED, ran=attempt == ATTEMPT)

    house.launcher.stop = stop  # type: ignore[method-assign, assignment]
    request = StopRequest(attempts=(ATTEMPT, never), launcher="pool")
    await environment_of().run(house.stops.stop, request)
    assert house.launcher.stopped == [ATTEMPT, never]
    # What is left of the one that never ran keeps others from starting it.
    assert house.launcher.released == [ATTEMPT]


async def test_an_unknown_launcher_is_refused_for_good(house: House) -> None:
    with pytest.raises(ApplicationError, match=r"no launcher 'moon'; it has: pool") as failed:
        await house.run(of=Environment(launcher="moon"))
    assert failed.value.non_retryable


async def test_heartbeats_go_on_while_an_attempt_is_slow_to_stop(house: House) -> None:
    """Silence would be taken for a lost worker: the run would end while the task still lives."""
    beats: list[object] = []
    three = asyncio.Event()
    environment = environment_of()

    def beat(*details: object) -> None:
        beats.append(details)
        if len(beats) >= 3:
            three.set()

    async def slow() -> None:
        beats.clear()
        environment.on_heartbeat = beat
        await three.wait()

    house.launcher.states = [RUNNING]
    house.launcher.until_stopped = slow
    started = asyncio.Event()
    house.launcher.on_start = lambda order: started.set()
    running = asyncio.create_task(house.run(environment))
    await started.wait()
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 30)
    assert house.launcher.stopped == [ATTEMPT]


@pytest.mark.parametrize("failing", ["stop", "report"])
async def test_an_attempt_that_could_not_be_stopped_is_never_taken_for_one_that_ended(
    house: House, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Temporal tries no activity again that is to be cancelled; ended as cancelled, the run sees to the attempt's end."""

    async def fails(*_: object) -> None:
        raise EngineFailed("the engine is being restarted", 125)

    house.launcher.states = [RUNNING]
    if failing == "stop":
        house.launcher.until_stopped = fails
    else:
        monkeypatch.setattr(house.launcher, "release", fails)
    environment, started = environment_of(), asyncio.Event()
    house.launcher.on_start = lambda order: started.set()
    running = asyncio.create_task(house.run(environment))
    await started.wait()
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 30)
    await house.records.flush()
    assert house.store.nodes(EXECUTION)[0].phase is NodePhase.ABORTED


SAVED = SavedCheckpoint(execution="e", attempt=1, generation=2, step=5, saved_at=NOW)


async def test_the_order_tells_whose_checkpoints_there_are(house: House) -> None:
    house.launcher.on_start = lambda order: house.manifest(outputs={}, checkpoint=SAVED)
    source = keys.checkpoints(EXECUTION.model_copy(update={"name": "before"}), "n0")
    result = await house.run(earlier=("a", "b"), checkpoint_from=(source,))
    (order,) = house.launcher.orders
    assert (order.earlier, order.checkpoint_from) == (("a", "b"), (source,))
    assert (order.keep_checkpoint, order.grace_s) == (True, 10.0)
    assert result.checkpoint == SAVED
    await house.records.flush()
    assert house.store.nodes(EXECUTION)[0].checkpoint == SAVED


async def test_a_checkpoint_is_recorded_while_the_attempt_runs(house: House) -> None:
    shown: list[int | None] = []

    async def observe(attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        await house.records.flush()
        nodes = house.store.nodes(EXECUTION)
        shown.append(nodes[0].checkpoint.step if nodes and nodes[0].checkpoint else None)
        saved = SAVED.model_copy(update={"generation": len(shown), "step": len(shown)})
        return RUNNING.model_copy(update={"checkpoint": saved}) if len(shown) < 4 else EXITED

    house.launcher.observe = observe  # type: ignore[method-assign]
    house.launcher.on_start = lambda order: house.manifest(outputs={})
    await house.run()
    assert shown == [None, 1, 2, 3]


@pytest.mark.parametrize("lost", [True, False])
async def test_a_failure_tells_the_last_checkpoint(house: House, lost: bool) -> None:
    if lost:
        house.launcher.states = [AttemptState(phase=AttemptPhase.LOST, checkpoint=SAVED)]
    else:
        error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom")
        house.launcher.on_start = lambda order: house.manifest(error=error, checkpoint=SAVED)
    with pytest.raises(ApplicationError) as failed:
        await house.run()
    assert checkpoint_of(failed.value) == SAVED
    assert document_of(failed.value, "n0").code == ("AttemptLost" if lost else "UserCodeError")


async def test_an_attempt_over_its_time_tells_what_it_saved_at_last(house: House) -> None:
    started = datetime.now(UTC) - timedelta(seconds=60)
    house.launcher.states = [RUNNING.model_copy(update={"started_at": started})]

    async def save() -> None:
        # What the runtime writes of a task that was stopped because its time was over.
        error = ErrorDocument(kind=ErrorKind.USER, code="TimedOut", message="")
        house.manifest(error=error, checkpoint=SAVED)

    house.launcher.until_stopped = save
    with pytest.raises(ApplicationError) as failed:
        await house.run(overrides=Overrides(timeouts=Timeouts(run_s=0.01)))
    assert failed.value.type == "TimedOut"
    assert checkpoint_of(failed.value) == SAVED
