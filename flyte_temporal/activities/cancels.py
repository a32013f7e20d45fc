"""Cancels: stops that take long, and attempts of which nobody told the end. Whether one is meant: `runs`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import activity

from flyte_temporal.activities.parts import Parts
from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import FlyteTemporalError, LauncherError
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.calls import STOP, StopRequest
from flyte_temporal.spec.identifiers import AttemptId

T = TypeVar("T")
_BEAT_S = 5.0
REPORT_S = 15.0
"""How long after the grace time a stop waits for the report on the attempt, whose process is dead by then: a store that
stalls holds up reports for minutes, and a cancel must not."""


class Stops:
    """Stops attempts from outside of their own activities.

    Args:
        parts: Launchers, and the time between SIGTERM and SIGKILL.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @activity.defn(name=STOP)
    async def stop(self, request: StopRequest) -> None:
        """See that attempts are over of which their own activities could not say so: nobody was left to stop them.

        Args:
            request: Which.

        Raises:
            ApplicationError: If their launcher is not to be had, or failed.
        """
        launcher = self._parts.launchers.get(request.launcher)
        if launcher is None:
            raise our_failure(LauncherError(f"This worker has no launcher {request.launcher!r}."))
        timeout = activity.info().heartbeat_timeout
        stopping = asyncio.gather(*(self._stop(launcher, attempt) for attempt in request.attempts))
        try:
            await beating(_finished(stopping), timeout.total_seconds() / 3 if timeout else _BEAT_S)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    async def _stop(self, launcher: Launcher, attempt: AttemptId) -> None:
        state = await launcher.stop(attempt, self._parts.grace_s)
        if state.ran:
            await launcher.release(attempt)
        # What is left of one that never ran keeps a launcher that hangs from starting it yet.


async def _finished(work: asyncio.Future[list[None]]) -> None:
    await work


async def beating(work: Coroutine[Any, Any, T], every_s: float) -> T:
    """Await something slow while Temporal goes on hearing from us; silence would end the run before the task."""
    working = asyncio.ensure_future(work)
    while not (await asyncio.wait((working,), timeout=every_s))[0]:
        activity.heartbeat("STOPPING")
    return working.result()


async def beating_within(work: Coroutine[Any, Any, T], every_s: float, most_s: float) -> T:
    """Await something slow as `beating` does, and give it up after a time.

    Raises:
        TimeoutError: If it took longer.
    """
    working = asyncio.ensure_future(work)
    deadline = time.monotonic() + most_s
    while (left := deadline - time.monotonic()) > 0:
        if (await asyncio.wait((working,), timeout=min(every_s, left)))[0]:
            return working.result()
        activity.heartbeat("STOPPING")
    working.cancel()
    raise TimeoutError
