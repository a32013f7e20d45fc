"""Containers that nobody needs any more: of workers that died between the result of an attempt and its removal."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from flyte_temporal.adapters.launchers.containers.engine import Engine
from flyte_temporal.adapters.launchers.containers.places import Places
from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys


async def sweep(engine: Engine, places: Places, label: str, store: BlobStore, known: set[str]) -> int:
    """Remove the containers of a scratch folder that have ended and whose result is there; return their number.

    Args:
        engine: Podman or docker.
        places: Files of the launcher.
        label: Of the folder's containers.
        store: The blob store.
        known: Keys of attempts that the launcher itself sees to.

    Raises:
        FlyteTemporalError: If the engine or the store did not answer.
    """
    removed = 0
    for name in await engine.names(label):
        seen = await engine.inspect(name)
        if seen is None or not seen.over or not seen.attempt or seen.attempt in known:
            continue
        if await asyncio.to_thread(store.head, keys.manifest_of(seen.attempt)) is None:
            continue
        with suppress(LauncherError):
            await engine.remove(name)
            places.remove(name)
            removed += 1
    return removed
