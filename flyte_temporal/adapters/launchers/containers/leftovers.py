"""Containers that nobody needs any more: of workers that died between the result of an attempt and its removal.

And what is noted of attempts whose container somebody else has removed, or that never had one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.places import Places
from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage.leftovers import FORGOTTEN_S

KEPT_S = 60.0
"""How long an ended container is kept at least: a worker that has just adopted it may still want to look at it."""


def _over_s(seen: Container) -> float:
    """Return how long ago a container has ended; one of which that is not known, not long ago enough to be forgotten."""
    return KEPT_S if seen.finished_at is None else (datetime.now(UTC) - seen.finished_at).total_seconds()


async def sweep(
    engine: ContainerEngine, places: Places, label: str, store: BlobStore, known: Callable[[str], bool]
) -> int:
    """Remove the containers of a scratch folder that have ended and whose result is there; return their number.

    After a month, one without a result goes too, because nobody has asked for it: its run was ended while no worker lived.
    So do notes about attempts that have no container.

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
    names = await engine.names(label)
    for name in names:
        seen = await engine.inspect(name)
        if seen is None or not seen.over or not seen.attempt or known(seen.attempt):
            continue
        over_s = _over_s(seen)
        if over_s < KEPT_S or (over_s < FORGOTTEN_S and not await _has_result(store, seen.attempt)):
            continue
        with suppress(LauncherError):
            # Not one that was adopted in the meantime.
            if known(seen.attempt):
                continue
            await engine.remove(name)
            places.remove(name)
            removed += 1
    notes = await asyncio.to_thread(places.notes)
    for name in notes.keys() - set(names):
        # Those of the other engine are in the same folder, and its containers unknown here; an empty one is nobody's.
        if notes[name].get("program", engine.program) == engine.program and not known(_key(notes[name])):
            places.remove_old(name, FORGOTTEN_S)
    return removed


async def _has_result(store: BlobStore, attempt: str) -> bool:
    return await asyncio.to_thread(store.head, keys.manifest_of(attempt)) is not None


def _key(note: Mapping[str, Any]) -> str:
    with suppress(KeyError, ValueError):
        return AttemptId.model_validate(note["attempt"]).key
    return ""
