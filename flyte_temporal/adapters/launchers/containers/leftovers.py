"""Containers that nobody needs any more: of workers that died between the result of an attempt and its removal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.places import Places
from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys

KEPT_S = 60.0
"""How long an ended container is kept at least: a worker that has just adopted it may still want to look at it."""


def _long_over(seen: Container) -> bool:
    return seen.finished_at is None or (datetime.now(UTC) - seen.finished_at).total_seconds() >= KEPT_S


async def sweep(
    engine: ContainerEngine, places: Places, label: str, store: BlobStore, known: Callable[[str], bool]
) -> int:
    """Remove the containers of a scratch folder that have ended and whose result is there; return their number.

    Args:
        engine: Podman or docker.
        places: Files of the launcher.
        label: Of the folder's containers.
        store: The blob store.
        known: Whether the launcher itself sees to an attempt, by its key.

    Raises:
        FlyteTemporalError: If the engine or the store did not answer.
    """
    removed = 0
    for name in await engine.names(label):
        seen = await engine.inspect(name)
        if seen is None or not seen.over or not seen.attempt or not _long_over(seen) or known(seen.attempt):
            continue
        if await asyncio.to_thread(store.head, keys.manifest_of(seen.attempt)) is None:
            continue
        with suppress(LauncherError):
            # Not one that was adopted in the meantime.
            if known(seen.attempt):
                continue
            await engine.remove(name)
            places.remove(name)
            removed += 1
    return removed
