"""Ending the containers of a scratch folder, when the stack that they belong to is told to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.places import Places, Stage, folder_in
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.attempt import Intent, StorageConfig
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store

_log = logging.getLogger(__name__)
_LOOK_S = 0.1
_REPORT_S = 5.0


async def end_containers(scratch: Path, grace_s: float) -> int:
    """End every container at work that the launchers of a scratch folder have started; return how many there were.

    Why is noted before, as for processes: the platform runs these attempts again, and no budget of retries is touched.

    Args:
        scratch: The folder.
        grace_s: Seconds between SIGTERM and SIGKILL.
    """
    notes = {
        name: note
        for name, note in Places(folder_in(scratch), "").notes().items()
        if note.get("stage") == Stage.BEGUN
    }
    ended = await asyncio.gather(*(_end(name, note, grace_s) for name, note in notes.items()))
    return sum(ended)


async def _end(name: str, note: Mapping[str, Any], grace_s: float) -> bool:
    program = str(note.get("program") or "podman")
    engine = ContainerEngine(program, podman="docker" not in Path(program).name)
    try:
        seen = await engine.inspect(name)
        if seen is None or not seen.begun or seen.over:
            return False
        with suppress(ValueError):
            attempt, storage = (
                AttemptId.model_validate(note["attempt"]),
                StorageConfig.model_validate(note["storage"]),
            )
            orders.request_stop(open_store(storage), attempt, Intent.PLATFORM)
        for signal, patience_s in _steps(seen, grace_s):
            await engine.kill(name, signal)
            if await _over(engine, name, patience_s):
                return True
    except FlyteTemporalError as error:
        _log.warning("The container %s could not be ended: %s", name, error)
        return False
    return True


def _steps(seen: Container, grace_s: float) -> list[tuple[str, float]]:
    report = [("QUIT", _REPORT_S)] if seen.ours else []
    return [("TERM", grace_s), *report, ("KILL", _REPORT_S)]


async def _over(engine: ContainerEngine, name: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        seen = await engine.inspect(name)
        if seen is None or seen.over:
            return True
        await asyncio.sleep(_LOOK_S)
    return False
