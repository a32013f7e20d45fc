"""What one attempt does for the cache: begins under its lease, extends it while it works, ends it, keeps its outputs."""

from __future__ import annotations

import asyncio
import math
import time

from temporalio import activity

from flyte_temporal.activities.remembering import Remembering, lease_of
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.attempt import AttemptPhase
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.execution import CacheStatus
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.lookup_calls import StoreItem

EXTENSIONS = 4
"""Into how many parts the time of a lease falls; it is extended when one has passed, and looked after at each heartbeat:
every third of it at least. So it survives two extensions that fail or come late."""


class LeaseLost(Exception):
    """Another node computes the same by now, and this attempt was not started."""


class Memory:
    """The cache's side of one delivery of an attempt.

    Args:
        remembering: Where entries and leases are.
        request: What the attempt was asked for with.
    """

    def __init__(self, remembering: Remembering, request: AttemptRequest) -> None:
        self._remembering = remembering
        self._request = request
        self.status = request.cache
        memo, attempt = request.memo, request.attempt
        self._lease = None if memo is None else lease_of(attempt.execution, attempt.node, memo)
        self._lease_s = 0.0 if memo is None else memo.lease_s
        self._extended_at = 0.0

    @property
    def look_s(self) -> float:
        """Return how often to look after the lease."""
        return self._lease_s / EXTENSIONS if self._lease is not None else math.inf

    async def begin(self, launcher: Launcher) -> None:
        """Make sure that the lease holds; it can have ended while the attempt waited for a worker.

        Raises:
            LeaseLost: If it is lost, and the attempt does not run yet.
        """
        if self._lease is None or await self._extended() or activity.info().attempt > 1:
            return
        seen = await launcher.observe(self._request.attempt)
        if seen.phase is AttemptPhase.LOST:
            raise LeaseLost

    async def go_on(self) -> None:
        """Extend the lease, if it is time."""
        if self._lease is not None and time.monotonic() - self._extended_at > self._lease_s / EXTENSIONS:
            # An attempt at work goes on without it; its outputs are its node's, but are not remembered.
            await self._extended()

    async def _extended(self) -> bool:
        if self._lease is None:
            return True
        self._extended_at = time.monotonic()
        return await self._remembering.extend(self._lease, self._lease_s)

    async def keep(self, outputs: dict[str, LiteralValue]) -> None:
        """Remember the outputs."""
        request = self._request
        if request.memo is None:
            return
        item = StoreItem(
            node=request.attempt.node,
            spec=request.spec,
            attempt=request.attempt.number,
            attempt_key=request.attempt.key,
            memo=request.memo,
            outputs=outputs,
        )
        if not await self._remembering.put(request.attempt.execution, item):
            self.status = CacheStatus.PUT_FAILED

    async def give_up(self, *, failed: bool) -> None:
        """End the lease without outputs."""
        if self._lease is not None:
            await asyncio.shield(self._remembering.release(self._lease, failed=failed))
