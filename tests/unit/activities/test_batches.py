"""The activity of a batch over a launcher in this process: results, hand-backs, time-outs, cancels, deliveries."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from flyte_temporal.activities.attempts import Attempts
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Manifest, StorageConfig
from flyte_temporal.spec.bindings import OutputRef
from flyte_temporal.spec.calls import BatchRequest, BatchResult, Member, MemberResult
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Overrides, Timeouts
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.launcher import FakeLauncher
from flyte_temporal.testing.metadata import MemoryMetadataStore

CLOSURE = closures.chain(1)
BAD = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="bad")


@dataclass
class House:
    """Attempts that end as their nodes' names say: `bad…` fails, `long…` goes on until it is stopped or let go."""

    blobs: BlobStore
    records: Records
    attempts: Attempts
    launcher: FakeLauncher
    ran: list[str] = field(default_factory=list)
    results: tuple[MemberResult, ...] = ()
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self, *members: Member, environment: ActivityEnvironment | None = None, **fields: Any
    ) -> list[Any]:
        request = BatchRequest(
            execution=ExecutionId(project="p", domain="d", name="e"),
            spec=digest(CLOSURE),
            members=members,
            **fields,
        )
        payload = pydantic_data_converter.payload_converter.to_payload(request)
        run: Any = self.attempts.run
        found: BatchResult = await (environment or delivery()).run(run, [RawValue(payload)])
        self.results = found.members
        return [summed(each) for each in found.members]


def summed(result: Any) -> Any:
    if result.outputs is not None:
        return result.outputs["o0"].value
    if result.error is not None:
        return result.error.code
    return "stopped" if result.stopped else "began" if result.began else None


def member(node: str, **fields: Any) -> Member:
    return Member(node=node, number=1, token="t", task=closures.STEP, inputs={"x": Inline(value=1)}, **fields)


def delivery(attempt: int = 1) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.payload_converter = pydantic_data_converter.payload_converter
    info = ActivityEnvironment.default_info()
    made.info = dataclasses.replace(info, attempt=attempt, heartbeat_timeout=timedelta(seconds=0.03))
    return made


@pytest.fixture
def house(tmp_path: Path) -> House:
    storage = StorageConfig(root=tmp_path.as_uri())
    blobs = open_store(storage)
    blobs.put(keys.closure(digest(CLOSURE)), canonical_bytes(CLOSURE))
    failed: Callable[[AttemptOrder], bool] = lambda order: order.attempt.node.startswith("bad")

    async def perform(order: AttemptOrder) -> None:
        node = order.attempt.node
        made.ran.append(node)
        if node.startswith("long"):
            await made.go.wait()
        now = datetime.now(UTC)
        given: dict[str, Any] = {"error": BAD} if failed(order) else {"outputs": {"o0": order.inputs["x"]}}
        manifest = Manifest(attempt=order.attempt, started_at=now, finished_at=now, **given)
        blobs.put(keys.manifest(order.attempt), canonical_bytes(manifest))

    launcher = FakeLauncher(perform, failed=failed)
    records = Records(MemoryMetadataStore())
    closed = Closures(blobs)
    parts = Parts(
        launchers={"pool": launcher},
        blobs=blobs,
        storage=storage,
        closures=closed,
        records=records,
        remembering=Remembering(MemoryCatalog(), blobs, closed),
    )
    made = House(blobs, records, Attempts(parts), launcher)
    return made


async def test_each_member_has_its_own_result(house: House) -> None:
    assert await house.run(member("a"), member("b"), go_on=False) == [1, 1]
    assert house.ran == ["a", "b"]


async def test_a_failure_ends_the_batch_at_once(house: House) -> None:
    assert await house.run(member("a"), member("bad"), member("c")) == [1, "UserCodeError", None]
    assert house.ran == ["a", "bad"]


async def test_a_failure_that_matters_to_nobody_does_not(house: House) -> None:
    assert await house.run(member("bad"), member("c"), go_on=True) == ["UserCodeError", 1]


async def test_a_long_member_is_handed_back_with_what_has_not_begun(house: House) -> None:
    results = await house.run(member("a"), member("long"), member("c"), longest_s=0.1)
    assert results == [1, "began", None]
    assert house.ran == ["a", "long"]
    house.go.set()
    # The interpreter asks again, and finds the same attempt.
    assert await house.run(member("long"), member("c"), again=True) == [1, 1]
    assert house.ran == ["a", "long", "c"]


@pytest.mark.parametrize(("first", "gave"), [("long", 1), ("bad", "UserCodeError")])
async def test_what_begins_while_the_rest_is_handed_back_is_at_work(
    house: House, monkeypatch: pytest.MonkeyPatch, first: str, gave: Any
) -> None:
    withdraw = house.launcher.withdraw

    async def late(attempts: Any) -> None:
        if "long2" not in house.ran:
            house.go.set()
            house.go = asyncio.Event()
        while "long2" not in house.ran:  # noqa: ASYNC110 - it is told by a list
            await asyncio.sleep(0.001)
        await withdraw(attempts)

    monkeypatch.setattr(house.launcher, "_fails", lambda _order: False)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(house.launcher, "withdraw", late)
        results = await house.run(member(first), member("long2"), member("c"), longest_s=0.1)
    assert results == [gave, "began", None]
    house.go.set()
    assert await house.run(member("long2"), member("c"), again=True) == [1, 1]
    assert house.ran == [first, "long2", "c"]


async def test_a_members_own_time_out(house: House) -> None:
    timely = Overrides(timeouts=Timeouts(run_s=0.1))
    results = await house.run(
        member("a"), member("long", overrides=timely), member("c"), longest_s=60, go_on=True
    )
    assert results == [1, "TimedOut", 1]


async def test_a_cancel_stops_the_one_at_work_and_begins_no_other(house: House) -> None:
    environment = delivery()
    running = asyncio.ensure_future(
        house.run(member("a"), member("long"), member("c"), environment=environment, longest_s=60)
    )
    while "long" not in house.ran:  # noqa: ASYNC110 - it is told by a list
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    assert await running == [1, "stopped", None]
    assert house.ran == ["a", "long"]


@pytest.mark.parametrize("slow", [False, True])
async def test_members_that_could_not_be_stopped_are_handed_back_as_at_work(
    house: House, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    async def stop(*_: object) -> None:
        if slow:
            await asyncio.Event().wait()
        raise LauncherError("the launcher does not answer")

    monkeypatch.setattr(house.launcher, "stop", stop)
    monkeypatch.setattr("flyte_temporal.activities.batches.REPORT_S", -9.9)
    environment = delivery()
    running = asyncio.ensure_future(
        house.run(member("a"), member("long"), member("c"), environment=environment, longest_s=60)
    )
    while "long" not in house.ran:  # noqa: ASYNC110 - it is told by a list
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=True))
    results = await running
    assert [result.began for result in house.results] == [False, True, True]
    # One that was told to stop, and had the time for it, is not taken up again.
    assert results == ([1, "stopped", "stopped"] if slow else [1, "began", "began"])


async def test_a_worker_that_shuts_down_leaves_a_batch_alone(house: House) -> None:
    environment = delivery()
    running = asyncio.ensure_future(
        house.run(member("long"), member("c"), environment=environment, longest_s=60)
    )
    while "long" not in house.ran:  # noqa: ASYNC110 - it is told by a list
        await asyncio.sleep(0.001)
    environment.cancel(activity.ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    house.go.set()
    assert await house.run(member("long"), member("c"), environment=delivery(2)) == [1, 1]
    assert house.ran == ["long", "c"]


async def test_a_second_delivery_binds_inputs_to_what_was_done_before(house: House) -> None:
    assert await house.run(member("a")) == [1]
    bound = member("b", bindings={"x": OutputRef(node="a", name="o0")}).model_copy(update={"inputs": {}})
    assert await house.run(member("a"), bound, environment=delivery(2)) == [1, 1]
    assert house.ran == ["a", "b"]
