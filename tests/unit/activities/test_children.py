"""What is waited for when an execution, or a shard of a map, is met under a name that was to be given to a new one."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from flyte_temporal.activities.children import Children
from flyte_temporal.activities.closures import Closures
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec.child_calls import ChildEnded, ChildWatch
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.testing import closures
from flyte_temporal.testing.blobs import MemoryBlobStore
from flyte_temporal.testing.engine import FakeEngine
from flyte_temporal.testing.metadata import MemoryMetadataStore

SHARD = closures.run_input(closures.chain(1), "e.m.0", 1).request.id
AT_WORK = RunState(phase=ExecutionPhase.RUNNING, run="r", work="a")
WELL = RunState(phase=ExecutionPhase.SUCCEEDED, run="r", work="a")


async def watched(engine: FakeEngine, **asked: object) -> ChildEnded:
    blobs = MemoryBlobStore()
    children = Children(blobs, MemoryMetadataStore(), Closures(blobs), engine)
    watch = ChildWatch.model_validate({"execution": SHARD, **asked})
    ended: ChildEnded = await asyncio.wait_for(ActivityEnvironment().run(children.watch, watch), 5)
    return ended


async def test_a_shard_at_work_for_something_else_is_asked_to_stop() -> None:
    engine = FakeEngine()
    await engine.finish(SHARD, AT_WORK)
    ended = await watched(engine, work="b")
    assert (ended.phase, ended.other) == (ExecutionPhase.ABORTED, True)


@pytest.mark.parametrize("known", ["a", ""], ids=["the same", "not told"])
async def test_others_are_waited_for(known: str) -> None:
    engine = FakeEngine()
    await engine.finish(SHARD, AT_WORK.model_copy(update={"work": known}))
    watching = asyncio.create_task(watched(engine, work="a"))
    while not engine.waits:  # noqa: ASYNC110 - the fake has no event for it
        await asyncio.sleep(0.001)
    await engine.finish(SHARD, WELL)
    ended = await watching
    assert (ended.phase, ended.other) == (ExecutionPhase.SUCCEEDED, False)


async def test_what_has_ended_for_something_else_is_told_so() -> None:
    engine = FakeEngine()
    await engine.finish(SHARD, WELL)
    ended = await watched(engine, found=True, work="b")
    assert (ended.phase, ended.before, ended.other) == (ExecutionPhase.SUCCEEDED, True, True)
