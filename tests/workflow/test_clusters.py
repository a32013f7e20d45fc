"""Attempts of a named cluster go to its own queue, which only workers serve that have the cluster."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.config.settings import Settings
from flyte_temporal.spec.clusters import attempts_queue, queue_of
from flyte_temporal.spec.execution import Environment, ExecutionPhase
from flyte_temporal.testing import closures
from flyte_temporal.worker.wiring import cluster_workers
from tests.workflow.conftest import Attempted, Stage


async def test_only_a_worker_with_the_cluster_gets_its_attempts(stage: Stage) -> None:
    closure = closures.closure(closures.workflow("shapes.one", [closures.step("n0", 1)], closures.out("n0")))
    run = closures.run_input(closure, "elsewhere")
    environment = run.request.environment.model_copy(update={"launcher": "kubernetes", "cluster": "gpu"})
    run = run.model_copy(update={"request": run.request.model_copy(update={"environment": environment})})
    without, having = Attempted(), Attempted()
    async with stage.worker(without):
        await stage.engine.start(run, closure)
        handle = stage.client.get_workflow_handle(run.request.id.name)
        async with asyncio.timeout(30):
            while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.02)
        assert await stage.engine.waiting(run.request.id) == {"n0"}
        serving = Worker(
            stage.client, task_queue=queue_of(stage.queue, "gpu"), activities=having.served()[:1]
        )
        async with serving:
            state = await stage.engine.wait(run.request.id, 60)
    assert await stage.engine.waiting(run.request.id) == set()
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert (len(without.requests), len(having.requests)) == (0, 1)


async def test_a_worker_serves_the_queue_of_each_of_its_clusters(stage: Stage) -> None:
    settings = Settings()
    own = settings.temporal.task_queue
    named = {"default": ClusterSettings(), "gpu": ClusterSettings(), "spot": ClusterSettings()}
    settings = settings.model_copy(
        update={"kubernetes": settings.kubernetes.model_copy(update={"clusters": named})}
    )
    made = cluster_workers(stage.client, settings, Attempted().served()[:1])
    assert [worker.task_queue for worker in made] == [f"{own}@gpu", f"{own}@spot"]
    assert cluster_workers(stage.client, Settings(), Attempted().served()[:1]) == []


@pytest.mark.parametrize("versioned", [False, True])
async def test_whether_a_cluster_is_served_is_what_temporal_says(stage: Stage, versioned: bool) -> None:
    environment = Environment(launcher="kubernetes", cluster="gpu")
    assert await stage.engine.served(environment) is False
    version = WorkerDeploymentVersion(deployment_name=f"d-{stage.queue}", build_id="1")
    serving = Worker(
        stage.client,
        task_queue=queue_of(stage.queue, "gpu"),
        activities=Attempted().served()[:1],
        deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=True)
        if versioned
        else None,
    )
    async with serving, asyncio.timeout(30):
        while not await stage.engine.served(environment):  # noqa: ASYNC110 - what is awaited is in the server
            await asyncio.sleep(0.05)
    assert await stage.engine.served(environment.model_copy(update={"cluster": "other"})) is False


@pytest.mark.parametrize(
    ("launcher", "cluster", "queue"),
    [
        ("kubernetes", "gpu", "q@gpu"),
        ("kubernetes", "default", "q"),
        ("kubernetes", "", "q"),
        # A project's cluster is nothing to who asks for another launcher: nobody might serve its queue.
        ("pool", "gpu", "q"),
    ],
)
def test_only_the_launcher_with_clusters_has_their_queues(launcher: str, cluster: str, queue: str) -> None:
    assert attempts_queue("q", Environment(launcher=launcher, cluster=cluster)) == queue
