"""The worker's share in keeping records and Temporal in line, where no supervisor does it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flyte_temporal.config.settings import Settings
from flyte_temporal.worker.wiring import Platform


@asynccontextmanager
async def reconciling(platform: Platform, settings: Settings) -> AsyncIterator[None]:
    """Compare records with Temporal every `worker.reconcile_s` seconds while the block runs.

    Args:
        platform: The worker, whose connections are used.
        settings: How often.
    """
    every = settings.worker.reconcile_s
    if not every:
        yield
        return
    # Imported here: on the local stack, workers do without the use cases.
    from flyte_temporal.adapters.temporal.engine import TemporalEngine
    from flyte_temporal.control.reconciling import keep_in_line
    from flyte_temporal.control.usecases import Control, Ports
    from flyte_temporal.ports.clock import SystemClock

    engine = TemporalEngine(platform.client, settings.temporal.task_queue, settings.temporal.task_timeout_s)
    control = Control(
        Ports(engine, platform.store, platform.blobs, SystemClock(), platform.store.catalog), settings
    )

    async def once() -> float:
        # A Temporal of production loses nothing: what it does not know any more, somebody has deleted.
        await control.reconcile(lost=False)
        return every * random.uniform(0.8, 1.2)  # noqa: S311 - so that many workers do not ask at the same moment

    chore = asyncio.create_task(keep_in_line(once, first_s=random.uniform(0, every)), name="reconcile")  # noqa: S311
    try:
        yield
    finally:
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)
        await control.close()
