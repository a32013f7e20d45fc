"""What deliveries of single attempts and of batches share: one attempt's order, records and manifest, and its clocks."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import activity

from flyte_temporal.activities.cancels import beating
from flyte_temporal.activities.memory import Memory
from flyte_temporal.activities.outcome import NoManifest, evidence_of, read_manifest, without_manifest
from flyte_temporal.activities.parts import Parts
from flyte_temporal.ports.blob_store import Put
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, Manifest
from flyte_temporal.spec.basis import basis_of_task
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.execution import ErrorKind, NodePhase, NodeRecord, Verdict
from flyte_temporal.spec.images import DEFAULT, with_images
from flyte_temporal.spec.verdicts import UNKNOWN_POD_FAILURE, judge

PAUSED = "its activity is paused in Temporal; what runs, runs on"
"""Why a node waits whose activity somebody has paused: `temporal activity unpause` lets it go on."""

_NO_HEARTBEAT = timedelta(seconds=30)
_READS = 3
_READ_EVERY_S = 5.0


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
        self.checkpoint: SavedCheckpoint | None = None
        """The last one that is known."""
        self.memory = Memory(parts.remembering, request)
        self._kind = "task"
        self._task: TaskSpec | None = None

    async def task(self) -> TaskSpec:
        """Return what it runs, overrides applied.

        Raises:
            FlyteTemporalError: If the closure cannot be had or does not hold the task.
        """
        task = await self._parts.closures.task(self.request.spec, self.request.task)
        self._kind = "dynamic" if task.type == "dynamic" else "task"
        environment = self.request.environment
        known = {**({DEFAULT: environment.image} if environment.image else {}), **environment.images}
        self._task = with_images(task.overridden(self.request.changes()), known)
        return self._task

    def order(self, task: TaskSpec) -> AttemptOrder:
        """Return the order for a launcher."""
        request = self.request
        return AttemptOrder(
            attempt=self.id,
            task=task,
            inputs=request.inputs,
            environment=request.environment,
            storage=self._parts.storage,
            inline_bytes=request.inline_bytes,
            created_at=request.created_at,
            earlier=request.earlier,
            checkpoint_from=request.checkpoint_from,
            keep_checkpoint=self._parts.keep_checkpoints,
            grace_s=self._parts.grace_s,
            interruptible=request.interruptible,
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
            # A store that stalls is no reason to be taken for dead.
            every_s = self._parts.pulse.interval_s(heartbeat_timeout_s())
            return await beating(asyncio.to_thread(read_manifest, blobs, self.id), every_s)
        except NoManifest:
            return None

    async def judged(self, order: AttemptOrder, state: AttemptState) -> Manifest:
        """Write the manifest of an attempt that left none: another delivery, of a later run, must judge it the same."""
        if state.pod is not None and (late := await self._late_manifest(order, state)) is not None:
            return late
        made = without_manifest(order, state)
        if made.error is not None and made.error.code == UNKNOWN_POD_FAILURE:
            _count_unknown(state)
        blobs, key = self._parts.blobs, keys.manifest(self.id)
        if await asyncio.to_thread(blobs.put_new, key, canonical_bytes(made)) is Put.CONFLICT:
            return await self.manifest() or made
        return made

    async def _late_manifest(self, order: AttemptOrder, state: AttemptState) -> Manifest | None:
        """Look again for the manifest of a pod that says it has succeeded: a store may show it a little later."""
        for reads in range(1, _READS):
            seen = evidence_of(order, state, reads, reads * _READ_EVERY_S)
            if state.error is not None or judge(seen).verdict is not Verdict.WAIT:
                return None
            await beating(asyncio.sleep(_READ_EVERY_S), _READ_EVERY_S)
            if (found := await self.manifest()) is not None:
                return found
        return None

    async def done(self, manifest: Manifest) -> Manifest:
        """Do all that is to be done once an attempt's manifest is there; return the manifest."""
        self.checkpoint = manifest.checkpoint or self.checkpoint
        if manifest.spec:
            # A dynamic task is at work until what it gave has ended.
            self.note(NodePhase.RUNNING, spec=manifest.spec)
        elif manifest.error is not None:
            await self._parts.remembering.forget(self.id.execution, manifest.error)
            await self.memory.give_up(failed=manifest.error.kind is ErrorKind.USER)
            if manifest.basis is None:
                self.note(NodePhase.RUNNING, unfinished=True)
        else:
            await self.memory.keep(manifest.outputs or {})
            self.note(NodePhase.SUCCEEDED, finished_at=manifest.finished_at)
        return manifest

    async def stopped(self, launcher: Launcher) -> Manifest | None:
        """Do all that is to be done once an attempt was stopped by wish; return its manifest if it had succeeded by then."""
        manifest = await self.manifest()
        if manifest is not None:
            self.checkpoint = manifest.checkpoint or self.checkpoint
        await launcher.release(self.id)
        if manifest is not None and manifest.error is None:
            return await self.done(manifest)
        await self.memory.give_up(failed=False)
        self.note(NodePhase.ABORTED, unfinished=True)
        return None

    async def unreported(self) -> None:
        """Do all that is to be done once an attempt was stopped by wish of which nobody could tell the end in time."""
        await self.memory.give_up(failed=False)
        self.note(NodePhase.ABORTED, unfinished=True)

    def say_why_it_is_left(self) -> None:
        """Note, if somebody has paused the activity, that nothing is heard of the attempt until it goes on."""
        details = activity.cancellation_details()
        if details is not None and details.paused:
            self.note(NodePhase.PAUSED, PAUSED)

    def note(
        self,
        phase: NodePhase,
        reason: str = "",
        finished_at: datetime | None = None,
        spec: str = "",
        *,
        unfinished: bool = False,
    ) -> None:
        """Have the state of its node written soon; `unfinished` = there is no manifest that tells what it rests on."""
        request = self.request
        record = NodeRecord(
            id=self.id.node,
            name=request.name or self.id.node,
            kind="dynamic" if spec else self._kind,
            phase=phase,
            attempts=self.id.number,
            cache=self.memory.status,
            started_at=request.first_started_at,
            finished_at=finished_at,
            order=request.order,
            task=request.task,
            attempt_key=self.id.key,
            reason=reason,
            spec=spec,
            checkpoint=self.checkpoint,
            basis=basis_of_task(self._task, request.inputs) if unfinished and self._task else None,
            failed=request.failed,
            repairs=request.repairs,
        )
        self._parts.records.note(self.id.execution, record)


def _count_unknown(state: AttemptState) -> None:
    """Count a pod that failed in a way that no row of the table knows."""
    reason = (state.pod.reason if state.pod is not None else "") or "none"
    meter = activity.metric_meter().with_additional_attributes({"reason": reason})
    meter.create_counter(
        "unknown_pod_failure", "Pods that failed for a reason which the table of verdicts does not know"
    ).add(1)


def heartbeat_timeout_s() -> float:
    """Return after how many seconds of silence Temporal gives this activity to another worker."""
    return (activity.info().heartbeat_timeout or _NO_HEARTBEAT).total_seconds()


def most_s() -> float:
    """Return how long an attempt may run whose task sets no limit."""
    limit = activity.info().start_to_close_timeout
    return limit.total_seconds() if limit is not None else 0.0


def used_up(before: AttemptState, stopped: AttemptState) -> AttemptState:
    """Return the state of an attempt that was stopped because it had used up its time.

    Args:
        before: Its state when that was seen.
        stopped: Its state afterwards.
    """
    ran = before.phase is not AttemptPhase.QUEUED
    return stopped.model_copy(update={"intent": Intent.TIMEOUT, "ran": ran})
