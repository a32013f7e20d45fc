"""Two builds of the worker at once, on a real server: docs/operations/upgrades.md, and two rows of the fault matrix.

Reliability.md §2.3, row 36: an interpreter bug raises in workflow code. Row 37: a non-deterministic upgrade.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkflowExecutionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from flyte_temporal.adapters.temporal.polls import Polls
from flyte_temporal.config.settings import Settings, TemporalSettings, WorkerSettings
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.calls import AttemptRequest, GateAnswer
from flyte_temporal.spec.execution import ExecutionPhase, GateReply, NodePhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.repairs import Pause
from flyte_temporal.spec.types import BOOLEAN
from flyte_temporal.testing import closures
from flyte_temporal.worker.wiring import temporal_worker
from flyte_temporal.workflows import versions
from flyte_temporal.workflows.plan import Progress
from tests.workflow.conftest import Attempted, Stage, arithmetic
from tests.workflow.test_structures import gated


def shipped(stage: Stage, attempted: Attempted, build: str = "", deployment: str = "") -> Worker:
    """Return a worker with the options of the product, of a build."""
    own = WorkerSettings(deployment=deployment, **({"build": build} if build else {}))
    settings = Settings(worker=own, temporal=TemporalSettings(task_queue=stage.queue))
    return temporal_worker(stage.client, settings, [attempted.run, attempted.record, *stage.more])


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - what is awaited is in the server
            await asyncio.sleep(0.05)


async def make_current(client: Client, deployment: str, build: str) -> None:
    """As `temporal worker deployment set-current-version` does, once the version is known.

    Queues learn of it later, and the state that says so may stay at "in progress" on the development server: tests look
    at what runs do.
    """

    async def known() -> bool:
        request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
        try:
            found = await client.workflow_service.describe_worker_deployment(request)
        except Exception:  # noqa: BLE001 - not there yet
            return False
        versions_ = found.worker_deployment_info.version_summaries
        return any(v.deployment_version.build_id == build for v in versions_)

    await until(known)
    await client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace,
            deployment_name=deployment,
            build_id=build,
            ignore_missing_task_queues=True,
        )
    )


async def build_of(client: Client, workflow_id: str) -> WorkerDeploymentVersion:
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace)
    request.execution.workflow_id = workflow_id
    found = await client.workflow_service.describe_workflow_execution(request)
    return found.workflow_execution_info.versioning_info.deployment_version


@asynccontextmanager
async def builds(stage: Stage, held: Attempted) -> AsyncIterator[Worker]:
    """Yield the newer of two builds, not begun yet; the older one runs, is current, and has a run at work."""
    async with shipped(stage, held, "v1", stage.name):
        await make_current(stage.client, stage.name, "v1")
        yield shipped(stage, held, "v2", stage.name)


class Held:
    """Lets attempts wait until they are released."""

    def __init__(self) -> None:
        self.released, self.begun = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: AttemptRequest) -> int:
        self.begun.set()
        await self.released.wait()
        return await arithmetic(request)


async def test_a_pinned_run_stays_on_its_build_and_new_ones_begin_on_the_current(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second build starts nodes in another order: the first run must never meet it."""
    held, closure = Held(), closures.fan_out(4)
    old = closures.run_input(closure, f"old-{stage.name}"[:100], 1)
    new = [closures.run_input(closure, f"new-{i}-{stage.name}"[:100], 1) for i in range(20)]
    in_order = Progress.first

    def first(progress: Progress) -> list[str]:
        changed = workflow.info().workflow_id.startswith("new")
        return list(reversed(in_order(progress))) if changed else in_order(progress)

    monkeypatch.setattr(Progress, "first", first)
    async with builds(stage, Attempted(held)) as newer:
        await stage.engine.start(old, closure)
        await held.begun.wait()
        async with newer:
            await make_current(stage.client, stage.name, "v2")
            held.released.set()
            begun = []
            for run in new:
                # The queues learn of the current build a moment later; until then runs begin on the one before.
                await stage.engine.start(run, closure)
                state = await stage.engine.wait(run.request.id, 60)
                assert state is not None
                assert state.phase is ExecutionPhase.SUCCEEDED
                begun.append((await build_of(stage.client, run.request.id.name)).build_id)
                if begun[-1] == "v2":
                    break
            ended = await stage.engine.wait(old.request.id, 60)
            assert await Polls(stage.client, stage.queue).heard(), (
                "the polls of a versioned queue count as well"
            )
    assert ended is not None
    assert ended.phase is ExecutionPhase.SUCCEEDED
    assert begun[-1] == "v2"
    assert (await build_of(stage.client, old.request.id.name)).build_id == "v1"


@workflow.defn(dynamic=True, sandboxed=False)
class Continuing:
    """Does what a run does that may continue as new: it goes over as soon as there is something newer."""

    def __init__(self) -> None:
        self._looked = 0

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        """Return the build on which it has ended."""
        while len(args) < 2:
            if versions.upgrade_is_wanted():
                workflow.continue_as_new(args=["", ""], initial_versioning_behavior=versions.ON_CONTINUE)
            await workflow.wait_condition(lambda: self._looked > 0)
            self._looked = 0
        return workflow.info().get_current_deployment_version().build_id  # type: ignore[union-attr]

    @workflow.signal
    def look(self) -> None:
        """Have it look again."""
        self._looked += 1


async def test_a_run_goes_over_to_the_current_build_when_it_continues_as_new(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.worker.wiring.Interpreter", Continuing)
    async with builds(stage, Attempted()) as newer:
        handle = await stage.client.start_workflow("any", "", id=stage.name, task_queue=stage.queue)
        await handle.signal("look")

        async def begun() -> bool:
            return (await build_of(stage.client, stage.name)).build_id == "v1"

        await until(begun)
        async with newer:
            await make_current(stage.client, stage.name, "v2")
            assert await begun()

            async def over() -> bool:
                try:
                    await handle.signal("look")
                except RPCError as error:
                    # It has ended, which it does on the other build only.
                    return error.status is RPCStatusCode.NOT_FOUND
                return False

            await until(over)
            assert await stage.client.get_workflow_handle(stage.name).result() == "v2"


async def test_a_real_run_goes_over_in_the_middle_and_no_attempt_is_asked_for_twice(stage: Stage) -> None:
    closure = closures.chain(40)
    given = stage.stored(closure, stage.name)
    held = Held()
    attempted = Attempted(held)
    async with builds(stage, attempted) as newer:
        await stage.engine.start(given, closure)
        await held.begun.wait()
        async with newer:
            await make_current(stage.client, stage.name, "v2")
            # Time for its queues to learn of it; each node after the first makes the run look.
            await asyncio.sleep(3)
            held.released.set()
            state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.outputs == {"o0": Inline(value=41)}
    assert (await build_of(stage.client, stage.name)).build_id == "v2"
    # The one that was at work when the run went over may have been asked for again: by the same id.
    assert len({request.attempt.key for request in attempted.requests}) == 40


@pytest.mark.parametrize("paused", [False, True], ids=["waits", "paused"])
async def test_a_run_in_which_nothing_happens_goes_over_with_its_next_message(
    stage: Stage, *, paused: bool
) -> None:
    closure = gated(GateTarget(gate="approve", name="ok", type=BOOLEAN), {"value": Constant(value=True)})
    given = stage.stored(closure, stage.name)
    run, attempted = given.request.id, Attempted()

    async def asks() -> bool:
        return any(gate.phase is NodePhase.RUNNING for gate in await stage.engine.gates(run))

    async with builds(stage, attempted) as newer:
        await stage.engine.start(given, closure)
        await stage.taken(stage.name)
        await until(asks)
        if paused:
            await stage.engine.repair(run, Pause(by="ann"))
        assert (await build_of(stage.client, stage.name)).build_id == "v1"
        async with newer:
            await make_current(stage.client, stage.name, "v2")

            async def over() -> bool:
                await stage.engine.repair(run, Pause(ends=not paused))
                return (await build_of(stage.client, stage.name)).build_id == "v2"

            await until(over)
            state = await stage.engine.repairs(run)
            assert (state.pause is not None) is paused
            await stage.engine.repair(run, Pause(ends=True))
            await stage.engine.answer(run, GateAnswer(gate="ok", reply=GateReply(approved=True)))
            ended = await stage.engine.wait(run, 60)
    assert ended is not None
    assert ended.phase is ExecutionPhase.SUCCEEDED


async def test_a_bug_of_the_interpreter_is_seen_and_a_fixed_build_resumes_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 36: the run is stuck where anybody sees it, nothing of it is lost, and it goes on with the next build."""
    closure = closures.chain(3)
    given = closures.run_input(closure, stage.name, 1)
    attempted = Attempted()
    with monkeypatch.context() as broken:
        broken.setattr(Progress, "finish", _raise)
        async with shipped(stage, attempted):
            await stage.engine.start(given, closure)

            async def seen() -> bool:
                request = DescribeWorkflowExecutionRequest(namespace=stage.client.namespace)
                request.execution.workflow_id = stage.name
                found = await stage.client.workflow_service.describe_workflow_execution(request)
                task = found.pending_workflow_task
                return task.attempt >= 2 and task.state != PendingWorkflowTaskState.Value(
                    "PENDING_WORKFLOW_TASK_STATE_UNSPECIFIED"
                )

            await until(seen)
        history = await stage.client.get_workflow_handle(stage.name).fetch_history()
        failed = [e.workflow_task_failed_event_attributes for e in history.events]
        (why,) = {f.failure.message for f in failed if f.failure.message}
        assert "an invariant does not hold" in why
    await stage.engine.forget_worker(given.request.id)
    async with shipped(stage, attempted):
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert [request.attempt.node for request in attempted.requests] == ["n0", "n1", "n2"]


def _raise(*_: Any) -> None:
    raise AssertionError("an invariant does not hold")


async def test_an_upgrade_that_is_not_deterministic_stops_no_run_for_good(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 37, without Worker Versioning: the run waits for a build that fits, and loses nothing."""
    held, closure = Held(), closures.fan_out(4)
    given = closures.run_input(closure, stage.name, 1)
    attempted = Attempted(held)
    async with shipped(stage, attempted):
        await stage.engine.start(given, closure)
        await held.begun.wait()
    in_order = Progress.first
    await stage.engine.forget_worker(given.request.id)
    with monkeypatch.context() as changed:
        changed.setattr(Progress, "first", lambda self: list(reversed(in_order(self))))
        async with shipped(stage, attempted):
            held.released.set()

            async def seen() -> bool:
                history = await stage.client.get_workflow_handle(stage.name).fetch_history()
                failed = [e.workflow_task_failed_event_attributes.failure.message for e in history.events]
                return any("ondeterminis" in message for message in failed)

            await until(seen)
    await stage.engine.forget_worker(given.request.id)
    async with shipped(stage, attempted):
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
