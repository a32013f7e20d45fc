"""A run that is reset in Temporal to a task before it started other runs: children, and shards of a map.

What they are called is taken then. Those that are at work, or have ended well, are the new run's; others run again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from temporalio import activity
from temporalio.service import RPCError

from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Stage, arithmetic, plain, user_error
from tests.workflow.test_continue_at_work import beside, until
from tests.workflow.test_interpreter import failing
from tests.workflow.test_resets import reset_to
from tests.workflow.test_structures import mapped, one, planned


class Changing(Attempted):
    """What nodes do may be another thing after the reset: one waits, one fails, `first` gives a number."""

    def __init__(self, *, fails: str = "", waits: str = "") -> None:
        super().__init__(self._work)
        self.fails, self.waits, self.first = fails, waits, 0
        self.free = asyncio.Event()

    async def _work(self, request: AttemptRequest) -> int:
        node = request.attempt.node
        if node == self.waits:
            while not self.free.is_set():
                activity.heartbeat()
                await asyncio.sleep(0.02)
        if node == self.fails:
            raise failing(user_error(recoverable=False))
        return self.first if node == "first" else await arithmetic(request)

    def begun(self) -> list[str]:
        return sorted(request.attempt.node for request in self.requests)

    async def reaches(self, node: str) -> None:
        async def there() -> bool:
            return node in self.begun()

        await until(there)


@dataclass(frozen=True)
class Run:
    """A run on a worker, and what is to be asked of it."""

    stage: Stage
    given: RunInput

    @property
    def name(self) -> str:
        return self.given.request.id.name

    async def ends(self) -> Any:
        state = await self.stage.engine.wait(self.given.request.id, 60)
        assert state is not None
        return state

    async def reset(self) -> str:
        """Reset it to its first task: it had started nothing by then; return the new run."""
        history = await self.stage.client.get_workflow_handle(self.name).fetch_history()
        first = next(e for e in history.events if e.HasField("workflow_task_completed_event_attributes"))
        return await reset_to(self.stage, history.run_id, first.event_id)

    async def continued(self, before: str) -> None:
        """Wait until another run goes on with what a run has begun."""

        async def another() -> bool:
            return (await self.stage.client.get_workflow_handle(self.name).describe()).run_id != before

        await until(another)

    async def knows(self, workflow: str) -> bool:
        try:
            await self.stage.client.get_workflow_handle(workflow).describe()
        except RPCError:
            return False
        return True


@asynccontextmanager
async def started(stage: Stage, closure: Closure, seen: Attempted, **limits: Any) -> AsyncIterator[Run]:
    stage.store_closure(closure)
    run = Run(stage, closures.run_input(closure, stage.name, 1, RunLimits(**limits)))
    async with stage.worker(seen):
        await stage.engine.start(run.given, closure)
        yield run


def behind(closure: Closure) -> Closure:
    """Return a closure whose launch plan gets what a node before it gives."""
    main = closure.main()
    (plan,) = [node for node in main.nodes if node.id == "lp"]
    plan = plan.model_copy(update={"inputs": {"x": closures.out("first")}})
    nodes = [closures.step("first", 1), *(plan if node.id == "lp" else node for node in main.nodes)]
    main = main.model_copy(update={"nodes": tuple(nodes)})
    return closure.model_copy(update={"workflows": {**closure.workflows, main.name: main}})


def joined() -> Closure:
    """Return a map whose items also get what a node before it gives."""
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.JOIN), over=("x",)),
        inputs={"x": Constant(value=[0, 1, 2, 3]), "y": closures.out("first")},
    )
    total = Node(id="t", target=TaskTarget(task=closures.TOTAL), inputs={"values": closures.out("m")})
    return one("shapes.joined", [closures.step("first", 1), array, total], closures.out("t"))


async def test_a_child_that_has_failed_runs_again_by_another_name(stage: Stage) -> None:
    seen = Changing(fails="n0")
    async with started(stage, planned(), seen) as run:
        assert (await run.ends()).phase is ExecutionPhase.FAILED
        seen.fails = ""
        await run.reset()
        assert (await run.ends()).phase is ExecutionPhase.SUCCEEDED
        assert seen.begun().count("n0") == 2
        nodes = {node.id: node.child for change in seen.records for node in change.nodes}
        assert nodes["lp"] == f"{run.name}.lp-r1"


async def test_what_a_child_told_before_the_reset_does_not_stand_for_the_one_that_runs_after_it(
    stage: Stage,
) -> None:
    """Temporal delivers it again, and who told it is over: the run would be shown PAUSED until its end."""
    closure, seen = planned(), Changing(fails="n0")
    plan = closure.launch_plans["shapes.plan"].model_copy(update={"pause_on_failure": True})
    closure = closure.model_copy(update={"launch_plans": {plan.name: plan}})
    async with started(stage, closure, seen) as run:

        async def waits() -> bool:
            return bool((await stage.engine.repairs(run.given.request.id)).children)

        await until(waits)
        await stage.client.get_workflow_handle(f"{run.name}.lp").terminate("by somebody")
        assert (await run.ends()).phase is ExecutionPhase.FAILED
        seen.fails, seen.waits = "", "n0"
        await run.reset()

        async def again() -> bool:
            return seen.begun().count("n0") == 2

        await until(again)
        state = await stage.engine.repairs(run.given.request.id)
        assert (state.phase, state.children) == (ExecutionPhase.RUNNING, ())
        seen.free.set()
        assert (await run.ends()).phase is ExecutionPhase.SUCCEEDED


async def test_a_child_that_has_ended_well_is_not_run_again(stage: Stage) -> None:
    seen = Changing()
    async with started(stage, planned(), seen) as run:
        before = await run.ends()
        await run.reset()
        after = await run.ends()
        assert after.run != before.run
        assert (after.phase, after.outputs) == (before.phase, before.outputs)
        assert seen.begun().count("n0") == 1


@pytest.mark.parametrize("ends", ["well", "badly", "aborted"])
async def test_a_child_at_work_goes_on_and_its_end_counts(stage: Stage, ends: str) -> None:
    seen = Changing(waits="n0")
    async with started(stage, planned(), seen, heartbeat_timeout_s=2) as run:
        await seen.reaches("n0")
        await run.reset()
        history = stage.client.get_workflow_handle(run.name)

        async def watched() -> bool:
            return b"watch_child" in b"".join(
                e.SerializeToString() for e in (await history.fetch_history()).events
            )

        await until(watched)
        if ends == "aborted":
            await stage.engine.abort(run.given.request.id, "enough")
        else:
            seen.fails = "n0" if ends == "badly" else ""
            seen.free.set()
        state = await run.ends()
        child = run.given.request.id.model_copy(update={"name": f"{run.name}.lp"})
        below = await stage.engine.wait(child, 30)
        assert below is not None
        expected = {
            "well": ExecutionPhase.SUCCEEDED,
            "badly": ExecutionPhase.FAILED,
            "aborted": ExecutionPhase.ABORTED,
        }
        assert (state.phase, below.phase) == (expected[ends], expected[ends])
        assert seen.begun().count("n0") == 1
        assert not await run.knows(f"{run.name}.lp-r1")


async def test_a_child_that_was_asked_for_something_else_is_stopped(stage: Stage) -> None:
    seen = Changing(waits="n0")
    async with started(stage, behind(planned()), seen, heartbeat_timeout_s=2) as run:
        await seen.reaches("n0")
        seen.first = 5
        seen.waits = ""
        await run.reset()
        state = await run.ends()
        assert state.phase is ExecutionPhase.SUCCEEDED
        child = run.given.request.id.model_copy(update={"name": f"{run.name}.lp"})
        below = await stage.engine.wait(child, 30)
        assert below is not None
        assert below.phase is ExecutionPhase.ABORTED
        (again,) = [r for r in seen.requests if r.attempt.execution.name == f"{run.name}.lp-r1"]
        assert plain(again.inputs["x"]) == 5


async def test_of_the_shards_of_a_map_only_those_that_have_failed_run_again(stage: Stage) -> None:
    seen = Changing(fails="m[3]", waits="m[3]")
    async with started(stage, mapped(range(6)), seen, shard=2) as run:
        for offset in (0, 4):
            shard = run.given.request.id.model_copy(update={"name": f"{run.name}.m.{offset}"})
            await until(partial(run.knows, shard.name))
            assert await stage.engine.wait(shard, 30) is not None
        seen.free.set()
        assert (await run.ends()).phase is ExecutionPhase.FAILED
        seen.fails = ""
        await run.reset()
        state = await run.ends()
        assert plain(state.outputs["o0"]) == [1, 2, 3, 4, 5, 6]
        begun = Counter(seen.begun())
        assert begun["m[3]"] == 2
        assert [begun[f"m[{i}]"] for i in (0, 1, 4, 5)] == [1, 1, 1, 1]
        assert await run.knows(f"{run.name}.m.2-r1")


async def test_shards_of_other_inputs_run_again(stage: Stage) -> None:
    seen = Changing()
    async with started(stage, joined(), seen, shard=2) as run:
        assert plain((await run.ends()).outputs["o0"]) == 10
        seen.first = 5
        await run.reset()
        assert plain((await run.ends()).outputs["o0"]) == 30


async def test_a_shard_of_other_inputs_at_work_is_stopped(stage: Stage) -> None:
    seen = Changing(waits="m[3]")
    async with started(stage, joined(), seen, shard=2, heartbeat_timeout_s=2) as run:
        await seen.reaches("m[3]")
        seen.first, seen.waits = 5, ""
        await run.reset()
        assert plain((await run.ends()).outputs["o0"]) == 30
        assert not seen.free.is_set(), "nobody waited for it"
        shard = run.given.request.id.model_copy(update={"name": f"{run.name}.m.2"})
        before = await stage.engine.state(shard)
        assert before is not None
        assert before.phase is ExecutionPhase.ABORTED


async def test_a_shard_of_other_inputs_does_not_count_after_a_continue_as_new_either(stage: Stage) -> None:
    seen = Changing(waits="m[3]")
    async with started(stage, beside(joined(), 40), seen, shard=2, history_events=40) as run:
        await seen.reaches("m[3]")
        seen.first = 5
        reset = await run.reset()
        await run.continued(reset)
        seen.free.set()
        assert plain((await run.ends()).outputs["o0"]) == 30
        assert {Counter(seen.begun())[f"m[{i}]"] for i in range(4)} == {2}


async def test_shards_at_work_go_on(stage: Stage) -> None:
    seen = Changing(waits="m[3]")
    async with started(stage, mapped(range(4)), seen, shard=2) as run:
        await seen.reaches("m[3]")
        await run.reset()
        seen.free.set()
        state = await run.ends()
        assert plain(state.outputs["o0"]) == [1, 2, 3, 4]
        assert Counter(seen.begun()) == Counter(f"m[{i}]" for i in range(4))
