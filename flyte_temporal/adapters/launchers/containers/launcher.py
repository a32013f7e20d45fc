"""`ContainerLauncher`: an attempt per container, made by podman or docker.

What an engine shows decides every state; a process that waits for a container only says when to look. So it does not
matter which worker started it. That a container is made and started once is the business of `beginnings`; `watching` sees
how it ends. Here is what the port asks for.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from flyte_temporal.adapters.launchers.backstop import NEVER, Backstop
from flyte_temporal.adapters.launchers.containers import plan, states
from flyte_temporal.adapters.launchers.containers.beginnings import Beginnings
from flyte_temporal.adapters.launchers.containers.endings import is_alive
from flyte_temporal.adapters.launchers.containers.engine import (
    ContainerEngine,
    NotInstalled,
)
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.adapters.launchers.containers.leftovers import sweep
from flyte_temporal.adapters.launchers.containers.machine import Machine
from flyte_temporal.adapters.launchers.containers.places import Places, folder_in
from flyte_temporal.adapters.launchers.containers.sight import Sight
from flyte_temporal.adapters.launchers.containers.watching import SETTLE_S, Watching
from flyte_temporal.adapters.launchers.table import Table
from flyte_temporal.config.settings import ContainerSettings, Settings
from flyte_temporal.errors import FlyteTemporalError, LauncherError, UserCodeError
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, StorageConfig
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders

_REMEMBERED = 10_000
_CLOSE_S = 15.0
_REPORT_S = 5.0
_SWEEP_S = 300.0


class ContainerLauncher:
    """Runs each attempt in a container of this machine.

    Args:
        engine: Podman or docker.
        settings: Limits, network, images.
        scratch: Folder for everything of this machine's attempts.
        storage: The blob store.
        size: Containers at work at once; further attempts wait.
        backstop: When the engine itself ends a container.
    """

    def __init__(
        self,
        engine: ContainerEngine,
        settings: ContainerSettings,
        scratch: Path,
        storage: StorageConfig,
        size: int,
        backstop: Backstop = NEVER,
    ) -> None:
        self._engine, self._places = engine, Places(folder_in(scratch.absolute()), engine.program)
        self._machine = machine = Machine(engine, self._places, storage)
        self._home = plan.home_of(scratch)
        around = plan.Surroundings(settings, os.environ, self._home, engine.podman, backstop)
        self._sight = Sight(engine)
        self._beginnings, self._watching = Beginnings(machine, around), Watching(machine, self._sight)
        self._free = asyncio.Semaphore(size)
        self._entries: Table[Entry] = Table()
        self._released: OrderedDict[str, None] = OrderedDict()
        self._background: set[asyncio.Task[Any]] = set()
        self._beginning: set[asyncio.Task[Any]] = set()
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, order: AttemptOrder) -> None:
        """Start an attempt, or adopt the one that already has its id; see the port."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())
        key = order.attempt.key
        if key in self._released:
            return
        entry = self._entries.get(key)
        if entry is not None:
            # Perhaps it was only looked at so far.
            entry.order = entry.order or order
            return
        name = plan.container_name(order.attempt)
        if self._places.was_begun(name) and (entry := await self._found(order.attempt)) is not None:
            entry.order = order
            return
        if key not in self._entries:
            entry = self._entries[key] = Entry(order.attempt, name, order)
            entry.life = asyncio.create_task(self._live(entry, order))

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        """Return the state of an attempt; wait up to `timeout_s` seconds for it to be over."""
        entry = self._entries.get(attempt.key)
        if entry is None:
            entry = await self._found(attempt)
        if entry is None:
            return AttemptState(
                phase=AttemptPhase.LOST, message="No trace of this attempt is left on this machine."
            )
        if timeout_s > 0 and not entry.over.done():
            await asyncio.wait((entry.over,), timeout=timeout_s)
        return entry.state

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        """Stop an attempt: SIGTERM, then SIGKILL after `grace_s` seconds; see the port."""
        entry = self._entries.get(attempt.key)
        if entry is not None and entry.over.done():
            return entry.state
        await asyncio.to_thread(orders.request_stop, self._machine.store, attempt, intent)
        if entry is not None:
            entry.stops(intent)
        name = plan.container_name(attempt)
        if await self._beginnings.fenced(attempt):
            if entry is None:
                return states.NEVER_BEGUN.model_copy(update={"intent": intent})
            entry.end(states.NEVER_BEGUN)
            return entry.state
        entry = entry or await self._found(attempt)
        if entry is None:
            return AttemptState(phase=AttemptPhase.LOST, message="Its container is gone.", intent=intent)
        entry.intent = intent
        await self._engine.kill(name, "TERM")
        await asyncio.wait((entry.over,), timeout=grace_s)
        if not entry.over.done() and entry.seen is not None and entry.seen.ours:
            # Its runtime ends the task and tells how it ended; only a runtime that hangs is killed itself.
            await self._engine.kill(name, "QUIT")
            await asyncio.wait((entry.over,), timeout=_REPORT_S)
        while not entry.over.done():
            await self._kill(entry)
            await asyncio.wait((entry.over,), timeout=2.0)
        return entry.state

    async def release(self, attempt: AttemptId) -> None:
        """Forget an attempt whose result has been committed; its container is removed, soon."""
        entry = self._entries.pop(attempt.key, None)
        self._released[attempt.key] = None
        while len(self._released) > _REMEMBERED:
            self._released.popitem(last=False)
        if entry is not None and entry.life is not None and not entry.over.done():
            entry.life.cancel()
        # Whose container it is that has its name is known of those that were seen.
        sure = entry is not None and entry.seen is not None
        self._keep(self._remove(attempt, sure=sure))

    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for entry in self._entries.values():
            if entry.life is not None and entry.life not in self._beginning:
                entry.life.cancel()
        left = [*self._beginning, *self._background]
        if left:
            # A program that is killed while it starts a container may leave half of one.
            await asyncio.wait(left, timeout=_CLOSE_S)
        tasks = [entry.life for entry in self._entries.values() if entry.life is not None]
        tasks += [self._sweeping] if self._sweeping is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        await self._engine.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _remove(self, attempt: AttemptId, *, sure: bool) -> None:
        name = plan.container_name(attempt)
        with suppress(LauncherError):
            # What fails here is done by the next sweep.
            if sure or await self._machine.own(attempt) is not None:
                await self._engine.remove(name)
            self._places.remove(name)

    async def _sweep(self) -> None:
        while True:
            with suppress(FlyteTemporalError):
                await sweep(
                    self._engine,
                    self._places,
                    f"{plan.HOME}={self._home}",
                    self._machine.store,
                    self._entries.__contains__,
                )
            await asyncio.sleep(_SWEEP_S)

    async def _found(self, attempt: AttemptId) -> Entry | None:
        """Return an entry for an attempt that this launcher was not asked to start, if its container is there."""
        seen = await self._machine.own(attempt)
        if seen is None or not seen.begun:
            return None
        entry = self._entries.get(attempt.key)
        if entry is None:
            entry = self._entries[attempt.key] = Entry(attempt, plan.container_name(attempt), seen=seen)
            entry.state = states.running(seen)
            entry.life = asyncio.create_task(self._watching.follow_safely(entry))
            if seen.over or (self._sight.local and not is_alive(seen.pid)):
                await asyncio.wait((entry.over,), timeout=SETTLE_S)
        return entry

    async def _live(self, entry: Entry, order: AttemptOrder) -> None:
        """See an attempt through, from wherever it is."""
        mine = asyncio.current_task()
        assert mine is not None, "runs as a task"  # noqa: S101 - a mistake of ours
        try:
            # In the order in which they were asked for: nothing is awaited before.
            async with self._free:
                self._beginning.add(mine)
                try:
                    await self._beginnings.begin(entry, order)
                finally:
                    self._beginning.discard(mine)
                await self._watching.follow(entry)
        except NotInstalled as error:
            entry.end(states.unfit(str(error)))
        except UserCodeError as error:
            entry.end(states.of_the_user(error))
        except (FlyteTemporalError, OSError) as error:
            entry.end(AttemptState(phase=AttemptPhase.EXITED, message=str(error), ran=False))

    async def _kill(self, entry: Entry) -> None:
        try:
            await self._engine.kill(entry.name, "KILL")
        except LauncherError:
            # Without its monitor, an engine may refuse; its process is still ours to end, if it is one of this machine.
            if entry.seen is not None and self._sight.sees(entry, entry.seen):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(entry.seen.pid, 9)


def make(settings: Settings, *, podman: bool) -> ContainerLauncher:
    """Return a launcher with the settings of this installation."""
    own = settings.containers
    engine = ContainerEngine(own.podman if podman else own.docker, podman=podman, runtime=own.runtime)
    size = own.size or settings.worker.pool_size
    backstop = Backstop(settings.limits.run_timeout_s, settings.worker.stop_grace_s)
    storage = settings.storage.config()
    return ContainerLauncher(engine, own, settings.worker.scratch, storage, size, backstop)


def make_podman(settings: Settings) -> ContainerLauncher:
    """Return the launcher `podman`."""
    return make(settings, podman=True)


def make_docker(settings: Settings) -> ContainerLauncher:
    """Return the launcher `docker`."""
    return make(settings, podman=False)
