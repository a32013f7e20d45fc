"""What deliveries of single attempts and of batches share: the parts, one attempt's order, records and manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.outcome import NoManifest, read_manifest
from flyte_temporal.activities.records import Records
from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState, Manifest, StorageConfig
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.execution import CacheStatus, ErrorDocument, ErrorKind, NodePhase, NodeRecord
from flyte_temporal.spec.policies import Timeouts

_NO_HEARTBEAT = timedelta(seconds=30)


@dataclass(frozen=True)
class Parts:
    """What attempts are made of.

    Args:
        launchers: By name.
        blobs: Where manifests are.
        storage: The same store, as attempts are told of it.
        closures: Tasks by digest and name.
        records: Where states are noted.
        grace_s: Seconds between SIGTERM and SIGKILL when an attempt is stopped.
    """

    launchers: Mapping[str, Launcher]
    blobs: BlobStore
    storage: StorageConfig
    closures: Closures
    records: Records
    grace_s: float = 10.0

    def launcher(self, name: str) -> Launcher:
        """Return a launcher.

        Raises:
            UnsupportedSpec: If this worker has none of this name.
        """
        launcher = self.launchers.get(name)
        if launcher is None:
            known = ", ".join(sorted(self.launchers))
            raise UnsupportedSpec(f"This worker has no launcher {name!r}; it has: {known}.")
        return launcher


class Attempt:
    """One attempt, as a delivery of its activity sees it.

    Args:
        parts: What attempts are made of.
        request: What is asked for.
    """

    def __init__(self, parts: Parts, request: AttemptRequest) -> None:
        self._parts = parts
        self.request = request
        self.id = request.attempt
        self._kind = "task"

    async def task(self) -> TaskSpec:
        """Return what it runs, overrides applied.

        Raises:
            FlyteTemporalError: If the closure cannot be had or does not hold the task.
        """
        task = await self._parts.closures.task(self.request.spec, self.request.task)
        self._kind = "dynamic" if task.type == "dynamic" else "task"
        return task.overridden(self.request.overrides)

    def order(self, task: TaskSpec) -> AttemptOrder:
        """Return the order for a launcher."""
        request = self.request
        return AttemptOrder.model_construct(
            attempt=self.id,
            task=task,
            inputs=request.inputs,
            environment=request.environment,
            storage=self._parts.storage,
            inline_bytes=request.inline_bytes,
            created_at=request.created_at,
        )

    async def manifest(self) -> Manifest | None:
        """Return its manifest, or None if it has left none.

        Raises:
            FlyteTemporalError: If what is there is none, or the store did not answer.
        """
        blobs = self._parts.blobs
        try:
            if blobs.quick:
                return read_manifest(blobs, self.id)
            return await asyncio.to_thread(read_manifest, blobs, self.id)
        except NoManifest:
            return None

    async def done(self, manifest: Manifest) -> Manifest:
        """Do all that is to be done once an attempt's manifest is there; return the manifest."""
        if manifest.spec:
            # A dynamic task is at work until what it gave has ended.
            self.note(NodePhase.RUNNING, spec=manifest.spec)
        elif manifest.error is None:
            self.note(NodePhase.SUCCEEDED, finished_at=manifest.finished_at)
        return manifest

    def note(
        self, phase: NodePhase, reason: str = "", finished_at: datetime | None = None, spec: str = ""
    ) -> None:
        """Have the state of its node written soon."""
        request = self.request
        # Of parts that were checked when the request was read.
        record = NodeRecord.model_construct(
            id=self.id.node,
            name=request.name or self.id.node,
            kind="dynamic" if spec else self._kind,
            phase=phase,
            attempts=self.id.number,
            cache=CacheStatus.DISABLED,
            started_at=request.first_started_at,
            finished_at=finished_at,
            order=request.order,
            task=request.task,
            attempt_key=self.id.key,
            reason=reason,
            spec=spec,
        )
        self._parts.records.note(self.id.execution, record)


def heartbeat_s() -> float:
    """Return how often Temporal wants to hear from this activity, in seconds."""
    return (activity.info().heartbeat_timeout or _NO_HEARTBEAT).total_seconds() / 3


async def beating(work: Coroutine[Any, Any, Any]) -> None:
    """Await something slow while Temporal goes on hearing from us; silence would end the run before the task."""
    working = asyncio.ensure_future(work)
    while not (await asyncio.wait((working,), timeout=heartbeat_s()))[0]:
        activity.heartbeat("STOPPING")
    working.result()


async def wanted() -> bool:
    """Return whether somebody asked for this attempt to stop, rather than only this delivery of its activity."""
    details = activity.cancellation_details()
    if details is None or details.worker_shutdown:
        return False
    if details.cancel_requested:
        return True
    # Temporal no longer knows this delivery: another one has the attempt now, or the run was ended from outside.
    workflow_id = activity.info().workflow_id
    if not details.not_found or workflow_id is None:
        return False
    try:
        run = await activity.client().get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return run.status is not WorkflowExecutionStatus.RUNNING


def too_long(state: AttemptState, timeouts: Timeouts) -> bool:
    """Return whether an attempt has run longer than it may."""
    if not timeouts.run_s or state.started_at is None:
        return False
    return (datetime.now(UTC) - state.started_at).total_seconds() > timeouts.run_s


def timed_out(run_s: float) -> ErrorDocument:
    """Return the failure of an attempt that ran too long."""
    return ErrorDocument(
        kind=ErrorKind.USER,
        code="TimedOut",
        message=f"The attempt ran longer than its time-out of {run_s:g} s.",
    )
