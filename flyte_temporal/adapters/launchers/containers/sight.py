"""`Sight`: whether the processes of an engine's containers can be seen from here.

The environment of a worker does not tell: one that runs in a container itself with docker's socket mounted, a context of
docker, a connection of podman's settings all look as if the engine were this machine's. A number of a process that is of
another machine, or seen from within another container, is no process here, or somebody else's.
"""

from __future__ import annotations

import logging

from flyte_temporal.adapters.launchers.containers.endings import started_at
from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.storage.scratch import start_time

_log = logging.getLogger(__name__)

_AGREES_S = 30.0
"""By how much the kernel and an engine may differ about when a container began: a loaded machine takes its time."""


class Sight:
    """What a launcher has learned of where its engine's processes are.

    Args:
        engine: It.
    """

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._met = False
        """Whether a container's process was seen, or the engine has said that it would be."""
        self._elsewhere = False

    @property
    def local(self) -> bool:
        """Return whether nothing says that the processes are elsewhere."""
        return self._engine.local and not self._elsewhere

    def sees(self, entry: Entry, seen: Container) -> bool:
        """Return whether the first process of a container lives and is the one of its number here."""
        now = start_time(seen.pid) if seen.pid and self.local else None
        if now is None:
            return False
        if entry.met != (seen.pid, now):
            began = started_at(now)
            if began is None or seen.started_at is None:
                return False
            if abs(began - seen.started_at.timestamp()) > _AGREES_S:
                return False
            # Later the clock may be set; what was seen once is known again by the kernel's own count.
            entry.met, self._met = (seen.pid, now), True
        return True

    async def covers_all(self) -> bool:
        """Return whether a process that is not here is gone; if not, containers are looked at as those of another machine.

        Raises:
            LauncherError: If the engine does not answer.
        """
        if self.local and not self._met:
            # Podman starts containers by itself, as processes of this machine, unless it only speaks to another podman.
            self._met = self._engine.podman and not await self._engine.is_remote()
            if not self._met:
                self._elsewhere = True
                _log.warning(
                    "The processes of the containers of %s cannot be seen from here; each container is looked at once a second.",
                    self._engine.program,
                )
        return self.local
