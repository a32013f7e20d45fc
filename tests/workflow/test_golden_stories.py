"""Golden histories of what has a story: caches, shards, batches, repairs, aborts, recoveries, children across runs.

The shapes of `test_replay` are one run each and end by themselves. Here somebody does something meanwhile, or a second execution
follows a first one. Recorded like them (`make golden-histories`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy
from flyte_temporal.spec.repairs import NodeRetry, NodeSkip, Pause
from flyte_temporal.spec.runs import INTERPRETER, RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from tests.workflow import golden
from tests.workflow.caching import House, cached
from tests.workflow.conftest import Attempted, Stage
from tests.workflow.launched import Launched
from tests.workflow.recovering import recover, run
from tests.workflow.test_batches import ON, short
from tests.workflow.test_continue_at_work import Held, beside, runs_of
from tests.workflow.test_failures import aborted, hold, tasks
from tests.workflow.test_recovering import fails_at, pipeline
from tests.workflow.test_repairs import fails, story
from tests.workflow.test_replay import replay
from tests.workflow.test_shards import of
from tests.workflow.test_structures import mapped, planned

Names = dict[str, str]
"""The ids of runs by the names of their histories."""


async def caches(stage: Stage) -> Names:
    """A chain that nobody has computed, and then somebody; and one whose equals wait for each other."""
    house = House(stage, MemoryCatalog())
    async with house.worker():
        for name in ("cache_miss", "cache_hit"):
            state = await house.run(cached(closures.chain(3)), name)
            assert state.phase is ExecutionPhase.SUCCEEDED
    assert set(house.caches("cache_hit").values()) == {"HIT"}
    return {name: f"{name}-{stage.name}"[:100] for name in ("cache_miss", "cache_hit")}


async def shards(stage: Stage) -> Names:
    """A map in shards, and one of them."""
    closure = mapped(range(5))
    given = of(closure, f"s-{stage.name}")
    state = await stage.run(given, closure)
    assert state.phase is ExecutionPhase.SUCCEEDED
    return {"sharded": given.request.id.name, "shard": f"{given.request.id.name}.m.2"}


async def batches(stage: Stage) -> Names:
    """Segments and batches of short tasks."""
    found = {}
    for name, closure in (("segment", closures.chain(12)), ("batch", closures.fan_out(12))):
        given = closures.run_input(short(closure), f"{name}-{stage.name}", 1, ON)
        seen = Attempted()
        state = await stage.run(given, short(closure), seen)
        assert state.phase is ExecutionPhase.SUCCEEDED
        assert seen.batches
        found[name] = given.request.id.name
    return found


async def repairs(stage: Stage) -> Names:
    """A run that is paused and goes on, in which a node is held, tried again, and another one is skipped."""
    async with story(stage, closures.chain(4), fails("n1", "n2", below=9)) as told:
        await told.held("n1")
        await told.ask(NodeSkip(node="n1", outputs={"o0": Inline(value=5)}))
        await told.held("n2")
        await told.ask(Pause(by="ann"))
        await told.ask(NodeRetry(node="n2", by="ann"))
        await told.ask(Pause(ends=True, by="ann"))
        await told.held("n2")
        await told.ask(NodeSkip(node="n2", outputs={"o0": Inline(value=6)}))
        state = await told.end()
    assert state.phase is ExecutionPhase.SUCCEEDED
    return {"repaired": told.id.name}


async def aborts(stage: Stage) -> Names:
    """A node that is aborted at work, and a run with a map at work that is."""
    task, nodes = tasks(TaskPolicy(), "n0")
    closure = closures.closure(closures.workflow("shapes.held", nodes, None), task)
    state = await aborted(stage, closure, "n0", ["n0"], Attempted(hold))
    assert state.phase is ExecutionPhase.FAILED
    held, seen = mapped(range(3)), Attempted(hold)
    given = stage.stored(held, f"whole-{stage.name}")
    async with stage.worker(seen):
        await stage.engine.start(given, held)
        async with asyncio.timeout(30):
            while len(seen.requests) < 3:  # noqa: ASYNC110 - what is awaited is in the server
                await asyncio.sleep(0.02)
        await stage.engine.abort(given.request.id, "enough")
        ended = await stage.engine.wait(given.request.id, 30)
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED
    return {"node_aborted": f"abort-{stage.name}", "aborted": given.request.id.name}


async def retries(stage: Stage) -> Names:
    """A node whose second attempt comes after a pause."""
    policy = TaskPolicy(retries=RetryPolicy(count=2, backoff=Backoff(initial_s=0.05)))
    task, nodes = tasks(policy, "n0")
    closure = closures.closure(closures.workflow("shapes.tried", nodes, None), task)
    given = stage.stored(closure, f"tried-{stage.name}")
    state = await stage.run(given, closure, Attempted(fails("n0")))
    assert state.phase is ExecutionPhase.SUCCEEDED
    return {"retried": given.request.id.name}


async def recoveries(stage: Stage) -> Names:
    """An execution that copies of another one what is the same."""
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, pipeline(code="fixed"))
    assert after.seen.ran == ["last"]
    return {"recovered": after.request.id.name}


async def children(stage: Stage) -> Names:
    """A run that continued as new while its child was at work, which it then watches."""
    held = Held("n0")
    launched = Launched(stage, held)
    closure = beside(planned(), 12)
    given = launched.prepared(closure, f"child-{stage.name}", 1, RunLimits(history_events=8))
    async with stage.worker(launched):  # type: ignore[arg-type]
        await stage.engine.start(given, closure)
        await runs_of(stage, given.request.id.name, 2)
        held.free.set()
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    await launched.records.flush()
    return {"child_of_an_earlier_run": given.request.id.name}


STORIES: dict[Callable[[Stage], Awaitable[Names]], tuple[str, ...]] = {
    caches: ("cache_miss", "cache_hit"),
    shards: ("sharded", "shard"),
    batches: ("segment", "batch"),
    repairs: ("repaired",),
    aborts: ("node_aborted", "aborted"),
    retries: ("retried",),
    recoveries: ("recovered",),
    children: ("child_of_an_earlier_run",),
}
"""Each story, and the histories that it leaves."""


@pytest.mark.row(37)
@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
async def test_a_story_of_today_replays(
    tell: Callable[[Stage], Awaitable[Names]], stage: Stage, tmp_path: Path
) -> None:
    found = await tell(stage)
    assert tuple(found) == STORIES[tell]
    empty = tmp_path / "empty"
    for name, run_id in found.items():
        history = await stage.client.get_workflow_handle(run_id).fetch_history()
        # Without what the run has stored: a golden history has nothing beside it.
        await replay(history, empty)
        if os.environ.get("RECORD_HISTORIES"):
            await asyncio.to_thread(golden.record, name, history)


def test_the_stories_are_stored() -> None:
    newest = {path.stem for path in golden.stored() if path.parent.name == f"v{INTERPRETER}"}
    assert newest >= {name for names in STORIES.values() for name in names}
