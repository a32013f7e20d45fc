"""The supervisor: holds the home's lock, starts the processes, serves the API, tidies up, stops.

The order matters for a quick start: Temporal is started with nothing but the standard library loaded; only then come the
heavy imports, while it comes up beside; the worker is forked from the process that has made them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.config.local import local_settings
from flyte_temporal.errors import FlyteTemporalError, PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.stack import Stack

if TYPE_CHECKING:
    from flyte_temporal.control.usecases import Control
    from flyte_temporal.local.host import Host
    from flyte_temporal.local.wiring import Wired

_log = logging.getLogger(__name__)

LOCKED = 75
"""Exit code when another supervisor has the home (EX_TEMPFAIL: try again later)."""

UNAVAILABLE = 3

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_SOON_S = 1.0
_TEND_S = 5.0


class Report:
    """Tells whoever started the supervisor, once, that the API listens or why it never will.

    Args:
        descriptor: Writing end of a pipe; None if nobody waits.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def descriptors(self) -> list[int]:
        """Return the pipe, for those who must not keep it open."""
        return [] if self._descriptor is None else [self._descriptor]

    def send(self, **said: str) -> None:
        """Write one line of JSON and close the pipe."""
        if self._descriptor is None:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, json.dumps(said).encode() + b"\n")
        os.close(self._descriptor)
        self._descriptor = None


def run(home: Path, report: Report, began: float) -> int:
    """Run the stack of a home until it is told to stop, or has been idle for long.

    Args:
        home: The home, resolved.
        report: Is told when the API listens.
        began: When the process was started (`time.time`), for the timeline in the log.

    Returns:
        The exit code: 0, `LOCKED` or `UNAVAILABLE`.
    """
    for number in _STOPPING:
        # Until there is an event loop: also a start that is broken off ends what it has started.
        signal.signal(number, _broken_off)
    try:
        settings = local_settings()
        layout = Layout(home)
        layout.prepare()
        lock = layout.try_lock()
        if lock is None:
            report.send(locked=f"A local stack runs on {home} already; `flyte-temporal status` shows it.")
            return LOCKED
        stack = Stack(layout, settings, lock)
        try:
            stack.start()
            _log.info("Temporal started, %.2f s after the command", time.time() - began)
            stack.start_worker([lock, *report.descriptors])
            _log.info("Libraries loaded and worker started, %.2f s after the command", time.time() - began)
            asyncio.run(_Supervisor(stack, report, began).run())
        finally:
            asyncio.run(stack.stop())
            os.close(lock)
    except (FlyteTemporalError, OSError) as error:
        message = error.message if isinstance(error, FlyteTemporalError) else _described(error, home)
        _log.error("%s", message)
        report.send(failed=message)
        return UNAVAILABLE
    return 0


def _broken_off(_number: int, _frame: object) -> None:
    raise PlatformUnavailable("The local stack was told to stop before it had come up.")


def _described(error: OSError, home: Path) -> str:
    return f"The local stack of {home} cannot go on: {error}. Check the disk and its permissions."


class _Supervisor:
    """What runs on the event loop."""

    def __init__(self, stack: Stack, report: Report, began: float) -> None:
        self._stack = stack
        self._report = report
        self._began = began
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._stop.set)
        keeping = [asyncio.create_task(child.keep()) for child in self._stack.children.values()]
        try:
            await self._serve()
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _serve(self) -> None:
        from flyte_temporal.local.host import Host

        wired = await self._wired()
        if wired is None:
            raise PlatformUnavailable("The local stack was told to stop before it had come up.")
        self._say("Temporal answers")
        host = Host(wired.control, self._stack, self._stop.set)
        await host.open(Path(self._stack.state.socket))
        self._say(f"Ready. Temporal UI: {self._stack.ui_url}")
        self._report.send(ready=self._stack.state.socket)
        chores = [
            asyncio.create_task(self._tend()),
            asyncio.create_task(self._watch_idleness(wired.control, host)),
        ]
        if not self._stack.settings.attach:  # there, each worker does it
            chores += [
                asyncio.create_task(self._reconcile(wired.control)),
                asyncio.create_task(self._free_runs(wired.control)),
            ]
        try:
            await self._stop.wait()
            _log.info("Stopping")
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await host.close()
            await wired.control.close()
            wired.store.close()

    async def _wired(self) -> Wired | None:
        """Return the use cases, or None if somebody asked to stop in the meantime."""
        from flyte_temporal.local.wiring import wire

        wiring = asyncio.create_task(wire(self._stack))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([wiring, stopping], return_when=asyncio.FIRST_COMPLETED)
            return wiring.result() if wiring.done() else None
        finally:
            for task in (wiring, stopping):
                task.cancel()
            await asyncio.gather(wiring, stopping, return_exceptions=True)

    def _say(self, what: str) -> None:
        _log.info("%s, %.2f s after the command", what, time.time() - self._began)

    async def _reconcile(self, control: Control) -> None:
        """Bring records and Temporal in line at the start, regularly, and soon after Temporal was restarted."""
        from flyte_temporal.control.reconciling import keep_in_line

        compared = -1

        async def once() -> float:
            nonlocal compared
            restarts = self._stack.children["temporal"].restarts
            # A server that has just come up may have lost its last instants; one that has been up has not.
            fresh = restarts != compared
            await control.reconcile(lost=fresh)
            compared = restarts
            return _SOON_S if fresh else self._stack.settings.reconcile_s

        await keep_in_line(once)

    async def _free_runs(self, control: Control) -> None:
        """When the worker has died, do not let its runs wait for it."""
        died = self._stack.children["worker"].died
        while True:
            await died.wait()
            died.clear()
            try:
                await control.worker_lost()
            except FlyteTemporalError as error:
                _log.warning("Runs of the dead worker wait for a time-out: %s", error)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_S)
            self._stack.tend()

    async def _watch_idleness(self, control: Control, host: Host) -> None:
        limit = self._stack.settings.idle_timeout_s
        while limit:
            await asyncio.sleep(max(limit - host.idle_s(), min(limit, _SOON_S)))
            try:
                if host.idle_s() < limit:
                    continue
                # What an installation of others has open does not need this process.
                if self._stack.settings.attach or (not await control.open_count() and host.idle_s() >= limit):
                    _log.info("Idle for %g s: stopping. The next command starts everything again.", limit)
                    self._stop.set()
                    return
            except FlyteTemporalError as error:
                _log.warning("Cannot tell whether anything runs: %s", error)


def configure_log(*, foreground: bool) -> None:
    """Log to standard error, which is the terminal or `logs/supervisor.log`."""
    shown = "%(message)s" if foreground else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=shown)
