"""The dynamic activity: runs one attempt through a launcher. Its type in Temporal is the task's own name.

A second delivery (the worker was lost, or only thought to be) re-attaches to the same attempt by its id; it never
starts a second process. A worker that shuts down leaves attempts alone; only a cancel stops one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from flyte_temporal.activities.cancels import beating, wanted
from flyte_temporal.activities.limits import Limits
from flyte_temporal.activities.memory import LeaseLost, Memory
from flyte_temporal.activities.outcome import NoManifest, read_manifest, without_manifest
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.refusals import our_failure, their_failure
from flyte_temporal.errors import FlyteTemporalError, UnsupportedSpec
from flyte_temporal.faults import buggify
from flyte_temporal.ports.blob_store import Put
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, Manifest
from flyte_temporal.spec.basis import basis_of_task
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import Closure, TaskSpec
from flyte_temporal.spec.execution import CacheStatus, ErrorKind, NodePhase, NodeRecord
from flyte_temporal.spec.policies import Timeouts

_NO_HEARTBEAT = timedelta(seconds=30)


class Attempts:
    """Runs attempts.

    Args:
        parts: What they are made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._open: dict[str, _OneAttempt] = {}
        """The present delivery of each attempt's activity, by the attempt's key."""

    @activity.defn(dynamic=True)
    async def run(self, args: Sequence[RawValue]) -> AttemptResult:
        """Run one attempt to its end.

        Args:
            args: An `AttemptRequest`.

        Raises:
            ApplicationError: If the attempt failed: not retryable for Temporal, with the `ErrorDocument` as detail.
                Retryable if our side of it failed (the store did not answer, a launcher was not to be had).
        """
        request: AttemptRequest = activity.payload_converter().from_payload(args[0].payload, AttemptRequest)
        key, one = request.attempt.key, _OneAttempt(self._parts, request)
        if (former := self._open.get(key)) is not None:
            former.leave()
        self._open[key] = one
        try:
            manifest = await one.run()
        except LeaseLost:
            return AttemptResult(lease_lost=True)
        except FlyteTemporalError as error:
            raise our_failure(error) from error
        finally:
            if self._open.get(key) is one:
                del self._open[key]
        if manifest.error is not None:
            raise their_failure(manifest.error, manifest.checkpoint)
        return AttemptResult(
            outputs=manifest.outputs or {},
            spec=manifest.spec,
            closure=await self._emitted(manifest.spec) if manifest.spec else None,
            started_at=manifest.started_at,
            finished_at=manifest.finished_at,
            peak_rss_bytes=manifest.peak_rss_bytes,
            put_failed=one.memory.status is CacheStatus.PUT_FAILED,
            checkpoint=manifest.checkpoint,
        )

    async def _emitted(self, spec: str) -> Closure:
        try:
            return await self._parts.closures.closure(spec)
        except FlyteTemporalError as error:
            raise our_failure(error) from error


class _OneAttempt:
    """The life of one delivery of one attempt's activity."""

    def __init__(self, parts: Parts, request: AttemptRequest) -> None:
        self._parts = parts
        self._request = request
        self._attempt = request.attempt
        self._heartbeat_s = (activity.info().heartbeat_timeout or _NO_HEARTBEAT).total_seconds()
        self._last = ""
        self._checkpoint: SavedCheckpoint | None = None
        self._kind = "task"
        self._task: TaskSpec | None = None
        self.memory = Memory(parts.remembering, request)
        self._delivery: asyncio.Task[Manifest | AttemptResult] | None = None
        self._superseded = False

    def leave(self) -> None:
        """Leave the attempt to a later delivery on this worker: two that watch it could judge its end differently."""
        self._superseded = True
        if self._delivery is not None:
            self._delivery.cancel()

    async def run(self) -> Manifest:
        self._delivery = asyncio.current_task()
        task = await self._parts.closures.task(self._request.spec, self._request.task)
        again = self._request.again or activity.info().attempt > 1
        if again and (manifest := await self._manifest()) is not None:
            return await self._done(manifest)
        self._kind = "dynamic" if task.type == "dynamic" else "task"
        self._task = task.overridden(self._request.changes())
        order = AttemptOrder(
            attempt=self._attempt,
            task=self._task,
            inputs=self._request.inputs,
            environment=self._request.environment,
            storage=self._parts.storage,
            inline_bytes=self._request.inline_bytes,
            created_at=self._request.created_at,
            earlier=self._request.earlier,
            checkpoint_from=self._request.checkpoint_from,
            keep_checkpoint=self._parts.keep_checkpoints,
            grace_s=self._parts.grace_s,
            interruptible=self._request.interruptible,
        )
        launcher = self._launcher(order)
        await self.memory.begin(launcher)
        self._note(NodePhase.RUNNING)
        self._parts.pulse.open += 1
        try:
            buggify("start.before")
            await launcher.start(order)
            buggify("start.after")
            state = await self._observe(launcher, order.task.policy.timeouts)
        except asyncio.CancelledError:
            if self._superseded:
                raise ApplicationError(
                    "Another delivery of this attempt has taken over.",
                    category=ApplicationErrorCategory.BENIGN,
                ) from None
            finished = await asyncio.shield(self._on_cancel(launcher))
            if finished is None:
                raise
            # It was faster than the cancel: what it gave is there.
            return finished
        finally:
            self._parts.pulse.open -= 1
        manifest = await self._manifest() or await self._judged(order, state)
        await launcher.release(self._attempt)
        return await self._done(manifest)

    async def _judged(self, order: AttemptOrder, state: AttemptState) -> Manifest:
        """Write the manifest of an attempt that left none: another delivery, of a later run, must judge it the same."""
        made = without_manifest(order, state)
        blobs, key = self._parts.blobs, keys.manifest(self._attempt)
        if await asyncio.to_thread(blobs.put_new, key, canonical_bytes(made)) is Put.CONFLICT:
            return await self._manifest() or made
        return made

    def _launcher(self, order: AttemptOrder) -> Launcher:
        name = order.environment.launcher
        launcher = self._parts.launchers.get(name)
        if launcher is None:
            known = ", ".join(sorted(self._parts.launchers))
            raise UnsupportedSpec(f"This worker has no launcher {name!r}; it has: {known}.")
        return launcher

    async def _observe(self, launcher: Launcher, timeouts: Timeouts) -> AttemptState:
        """Watch the attempt to its end; one that has used up its time is stopped, and surely gone afterwards."""
        limits = Limits(timeouts, self._request.asked_at, _most_s())
        state: AttemptState | None = None
        while True:
            look_s = min(limits.look_s(state, self._beat_s), self.memory.look_s)
            state = await launcher.observe(self._attempt, look_s)
            if state.over:
                return state
            activity.heartbeat(state.phase.value)
            await self.memory.go_on()
            reason = state.message if state.phase is AttemptPhase.QUEUED else ""
            if (reason, state.checkpoint) != (self._last, self._checkpoint):
                self._last, self._checkpoint = reason, state.checkpoint
                self._note(NodePhase.RUNNING, reason)
            if limits.passed(state):
                stopping = launcher.stop(self._attempt, self._parts.grace_s, Intent.TIMEOUT)
                ended = await beating(stopping, self._beat_s)
                ran = state.phase is not AttemptPhase.QUEUED
                return ended.model_copy(update={"intent": Intent.TIMEOUT, "ran": ran})

    @property
    def _beat_s(self) -> float:
        return self._parts.pulse.interval_s(self._heartbeat_s)

    async def _on_cancel(self, launcher: Launcher) -> Manifest | None:
        """Stop the attempt if somebody wants that; return its manifest if it had succeeded by then."""
        if not await wanted():
            return None
        await beating(launcher.stop(self._attempt, self._parts.grace_s), self._beat_s)
        manifest = await self._manifest()
        if manifest is not None:
            self._checkpoint = manifest.checkpoint or self._checkpoint
        await launcher.release(self._attempt)
        if manifest is not None and manifest.error is None:
            return await self._done(manifest)
        await self.memory.give_up(failed=False)
        self._note(NodePhase.ABORTED, unfinished=True)
        return None

    async def _manifest(self) -> Manifest | None:
        blobs = self._parts.blobs
        try:
            if blobs.quick:
                return read_manifest(blobs, self._attempt)
            # A store that stalls is no reason to be taken for dead.
            return await beating(asyncio.to_thread(read_manifest, blobs, self._attempt), self._beat_s)
        except NoManifest:
            return None

    async def _done(self, manifest: Manifest) -> Manifest:
        self._checkpoint = manifest.checkpoint or self._checkpoint
        if manifest.spec:
            # A dynamic task is at work until what it gave has ended.
            self._note(NodePhase.RUNNING, spec=manifest.spec)
        elif manifest.error is not None:
            await self.memory.give_up(failed=manifest.error.kind is ErrorKind.USER)
            if manifest.basis is None:
                self._note(NodePhase.RUNNING, unfinished=True)
        else:
            await self.memory.keep(manifest.outputs or {})
            self._note(NodePhase.SUCCEEDED, finished_at=manifest.finished_at)
        return manifest

    def _note(
        self,
        phase: NodePhase,
        reason: str = "",
        finished_at: datetime | None = None,
        spec: str = "",
        *,
        unfinished: bool = False,
    ) -> None:
        """Have the node's state written; `unfinished` = there is no manifest that tells what it rests on."""
        request = self._request
        record = NodeRecord(
            id=self._attempt.node,
            name=request.name or self._attempt.node,
            kind="dynamic" if spec else self._kind,
            phase=phase,
            attempts=self._attempt.number,
            cache=self.memory.status,
            started_at=request.first_started_at,
            finished_at=finished_at,
            order=request.order,
            task=request.task,
            attempt_key=self._attempt.key,
            reason=reason,
            spec=spec,
            checkpoint=self._checkpoint,
            basis=basis_of_task(self._task, request.inputs) if unfinished and self._task else None,
            failed=request.failed,
        )
        self._parts.records.note(self._attempt.execution, record)


def _most_s() -> float:
    """Return how long an attempt may run whose task sets no limit."""
    limit = activity.info().start_to_close_timeout
    return limit.total_seconds() if limit is not None else 0.0
