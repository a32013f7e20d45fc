"""The product's own attempts and records in a workflow test, over a launcher whose processes are functions.

Unlike `Attempted`, an attempt goes on when its activity is dropped, and a second start of it is seen.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowHistory

from flyte_temporal.activities.attempts import Attempts
from flyte_temporal.activities.cancels import Stops
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.activities.runs import Runs
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls, keys
from flyte_temporal.spec.attempt import AttemptOrder, Manifest, StorageConfig
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.testing.launcher import FakeLauncher, FakeMachine
from flyte_temporal.testing.metadata import MemoryMetadataStore
from tests.workflow.conftest import Stage, plain

Work = Callable[[AttemptOrder], Awaitable[Any]]


class Failed(FlyteTemporalError):
    """What a task raised, as its error document."""

    def __init__(self, document: ErrorDocument) -> None:
        super().__init__(document.message)
        self.document = document


async def arithmetic(order: AttemptOrder) -> int:
    """Do what the names of the shapes' tasks say, after a short and repeatable time."""
    await asyncio.sleep(zlib.crc32(order.attempt.node.encode()) % 20 / 1000)
    values = {name: plain(value) for name, value in order.inputs.items()}
    return int(sum(values["values"])) if "values" in values else int(sum(values.values())) + 1


class Watched(MemoryMetadataStore):
    """A store that keeps what the interpreter has written, change by change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[calls.RecordRequest] = []

    def record(self, change: calls.RecordRequest) -> bool:
        self.changes.append(change)
        return super().record(change)


@dataclass
class Launched:
    """Serves attempts by the product's own activities.

    Args:
        stage: Its blob store is used.
        work: What the processes do.
        machine: What outlives a worker.
    """

    stage: Stage
    work: Work = arithmetic
    machine: FakeMachine = field(default_factory=FakeMachine)
    store: Watched = field(default_factory=Watched)
    grace_s: float = 1.0

    def __post_init__(self) -> None:
        self.stage.store = self.store
        self.again()

    def again(self) -> None:
        """Make everything that dies with a worker anew."""
        self.records = Records(self.store, Runs(self.stage.client, self.store))
        parts = Parts(
            launchers={"pool": FakeLauncher(self._process, self.machine)},
            blobs=self.stage.blobs,
            storage=StorageConfig(root="file:///unused"),
            closures=Closures(self.stage.blobs),
            records=self.records,
            remembering=Remembering(self.stage.catalog, self.stage.blobs, Closures(self.stage.blobs)),
            grace_s=self.grace_s,
        )
        self.attempts, self.stops = Attempts(parts), Stops(parts)

    def served(self) -> list[Callable[..., Any]]:
        return [self.attempts.run, self.stops.stop, self.records.record]

    async def _process(self, order: AttemptOrder) -> None:
        began = datetime.now(UTC)
        fields: dict[str, Any] = {}
        try:
            value = await self.work(order)
        except Failed as failed:
            fields = {"error": failed.document}
        else:
            if isinstance(value, Closure):
                self.stage.store_closure(value)
                fields = {"spec": digest(value)}
            else:
                fields = {"outputs": {"o0": Inline(value=value)}}
        made = Manifest(attempt=order.attempt, started_at=began, finished_at=datetime.now(UTC), **fields)
        self.stage.blobs.put_new(keys.manifest(order.attempt), canonical_bytes(made))

    async def run(
        self, closure: Closure, name: str, x: int = 1, limits: RunLimits | None = None, **options: Any
    ) -> Any:
        """Run a closure to its end; return its state."""
        given = self.prepared(closure, name, x, limits)
        state = await self.stage.run(given, closure, self, **options)  # type: ignore[arg-type]
        await self.records.flush()
        return state

    def prepared(self, closure: Closure, name: str, x: int = 1, limits: RunLimits | None = None) -> RunInput:
        """Store a closure and the record of its execution; return the input of the run."""
        self.stage.store_closure(closure)
        given = closures.run_input(closure, name, x, limits)
        self.store.create_execution(given.request, datetime.now(UTC))
        return given

    def nodes(self, given: RunInput) -> dict[str, NodeRecord]:
        """Return the node records of an execution by path."""
        return {node.id: node for node in self.store.nodes(given.request.id)}

    def doubled(self) -> list[str]:
        """Return the attempts that had more than one process."""
        return [key for key, count in Counter(self.machine.started).items() if count > 1]


async def histories(stage: Stage, name: str) -> list[WorkflowHistory]:
    """Return the histories of all runs of an execution, the first one first."""
    client, found = stage.client, []
    description = await client.get_workflow_handle(name).describe()
    run_id: str = description.raw_description.workflow_execution_info.first_run_id
    while run_id:
        history = await client.get_workflow_handle(name, run_id=run_id).fetch_history()
        found.append(history)
        last = history.events[-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found
