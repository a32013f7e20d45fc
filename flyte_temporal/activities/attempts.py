"""The dynamic activity: runs one attempt, or a batch of them, through a launcher. Its type is the task's own name.

A second delivery (the worker was lost, or only thought to be) re-attaches to the same attempt by its id; it never
starts a second process. A worker that shuts down leaves attempts alone; only a cancel stops one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from flyte_temporal.activities.batches import OneBatch
from flyte_temporal.activities.cancels import REPORT_S, beating, beating_within
from flyte_temporal.activities.delivery import Attempt, heartbeat_timeout_s, most_s, used_up
from flyte_temporal.activities.limits import Limits
from flyte_temporal.activities.memory import LeaseLost
from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.refusals import our_failure, their_failure
from flyte_temporal.activities.runs import stop_is_wanted
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.faults import buggify
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState, Intent, Manifest
from flyte_temporal.spec.calls import Asked, AttemptRequest, AttemptResult, BatchRequest, BatchResult
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import CacheStatus, NodePhase
from flyte_temporal.spec.policies import Timeouts

_log = logging.getLogger(__name__)

_ASKED: Any = Asked

_NEWS_S = 1.0
"""What an attempt waits for is told no later than that; heartbeats keep their own pace."""
_NEARLY = 0.9


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
    async def run(self, args: Sequence[RawValue]) -> AttemptResult | BatchResult:
        """Run one attempt, or several, to the end.

        Args:
            args: An `AttemptRequest` or a `BatchRequest`.

        Raises:
            ApplicationError: If the attempt failed: not retryable for Temporal, with the `ErrorDocument` as detail. (A
                failed member of a batch is a part of the batch's result.) Retryable if our side of it failed (the
                store did not answer, a launcher was not to be had).
        """
        request = activity.payload_converter().from_payload(args[0].payload, _ASKED)
        if isinstance(request, BatchRequest):
            try:
                return await OneBatch(self._parts, request).run()
            except FlyteTemporalError as error:
                raise our_failure(error) from error
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
        self._attempt = Attempt(parts, request)
        self._heartbeat_s = heartbeat_timeout_s()
        self._last = ""
        self.memory = self._attempt.memory
        self._delivery: asyncio.Task[Any] | None = None
        self._superseded = False

    def leave(self) -> None:
        """Leave the attempt to a later delivery on this worker: two that watch it could judge its end differently."""
        self._superseded = True
        if self._delivery is not None:
            self._delivery.cancel()

    async def run(self) -> Manifest:
        self._delivery = asyncio.current_task()
        attempt = self._attempt
        again = self._request.again or activity.info().attempt > 1
        if again and (manifest := await attempt.manifest()) is not None:
            # Whoever saw it end has died before it could clear away what is left of it.
            await self._parts.launcher(self._request.environment.launcher).release(attempt.id)
            return await attempt.done(manifest)
        order = attempt.order(await attempt.task())
        launcher = self._parts.launcher(order.environment.launcher)
        await self.memory.begin(launcher)
        attempt.note(NodePhase.RUNNING)
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
        manifest = await attempt.manifest() or await attempt.judged(order, state)
        await launcher.release(attempt.id)
        return await attempt.done(manifest)

    async def _observe(self, launcher: Launcher, timeouts: Timeouts) -> AttemptState:
        """Watch the attempt to its end; one that has used up its time is stopped, and surely gone afterwards."""
        limits = Limits(timeouts, self._request.asked_at, most_s())
        attempt = self._attempt.id
        state: AttemptState | None = None
        beaten = -math.inf
        while True:
            look_s = min(limits.look_s(state, self._beat_s), self.memory.look_s)
            waits = state is None or state.phase is AttemptPhase.QUEUED
            if waits:
                look_s = min(look_s, _NEWS_S)
            state = await launcher.observe(attempt, look_s)
            if state.over:
                return state
            if not waits or time.monotonic() - beaten >= self._beat_s * _NEARLY:
                activity.heartbeat(state.phase.value)
                beaten = time.monotonic()
            await self.memory.go_on()
            # What runs says something only if there is news of it: that its cluster does not answer, for example.
            reason = state.message
            if (reason, state.checkpoint) != (self._last, self._attempt.checkpoint):
                self._last, self._attempt.checkpoint = reason, state.checkpoint
                self._attempt.note(NodePhase.RUNNING, reason)
            if limits.passed(state):
                stopping = launcher.stop(attempt, self._parts.grace_s, Intent.TIMEOUT)
                return used_up(state, await beating(stopping, self._beat_s))

    @property
    def _beat_s(self) -> float:
        return self._parts.pulse.interval_s(self._heartbeat_s)

    async def _on_cancel(self, launcher: Launcher) -> Manifest | None:
        """Stop the attempt if somebody wants that; return its manifest if it had succeeded by then.

        Of an attempt that could not be stopped, or not in time, the activity ends as cancelled all the same: its run then sees
        to the end of it by an activity that is tried until that is done. A failure would be taken for the attempt's own end,
        and Temporal tries no activity again that is to be cancelled.
        """
        if not await stop_is_wanted(self._attempt.id):
            self._attempt.say_why_it_is_left()
            return None
        try:
            return await beating_within(self._ended(launcher), self._beat_s, self._parts.grace_s + REPORT_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass for the attempt's own word
            if not isinstance(error, TimeoutError):
                _log.warning("Whether %s is over is not known: %s", self._attempt.id.label, error)
            await self._attempt.unreported()
            return None

    async def _ended(self, launcher: Launcher) -> Manifest | None:
        await launcher.stop(self._attempt.id, self._parts.grace_s)
        return await self._attempt.stopped(launcher)
