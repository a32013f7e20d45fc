"""Runs a worker until SIGTERM or SIGINT. Logs to standard error; attempts outlive it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from flyte_temporal.adapters.launchers import stems
from flyte_temporal.config.settings import Settings
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.worker.liveness import Activations, Liveness
from flyte_temporal.worker.reaping import reaping
from flyte_temporal.worker.reconciling import reconciling
from flyte_temporal.worker.wiring import PARTS, Platform, build

_log = logging.getLogger("flyte_temporal.worker")

_SETTLED_S = 10.0
"""How long a spare waits before it prepares the pool too: a stack that has just started has better use for the CPU."""


async def _main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = Settings.load()
    _prepare_pool(settings)
    activations = Activations()
    platform = await _build_unless(stop, settings, activations)
    if platform is None:
        return
    _log.info("Worker is up: queue %s at %s", settings.temporal.task_queue, settings.temporal.address)
    liveness = Liveness(settings.worker.wedged_s, activations, settings.worker.live_file)
    liveness.start(platform.polls.heard)
    try:
        async with AsyncExitStack() as running:
            for each in (platform.worker, *platform.cluster_workers):
                await running.enter_async_context(each)
            await running.enter_async_context(reconciling(platform, settings))
            await running.enter_async_context(reaping(platform, settings))
            await stop.wait()
            _log.info("Worker was told to stop; attempts run on")
    finally:
        await platform.close()
        await liveness.close()


async def _build_unless(stop: asyncio.Event, settings: Settings, activations: Activations) -> Platform | None:
    """Return the worker, or None if it was told to stop while it still waited for Temporal."""
    building = asyncio.create_task(build(settings, activations))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([building, stopping], return_when=asyncio.FIRST_COMPLETED)
        return building.result() if building.done() else None
    finally:
        for task in (building, stopping):
            task.cancel()
        await asyncio.gather(building, stopping, return_exceptions=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it is installed; asyncio's own callbacks are a large part of a worker's CPU."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


def _wait() -> bool:
    """Import all that a worker needs, then wait for a line; return False if the other end is gone instead."""
    for name in PARTS:
        importlib.import_module(name)
    if not select.select([sys.stdin], [], [], _SETTLED_S)[0]:
        with suppress(FlyteTemporalError):  # told when it begins
            _prepare_pool(Settings.load())
    return bool(sys.stdin.readline())


def _prepare_pool(settings: Settings) -> None:
    if settings.worker.pool_ahead:
        try:
            stems.prepare()
        except OSError as error:
            _log.warning("The warm pool could not be prepared, and is made when it is needed: %s", error)


def main() -> int:
    """Run the worker. With the argument `--wait`: as a spare, that begins when it is told to.

    Returns:
        The exit code: 0 after a stop, 3 if a part of the platform is missing.
    """
    if "--wait" in sys.argv[1:] and not _wait():
        return 0
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_main())
    except FlyteTemporalError as error:
        _log.error("%s", error)
        return 3
    return 0


if __name__ == "__main__":
    code = main()
    # Processes that used temporalio may crash at interpreter exit (temporal.md §0.10).
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
