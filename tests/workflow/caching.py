"""Runs with the product's own attempts and cache; only the processes are functions of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import Worker

from flyte_temporal.activities.attempts import Attempts
from flyte_temporal.activities.cancels import Stops
from flyte_temporal.activities.children import Children
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.lookups import Lookups
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.recalls import Recalls
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.activities.runs import Runs
from flyte_temporal.activities.values import Values
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.ports.engine import RunState
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import keys, lookup_calls
from flyte_temporal.spec.attempt import AttemptOrder, Manifest, StorageConfig
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import CacheSettings
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.testing.launcher import FakeLauncher
from flyte_temporal.workflows.interpreter import Interpreter
from tests.workflow.conftest import Stage, plain

Process = Callable[[AttemptOrder], Any]
"""What a task's process does: returns the output, a document of what went wrong, or all outputs; may be awaited."""


async def adds(order: AttemptOrder) -> Any:
    """Do what the names of the shapes' tasks say."""
    values = [plain(value) for value in order.inputs.values()]
    if "values" in order.inputs:
        return sum(values[0])
    return sum(values) + 1


@dataclass
class House:
    """A worker, the catalog that it uses, and what ran.

    With a launcher and a storage, attempts are real processes, whose results lie there.
    """

    stage: Stage
    catalog: Catalog
    process: Process = adds
    ran: list[str] = field(default_factory=list)
    looked_up: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    broken: bool = False
    launcher: Launcher | None = None
    storage: StorageConfig | None = None
    grace_s: float = 10.0

    async def _attempt(self, order: AttemptOrder) -> None:
        attempt = order.attempt
        self.ran.append(f"{attempt.execution.name}/{attempt.node}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        started = datetime.now(UTC)
        try:
            found = self.process(order)
            value = await found if asyncio.iscoroutine(found) else found
        finally:
            self.at_once -= 1
        end = self._end(value)
        manifest = Manifest(attempt=attempt, started_at=started, finished_at=datetime.now(UTC), **end)
        self.stage.blobs.put_new(keys.manifest(attempt), canonical_bytes(manifest))

    def _end(self, value: Any) -> dict[str, Any]:
        match value:
            case ErrorDocument():
                return {"error": value}
            case Closure():
                self.stage.store_closure(value)
                return {"spec": digest(value)}
            case dict():
                return {"outputs": value}
            case _:
                return {"outputs": {"o0": Inline(value=value)}}

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        blobs, store = self.stage.blobs, self.stage.store
        made = Closures(blobs)
        remembering = Remembering(self.catalog, blobs, made)
        records = Records(store, Runs(self.stage.client, store))
        parts = Parts(
            launchers={"pool": self.launcher or FakeLauncher(self._attempt)},
            blobs=blobs if self.storage is None else open_store(self.storage),
            storage=self.storage or StorageConfig(root="file:///unused"),
            closures=made,
            records=records,
            remembering=remembering,
            grace_s=self.grace_s,
        )
        lookups = Lookups(self.catalog, blobs, Recalls(store, blobs, made))
        house = self

        class Counted:
            @activity.defn(name=lookup_calls.LOOKUP)
            async def lookup(self, request: lookup_calls.LookupRequest) -> lookup_calls.LookupResult:
                house.looked_up.append(len(request.items))
                if house.broken:
                    raise RuntimeError("the catalog is broken")
                return await lookups.lookup(request)

        served: list[Callable[..., Any]] = [
            Attempts(parts).run,
            Stops(parts).stop,
            records.record,
            Values(blobs, Path("unused")).read,
            Children(blobs, store, made, self.stage.engine).open,
            Counted().lookup,
            remembering.store,
        ]
        async with Worker(
            self.stage.client,
            task_queue=self.stage.queue,
            workflows=[Interpreter],
            activities=served,
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ):
            yield
        await remembering.close()

    async def run(self, closure: Closure, name: str, x: int = 0, **request: Any) -> RunState:
        """Run a closure to its end; a worker must be there."""
        self.stage.store_closure(closure)
        limits = request.pop("limits", RunLimits(lease_s=1.0))
        given = closures.run_input(closure, f"{name}-{self.stage.name}"[:100], x, limits)
        given = given.model_copy(update={"request": given.request.model_copy(update=request)})
        self.stage.store.create_execution(given.request, datetime.now(UTC))
        await self.stage.engine.start(given, closure)
        state = await self.stage.engine.wait(given.request.id, 60)
        assert state is not None, "the run did not end within 60 s"
        return state

    def nodes(self, name: str) -> dict[str, NodeRecord]:
        """Return the records of an execution's nodes."""
        whole = f"{name}-{self.stage.name}"[:100]
        execution = ExecutionId(project="default", domain="development", name=whole)
        return {node.id: node for node in self.stage.store.nodes(execution)}

    def caches(self, name: str) -> dict[str, str]:
        """Return what the cache did for each node of an execution."""
        return {id_: node.cache.value for id_, node in self.nodes(name).items()}


def equal(width: int) -> Closure:
    """Return steps side by side that all compute the same, one at a time."""
    nodes = [closures.step(f"n{i}", 1) for i in range(width)]
    return cached(
        closures.closure(closures.workflow("shapes.equal", nodes, closures.out("n0"))), serialize=True
    )


def cached(closure: Closure, **settings: Any) -> Closure:
    """Return a closure whose tasks are all cached."""
    cache = CacheSettings(enabled=True, **{"version": "1", **settings})
    tasks = {
        name: task.model_copy(update={"policy": task.policy.model_copy(update={"cache": cache})})
        for name, task in closure.tasks.items()
    }
    return closure.model_copy(update={"tasks": tasks})
