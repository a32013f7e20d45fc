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
from flyte_temporal.spec.bindings import Constant, InputRef
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget, WorkflowTarget
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


def kinds() -> Closure:
    """Return a chain of a task, twice a sub-workflow and a map, and a task: the run itself writes of those between."""
    inner = [closures.step("a", InputRef(name="x")), closures.step("b", closures.out("a"))]
    nodes = [closures.step("n0", InputRef(name="x"))]
    below, each = WorkflowTarget(workflow="shapes.inner"), TaskTarget(task=closures.STEP)
    for target in (below, ArrayTarget(item=each, over=("x",))) * 2:
        x = Constant(value=[1, 2, 3]) if isinstance(target, ArrayTarget) else Constant(value=1)
        nodes.append(Node(id=f"n{len(nodes)}", target=target, inputs={"x": x}, after=(nodes[-1].id,)))
    nodes.append(closures.step("last", closures.out("n3"), "n4"))
    outer = closures.workflow("shapes.outer", nodes, closures.out("last"))
    return closures.closure(outer, closures.workflow("shapes.inner", inner, closures.out("b")))


@pytest.mark.row(7)
async def test_work_goes_on_without_the_database(stage: Stage, database: Postgres) -> None:
    store = SqlMetadataStore(database.url)
    await asyncio.to_thread(store.upgrade)
    closure = kinds()
    run = stage.stored(closure, stage.name)
    late = run.request.model_copy(update={"id": run.request.id.model_copy(update={"name": "late"})})
    down, up = asyncio.Event(), asyncio.Event()

    async def behaviour(request: calls.AttemptRequest) -> int:
        if request.attempt.node == "n0":
            await asyncio.to_thread(database.stop)
            with pytest.raises(PlatformUnavailable, match="did not answer"):
                await asyncio.to_thread(store.create_execution, late, datetime.now(UTC))
            down.set()
        if request.attempt.node == "last":
            up.set()
        return await arithmetic(request)

    await asyncio.to_thread(store.create_execution, run.request, datetime.now(UTC))
    attempted = Recorded(behaviour, into=Records(store))
    async with stage.worker(attempted):
        await stage.engine.start(run, closure)
        async with asyncio.timeout(60):
            await down.wait()
        # All that is left to do is done while the database is down, and not by the beats of a workflow task, every 8 s,
        # that waits for a record before it asks for what is next.
        try:
            async with asyncio.timeout(20):
                await up.wait()
        finally:
            await asyncio.to_thread(database.start)
        state = await stage.engine.wait(run.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert len(attempted.requests) == len({request.attempt.node for request in attempted.requests}) == 12
    written = store.execution(run.request.id)
    assert written is not None
    assert written.phase is ExecutionPhase.SUCCEEDED
    assert {node.phase for node in store.nodes(run.request.id)} == {NodePhase.SUCCEEDED}
    assert len(store.nodes(run.request.id)) == 16
    assert store.create_execution(late, datetime.now(UTC)).phase is ExecutionPhase.QUEUED
    store.close()
