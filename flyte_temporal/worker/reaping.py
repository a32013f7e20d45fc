"""The worker's share in keeping clusters clean: `reaping` looks now and then for pods that nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flyte_temporal.config.settings import Settings
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.worker.wiring import Platform

_log = logging.getLogger(__name__)


@asynccontextmanager
async def reaping(platform: Platform, settings: Settings) -> AsyncIterator[None]:
    """Sweep the clusters at once and then every `reap_s` seconds while the block runs; nothing without clusters.

    Args:
        platform: The worker, whose launcher and records are used.
        settings: Which clusters.
    """
    every = min((c.reap_s for c in settings.clusters().values() if c.reap_s), default=0.0)
    if not every:
        yield
        return
    chore = asyncio.create_task(_sweep(platform, settings, every), name="reap")
    try:
        yield
    finally:
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)


async def _sweep(platform: Platform, settings: Settings, every_s: float) -> None:
    from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
    from flyte_temporal.adapters.launchers.kubernetes.reaping import Known, Reaper

    async def known(execution: ExecutionId) -> Known:
        record = await asyncio.to_thread(platform.store.execution, execution)
        if record is None:
            return Known.ABSENT
        return Known.CLOSED if record.phase.terminal else Known.OPEN

    reaper: Reaper | None = None
    while True:
        try:
            if reaper is None:
                launcher = platform.launchers["kubernetes"]
                assert isinstance(launcher, KubernetesLauncher)  # noqa: S101 - it is ours
                reaper = Reaper(launcher, known)
            opened = await asyncio.to_thread(platform.store.open_executions)
            usual = ExecutionId(project=settings.project, domain=settings.domain, name="any")
            await reaper.sweep([usual, *(record.request.id for record in opened)])
        except FlyteTemporalError as error:
            _log.warning("Clusters are not swept now: %s", error)
        except Exception:  # noqa: BLE001 - nobody would notice that nothing is removed any more
            _log.exception("Clusters are not swept now")
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311 - so that many workers do not ask at once
