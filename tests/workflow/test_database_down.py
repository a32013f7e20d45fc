"""Row 7 of the fault matrix: PostgreSQL is down while an execution runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from temporalio import activity

from flyte_temporal.activities.records import Records
from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from flyte_temporal.testing import closures
from tests.contract.databases import Postgres, postgres
from tests.workflow.conftest import Attempted, Stage, arithmetic

pytestmark = pytest.mark.postgres


@dataclass
class Recorded(Attempted):
    """Records in the database, as a worker does."""

    into: Records | None = None

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        assert self.into is not None
        await self.into.record(request)


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A server that the test may stop; it runs when the test ends."""
    with postgres() as server:
        yield server


@pytest.mark.row(7)
async def test_work_goes_on_without_the_database(stage: Stage, database: Postgres) -> None:
    store = SqlMetadataStore(database.url)
    await asyncio.to_thread(store.upgrade)
    closure = closures.chain(4)
    run = stage.stored(closure, stage.name)
    late = run.request.model_copy(update={"id": run.request.id.model_copy(update={"name": "late"})})
    down, up = asyncio.Event(), asyncio.Event()

    async def behaviour(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n1":
            await asyncio.to_thread(database.stop)
            with pytest.raises(PlatformUnavailable, match="did not answer"):
                await asyncio.to_thread(store.create_execution, late, datetime.now(UTC))
            down.set()
        if request.attempt.node == "n3":
            up.set()
        return await arithmetic(request)

    await asyncio.to_thread(store.create_execution, run.request, datetime.now(UTC))
    attempted = Recorded(behaviour, into=Records(store))
    async with stage.worker(attempted):
        await stage.engine.start(run, closure)
        async with asyncio.timeout(60):
            await down.wait()
            # All that is left to do is done while the database is down.
            await up.wait()
            await asyncio.to_thread(database.start)
        state = await stage.engine.wait(run.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert [request.attempt.node for request in attempted.requests] == ["n0", "n1", "n2", "n3"]
    written = store.execution(run.request.id)
    assert written is not None
    assert written.phase is ExecutionPhase.SUCCEEDED
    assert {node.phase for node in store.nodes(run.request.id)} == {NodePhase.SUCCEEDED}
    assert len(store.nodes(run.request.id)) == 4
    assert store.create_execution(late, datetime.now(UTC)).phase is ExecutionPhase.QUEUED
    store.close()
