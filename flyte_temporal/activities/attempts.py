"""The dynamic activity: runs one attempt through a launcher. Its type in Temporal is the task's own name.

A second delivery (the worker was lost, or only thought to be) re-attaches to the same attempt by its id; it never
starts a second process. A worker that shuts down leaves attempts alone; only a cancel stops one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.outcome import NoManifest, read_manifest, without_manifest
from flyte_temporal.activities.records import Records
from flyte_temporal.activities.refusals import our_failure, their_failure
from flyte_temporal.errors import FlyteTemporalError, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import calls, keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Manifest, StorageConfig
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import Closure
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
        except FlyteTemporalError as error:
            raise our_failure(error) from error
        finally:
            if self._open.get(key) is one:
                del self._open[key]
        if manifest.error is not None:
            raise their_failure(manifest.error)
        return AttemptResult(
            outputs=manifest.outputs or {},
            spec=manifest.spec,
            closure=await self._emitted(manifest.spec) if manifest.spec else None,
            started_at=manifest.started_at,
            finished_at=manifest.finished_at,
            peak_rss_bytes=manifest.peak_rss_bytes,
        )

    @activity.defn(name=calls.STOP)
    async def stop(self, request: AttemptRequest) -> None:
        """Stop an attempt whose own activity perhaps no worker has; nothing happens if it is over.

        Raises:
            ApplicationError: If our side of it failed; retryable.
        """
        try:
            await _OneAttempt(self._parts, request).stop()
        except FlyteTemporalError as error:
            raise our_failure(error) from error

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
        self._heartbeat_s = (activity.info().heartbeat_timeout or _NO_HEARTBEAT).total_seconds() / 3
        self._last = ""
        self._kind = "task"
        self._task: asyncio.Task[Any] | None = None
        self._superseded = False

    def leave(self) -> None:
        """Leave the attempt to a later delivery on this worker: two that watch it could judge its end differently."""
        self._superseded = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> Manifest:
        self._task = asyncio.current_task()
        task = await self._parts.closures.task(self._request.spec, self._request.task)
        again = self._request.again or activity.info().attempt > 1
        if again and (manifest := await self._manifest()) is not None:
            return await self._done(manifest)
        self._kind = "dynamic" if task.type == "dynamic" else "task"
        task = task.overridden(self._request.overrides)
        order = AttemptOrder(
            attempt=self._attempt,
            task=task,
            inputs=self._request.inputs,
            environment=self._request.environment,
            storage=self._parts.storage,
            inline_bytes=self._request.inline_bytes,
            created_at=self._request.created_at,
        )
        launcher = self._launcher()
        self._note(NodePhase.RUNNING)
        try:
            await launcher.start(order)
            state = await self._observe(launcher, task.policy.timeouts)
        except asyncio.CancelledError:
            if self._superseded:
                raise ApplicationError(
                    "Another delivery of this attempt has taken over.",
                    category=ApplicationErrorCategory.BENIGN,
                ) from None
            await asyncio.shield(self._on_cancel())
            raise
        manifest = await self._manifest() or await self._judged(state)
        await launcher.release(self._attempt)
        return await self._done(manifest)

    async def stop(self) -> None:
        """Stop the attempt, whoever started it."""
        launcher = self._launcher()
        await self._beating(launcher.stop(self._attempt, self._parts.grace_s))
        await launcher.release(self._attempt)
        self._note(NodePhase.ABORTED)

    async def _judged(self, state: AttemptState) -> Manifest:
        """Write the manifest of an attempt that left none: another delivery, of a later run, must judge it the same."""
        made = without_manifest(self._attempt, state)
        blobs, key = self._parts.blobs, keys.manifest(self._attempt)
        if await asyncio.to_thread(blobs.put_new, key, canonical_bytes(made)) is Put.CONFLICT:
            return await self._manifest() or made
        return made

    def _launcher(self) -> Launcher:
        name = self._request.environment.launcher
        launcher = self._parts.launchers.get(name)
        if launcher is None:
            known = ", ".join(sorted(self._parts.launchers))
            raise UnsupportedSpec(f"This worker has no launcher {name!r}; it has: {known}.")
        return launcher

    async def _observe(self, launcher: Launcher, timeouts: Timeouts) -> AttemptState:
        while True:
            state = await launcher.observe(self._attempt, self._heartbeat_s)
            if state.over:
                return state
            activity.heartbeat(state.phase.value)
            reason = state.message if state.phase is AttemptPhase.QUEUED else ""
            if reason != self._last:
                self._last = reason
                self._note(NodePhase.RUNNING, reason)
            if _too_long(state, timeouts):
                await self._beating(launcher.stop(self._attempt, self._parts.grace_s))
                raise their_failure(_timed_out(timeouts.run_s))

    async def _on_cancel(self) -> None:
        if not await _wanted():
            return
        await self.stop()

    async def _beating(self, work: Coroutine[Any, Any, AttemptState]) -> None:
        """Await something slow while Temporal goes on hearing from us; silence would end the run before the task."""
        working = asyncio.ensure_future(work)
        while not (await asyncio.wait((working,), timeout=self._heartbeat_s))[0]:
            activity.heartbeat("STOPPING")
        working.result()

    async def _manifest(self) -> Manifest | None:
        blobs = self._parts.blobs
        try:
            if blobs.quick:
                return read_manifest(blobs, self._attempt)
            return await asyncio.to_thread(read_manifest, blobs, self._attempt)
        except NoManifest:
            return None

    async def _done(self, manifest: Manifest) -> Manifest:
        if manifest.spec:
            # A dynamic task is at work until what it gave has ended.
            self._note(NodePhase.RUNNING, spec=manifest.spec)
        elif manifest.error is None:
            self._note(NodePhase.SUCCEEDED, finished_at=manifest.finished_at)
        return manifest

    def _note(
        self, phase: NodePhase, reason: str = "", finished_at: datetime | None = None, spec: str = ""
    ) -> None:
        request = self._request
        record = NodeRecord(
            id=self._attempt.node,
            name=request.name or self._attempt.node,
            kind="dynamic" if spec else self._kind,
            phase=phase,
            attempts=self._attempt.number,
            cache=CacheStatus.DISABLED,
            started_at=request.first_started_at,
            finished_at=finished_at,
            order=request.order,
            task=request.task,
            attempt_key=self._attempt.key,
            reason=reason,
            spec=spec,
        )
        self._parts.records.note(self._attempt.execution, record)


async def _wanted() -> bool:
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


def _too_long(state: AttemptState, timeouts: Timeouts) -> bool:
    if not timeouts.run_s or state.started_at is None:
        return False
    return (datetime.now(UTC) - state.started_at).total_seconds() > timeouts.run_s


def _timed_out(run_s: float) -> ErrorDocument:
    return ErrorDocument(
        kind=ErrorKind.USER,
        code="TimedOut",
        message=f"The attempt ran longer than its time-out of {run_s:g} s.",
    )
