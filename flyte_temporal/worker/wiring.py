"""Joins settings, adapters, activities and the interpreter into one Temporal worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig, WorkflowRunner

from flyte_temporal.activities.attempts import Attempts
from flyte_temporal.activities.cancels import Stops
from flyte_temporal.activities.children import Children
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.limits import Pulse
from flyte_temporal.activities.lists import Lists
from flyte_temporal.activities.lookups import Lookups
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.recalls import Recalls
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.activities.runs import Runs
from flyte_temporal.activities.values import Values
from flyte_temporal.adapters.launchers import Launchers
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.adapters.temporal.polls import Polls
from flyte_temporal.config.settings import Settings, WorkerSettings
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.clusters import queue_of
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.worker.liveness import Activations
from flyte_temporal.workflows.interpreter import Interpreter

if TYPE_CHECKING:
    from flyte_temporal.adapters.store.sql import SqlMetadataStore

PARTS = (
    "flyte_temporal.adapters.store.sql",
    "flyte_temporal.adapters.launchers.pool",
    "flyte_temporal.adapters.launchers.process",
)
"""Modules that are imported on use; a spare worker imports them ahead."""

_EAGER = 100
"""Activities of one workflow task that may skip the task queue: 2.2 instead of 4.4 ms of server time each."""


@dataclass
class Platform:
    """A worker and what must be closed after it."""

    client: Client
    worker: Worker
    cluster_workers: list[Worker]
    polls: Polls
    records: Records
    remembering: Remembering
    launchers: Launchers
    store: SqlMetadataStore
    blobs: BlobStore

    async def close(self) -> None:
        """Write what waits and let go of attempts; they run on and are adopted by the next worker."""
        await self.records.close()
        await self.remembering.close()
        await self.launchers.close()
        self.store.close()


async def build(settings: Settings, activations: Activations | None = None) -> Platform:
    """Return a worker that is ready to run.

    Args:
        settings: The environment.
        activations: Sees what its workflow threads are at.

    Raises:
        PlatformUnavailable: If Temporal or a store does not answer.
    """
    storage = settings.storage.config()
    blobs = open_store(storage)
    client = await connect(settings.temporal, blobs)
    store = open_metadata(settings)
    records = Records(store, Runs(client, store))
    launchers = open_launchers(settings)
    closures = Closures(blobs)
    remembering = Remembering(store.catalog, blobs, closures)
    parts = Parts(
        launchers=launchers,
        blobs=blobs,
        storage=storage,
        closures=closures,
        records=records,
        remembering=remembering,
        grace_s=settings.worker.stop_grace_s,
        keep_checkpoints=settings.worker.keep_checkpoints,
        pulse=Pulse(settings.worker.heartbeats_per_s),
    )
    lists = Lists(blobs, settings.worker.scratch)
    engine = TemporalEngine(client, settings.temporal.task_queue)
    attempts, children = Attempts(parts), Children(blobs, store, closures, engine)
    on_clusters: list[Callable[..., Any]] = [attempts.run, Stops(parts).stop]
    served: list[Callable[..., Any]] = [
        *on_clusters,
        records.record,
        closures.load,
        Values(blobs, settings.worker.scratch).read,
        lists.split,
        lists.join,
        children.open,
        children.watch,
        Lookups(store.catalog, blobs, Recalls(store, blobs, closures)).lookup,
        remembering.store,
    ]
    worker = temporal_worker(client, settings, served, activations)
    beside = cluster_workers(client, settings, on_clusters)
    polls = Polls(client, settings.temporal.task_queue)
    return Platform(client, worker, beside, polls, records, remembering, launchers, store, blobs)


class Workflows(TypedDict):
    """Options that say how workflow code is run: of a worker, and of the replayer that proves them (tests/workflow)."""

    workflows: Sequence[type]
    unsandboxed_workflow_runner: WorkflowRunner


def workflow_options(activations: Activations | None = None) -> Workflows:
    """Return how the interpreter is run.

    Args:
        activations: Sees what the workflow threads are at.
    """
    return {
        "workflows": [Interpreter],
        "unsandboxed_workflow_runner": (activations or Activations()).runner(),
    }


def temporal_worker(
    client: Client,
    settings: Settings,
    activities: Sequence[Callable[..., Any]],
    activations: Activations | None = None,
) -> Worker:
    """Return the Temporal worker that serves the interpreter and its activities on one queue.

    Args:
        client: A connected client.
        settings: Queue, slots, time-outs and version.
        activities: What it serves: all of `spec.calls`, and the tasks.
        activations: Sees what its workflow threads are at.
    """
    worker = Worker(
        client,
        task_queue=settings.temporal.task_queue,
        **workflow_options(activations),
        activities=activities,
        max_eager_activity_reservations_per_workflow_task=_EAGER,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.worker.sticky_timeout_s),
        **_serving(settings),
    )
    be_patient(worker, settings.temporal.task_timeout_s)
    return worker


def cluster_workers(
    client: Client, settings: Settings, activities: Sequence[Callable[..., Any]]
) -> list[Worker]:
    """Return the workers that serve the queues of named clusters: activities only.

    Args:
        client: A connected client.
        settings: As for `temporal_worker`; which clusters.
        activities: What runs on a cluster, or stops.
    """
    own = settings.temporal.task_queue
    queues = {queue_of(own, cluster) for cluster in settings.clusters()} - {own}
    return [
        Worker(client, task_queue=queue, activities=activities, **_serving(settings))
        for queue in sorted(queues)
    ]


class _Serving(TypedDict):
    max_concurrent_activities: int
    activity_task_poller_behavior: PollerBehaviorAutoscaling
    max_heartbeat_throttle_interval: timedelta
    graceful_shutdown_timeout: timedelta
    build_id: NotRequired[str]
    deployment_config: NotRequired[WorkerDeploymentConfig]


def _serving(settings: Settings) -> _Serving:
    """Return how activities are served, on whichever queue."""
    own = settings.worker
    return {
        "max_concurrent_activities": own.max_activities,
        "activity_task_poller_behavior": PollerBehaviorAutoscaling(),
        "max_heartbeat_throttle_interval": timedelta(seconds=min(1.0, own.heartbeat_timeout_s / 3)),
        "graceful_shutdown_timeout": timedelta(seconds=own.graceful_shutdown_s),
        **_version(own),
    }


def be_patient(worker: Worker, seconds: float) -> None:
    """Let a step of the interpreter take as long as Temporal lets it, instead of 2 s.

    temporalio takes a step of more than 2 s by the clock for a deadlock. On a starved machine it is none: loading a run of
    10,000 nodes takes 0.4 s of processor time. And what is interrupted cannot be evicted, so that the run is stuck until
    the worker is killed (temporal.md §0.1). There is no public option for it.

    Args:
        worker: The worker.
        seconds: How long Temporal waits before it gives the step to another worker.
    """
    worker._workflow_worker._deadlock_timeout_seconds = seconds  # type: ignore[union-attr]  # noqa: SLF001


class _Version(TypedDict, total=False):
    build_id: str
    deployment_config: WorkerDeploymentConfig


def _version(own: WorkerSettings) -> _Version:
    """Return which version of a worker this is, for Temporal's Worker Versioning where that is used.

    Every run is pinned to the version that began it, and goes over to a newer one when it continues as new
    (docs/decisions/0047).
    """
    if not own.deployment:
        # Without it temporalio hashes all loaded code at each start: over a second.
        return {"build_id": own.build}
    version = WorkerDeploymentVersion(deployment_name=own.deployment, build_id=own.build)
    return {
        "deployment_config": WorkerDeploymentConfig(
            version=version,
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        )
    }


def open_metadata(settings: Settings) -> SqlMetadataStore:
    """Return the metadata store with its tables as of this release; SQLAlchemy is imported here, on use."""
    from flyte_temporal.adapters.store.sql import SqlMetadataStore

    own = settings.metadata
    store = SqlMetadataStore(own.url, synchronous=own.durability, busy_timeout_s=own.busy_timeout_s)
    store.upgrade()
    return store


def open_launchers(settings: Settings) -> Launchers:
    """Return the launchers of this installation by name. The pool is made at once: it clears away what was left."""
    launchers = Launchers(settings)
    launchers["pool"]
    return launchers
