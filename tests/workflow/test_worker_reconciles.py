"""Workers that keep records and Temporal in line, where no supervisor does: on a real server, two of them at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from temporalio import workflow
from temporalio.worker import Worker

from flyte_temporal.activities.records import Records
from flyte_temporal.activities.runs import Runs
from flyte_temporal.config.settings import Settings, TemporalSettings, WorkerSettings
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.worker.reconciling import reconciling
from tests.workflow.conftest import Attempted, Stage, arithmetic


async def test_the_record_of_a_run_that_was_terminated_is_closed(stage: Stage) -> None:
    closure = closures.chain(2)
    given = stage.stored(closure, stage.name)
    stage.store.create_execution(given.request, datetime.now(UTC))
    begun, released = asyncio.Event(), asyncio.Event()

    async def held(request: AttemptRequest) -> int:
        begun.set()
        await released.wait()
        return await arithmetic(request)

    settings = Settings(
        worker=WorkerSettings(reconcile_s=0.1), temporal=TemporalSettings(task_queue=stage.queue)
    )
    stage.store.catalog = MemoryCatalog()  # type: ignore[attr-defined]
    platform: Any = SimpleNamespace(client=stage.client, store=stage.store, blobs=stage.blobs)

    def phase() -> ExecutionPhase:
        record = stage.store.execution(given.request.id)
        assert record is not None
        return record.phase

    async with (
        stage.worker(Attempted(held)),
        reconciling(platform, settings),
        reconciling(platform, settings),
    ):
        # Nobody has started it: they do, both of them, and it is one run.
        async with asyncio.timeout(30):
            await begun.wait()
            await stage.client.get_workflow_handle(stage.name).terminate(reason="enough")
            while not phase().terminal:  # noqa: ASYNC110 - what is awaited is in the store
                await asyncio.sleep(0.05)
        released.set()
    record = stage.store.execution(given.request.id)
    assert record is not None
    assert (record.phase, record.abort_reason) == (
        ExecutionPhase.ABORTED,
        "terminated in Temporal: enough",
    )
    assert record.run == (await stage.client.get_workflow_handle(stage.name).describe()).run_id


async def test_a_zombie_of_the_run_before_a_reset_is_not_heard(stage: Stage) -> None:
    """The activity of an old run reports late: its words are not those of the execution any more."""
    records = Records(stage.store, Runs(stage.client, stage.store))
    closure = closures.chain(1)
    given = stage.stored(closure, stage.name)
    stage.store.create_execution(given.request, datetime.now(UTC))
    await stage.engine.start(given, closure)
    newest = (await stage.client.get_workflow_handle(stage.name).describe()).run_id
    runs, before = Runs(stage.client, stage.store), str(uuid4())
    assert stage.store.follow_run(given.request.id, "", before)
    assert await runs.heard(given.request.id, str(uuid4())) is None
    assert await runs.heard(given.request.id, newest) == newest
    record = stage.store.execution(given.request.id)
    assert record is not None
    assert record.run == newest
    await stage.client.get_workflow_handle(stage.name).terminate()
    await runs.close()
    await records.close()


@workflow.defn(sandboxed=False)
class Continued:
    """Continues as new, once."""

    @workflow.run
    async def run(self, again: bool) -> None:
        """Run."""
        if not again:
            workflow.continue_as_new(True)


async def test_the_last_words_of_a_run_that_was_continued_are_heard_after_the_first_of_the_next(
    stage: Stage,
) -> None:
    """They are about the same nodes; after a reset they would not be."""
    given = stage.stored(closures.chain(1), stage.name)
    stage.store.create_execution(given.request, datetime.now(UTC))
    async with Worker(stage.client, task_queue=stage.queue, workflows=[Continued]):
        handle = await stage.client.start_workflow(
            Continued.run, False, id=stage.name, task_queue=stage.queue
        )
        first = handle.first_execution_run_id
        assert first is not None
        await stage.client.get_workflow_handle(stage.name).result()
    runs = Runs(stage.client, stage.store)
    assert await runs.heard(given.request.id, first) == ""
    assert await runs.heard(given.request.id, first) == "", "known from now on"
    await runs.close()
