"""`ContainerLauncher`: an attempt per container, made by podman or docker.

What an engine shows decides every state; a process that waits for a container only says when to look. So it does not
matter which worker started it. That a container is started once, and made once, is the business of `places`.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flyte_temporal.adapters.launchers.backstop import NEVER, Backstop
from flyte_temporal.adapters.launchers.containers import beside, plan, states
from flyte_temporal.adapters.launchers.containers.endings import is_alive, wait_for_end
from flyte_temporal.adapters.launchers.containers.engine import (
    Container,
    ContainerEngine,
    EngineFailed,
    NotInstalled,
)
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.adapters.launchers.containers.leftovers import sweep
from flyte_temporal.adapters.launchers.containers.places import Place, Places, Stage, folder_in
from flyte_temporal.adapters.launchers.table import Table
from flyte_temporal.config.settings import ContainerSettings, Settings
from flyte_temporal.errors import FlyteTemporalError, LauncherError, StorageError, UserCodeError
from flyte_temporal.faults import buggify
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, StorageConfig
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store

_REMEMBERED = 10_000
_LOOK_S = 30.0
"""How often a container is looked at whose end nobody tells."""
_AWAY_S = 5.0
_HELD_S = 0.05
_SETTLE_S = 10.0
"""How long an engine may take to note the end of a process that is gone."""
_CLOSE_S = 15.0
_REPORT_S = 5.0
_SWEEP_S = 300.0
_NEVER_BEGUN = AttemptState(
    phase=AttemptPhase.EXITED, exit_code=-15, message="It was stopped before it started.", ran=False
)


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
        self._engine, self._settings, self._storage = engine, settings, storage
        self._places = Places(folder_in(scratch.absolute()), engine.program)
        home = plan.home_of(scratch)
        self._around = plan.Surroundings(settings, os.environ, home, engine.podman, backstop)
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
        await asyncio.to_thread(orders.request_stop, self._store, attempt, intent)
        if entry is not None:
            entry.intent = intent
        name = plan.container_name(attempt)
        if await self._fenced(name, attempt):
            if entry is not None:
                entry.end(_NEVER_BEGUN)
            return entry.state if entry is not None else _NEVER_BEGUN.model_copy(update={"intent": intent})
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

    @property
    def _store(self) -> BlobStore:
        return open_store(self._storage)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _remove(self, attempt: AttemptId, *, sure: bool) -> None:
        name = plan.container_name(attempt)
        with suppress(LauncherError):
            # What fails here is done by the next sweep.
            if sure or await self._own(attempt) is not None:
                await self._engine.remove(name)
            self._places.remove(name)

    async def _sweep(self) -> None:
        while True:
            with suppress(FlyteTemporalError):
                await sweep(
                    self._engine,
                    self._places,
                    f"{plan.HOME}={self._around.home}",
                    self._store,
                    self._entries.__contains__,
                )
            await asyncio.sleep(_SWEEP_S)

    async def _found(self, attempt: AttemptId) -> Entry | None:
        """Return an entry for an attempt that this launcher was not asked to start, if its container is there."""
        seen = await self._own(attempt)
        if seen is None or not seen.begun:
            return None
        entry = self._entries.get(attempt.key)
        if entry is None:
            entry = self._entries[attempt.key] = Entry(attempt, plan.container_name(attempt), seen=seen)
            entry.state = states.running(seen)
            entry.life = asyncio.create_task(self._follow_safely(entry))
            if seen.over or (self._engine.local and not is_alive(seen.pid)):
                await asyncio.wait((entry.over,), timeout=_SETTLE_S)
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
                    await self._begin(entry, order)
                finally:
                    self._beginning.discard(mine)
                await self._follow(entry)
        except NotInstalled as error:
            entry.end(states.unfit(str(error)))
        except UserCodeError as error:
            entry.end(states.of_the_user(error))
        except (FlyteTemporalError, OSError) as error:
            entry.end(AttemptState(phase=AttemptPhase.EXITED, message=str(error), ran=False))

    async def _is_there(self, entry: Entry) -> bool:
        """Return whether its container has been started, by somebody else."""
        seen = await self._own(entry.attempt)
        if seen is not None and seen.begun:
            entry.seen, entry.state = seen, states.running(seen)
            return True
        return False

    async def _begin(self, entry: Entry, order: AttemptOrder) -> None:
        """Make and start the container, unless somebody has; end the entry if that cannot be."""
        while not entry.over.done():
            with self._places.locked(entry.name, entry.attempt, order.storage) as place:
                if place is not None:
                    await self._begin_locked(entry, order, place)
                    return
            if await self._is_there(entry):
                return
            await asyncio.sleep(_HELD_S)

    async def _begin_locked(self, entry: Entry, order: AttemptOrder, place: Place) -> None:
        if place.stage is Stage.NEVER:
            entry.end(await self._with_intent(entry, _NEVER_BEGUN))
            return
        # Of a new one nobody has seen anything; if it was made after all, `create` says so.
        seen = await self._engine.inspect(entry.name) if place.stage is Stage.BEGUN else None
        if seen is None and place.stage is Stage.BEGUN:
            entry.end(await self._with_intent(entry, states.gone()))
            return
        if seen is not None and seen.attempt != entry.attempt.key:
            entry.end(states.unfit(self._taken(entry.name)))
            return
        if seen is None and not await self._create(entry, order):
            return
        if seen is None or not seen.begun:
            await self._start(entry, order, place)

    async def _create(self, entry: Entry, order: AttemptOrder) -> bool:
        key = await asyncio.to_thread(orders.leave, self._store, order)
        data = self._places.data(entry.name)
        asked = plan.planned(order, key, data, self._around)
        if asked.problem:
            entry.end(states.unfit(asked.problem, asked.refusal))
            return False
        if order.task.container is not None:
            await beside.prepare(order, key, data)
        entry.state = AttemptState(phase=AttemptPhase.QUEUED, message=f"making a container of {asked.image}")
        try:
            noted = ["--pidfile", str(self._places.pid_file(entry.name))] if self._engine.podman else []
            await self._engine.create([*noted, *asked.arguments], asked.env)
        except EngineFailed as error:
            if "already in use" not in error.words:
                entry.end(plan.refused(asked.image, error.words, self._engine.program))
                return False
            if await self._own(entry.attempt) is None:
                entry.end(states.unfit(self._taken(entry.name)))
                return False
        return True

    async def _start(self, entry: Entry, order: AttemptOrder, place: Place) -> None:
        place.write(Stage.BEGUN)
        buggify("container.created")
        try:
            await self._engine.start(entry.name, place.lock, self._places.folder)
            entry.fresh = True
        except EngineFailed as error:
            seen = await self._own(entry.attempt)
            if seen is None or not seen.begun:
                entry.end(plan.not_started(order, plan.image_of(order, self._settings.image), error.words))

    def _taken(self, name: str) -> str:
        return (
            f"There is a container {name} on the worker's machine that is not of this attempt. Remove it: "
            f"`{self._engine.program} rm {name}`."
        )

    async def _follow_safely(self, entry: Entry) -> None:
        try:
            await self._follow(entry)
        except FlyteTemporalError as error:
            entry.end(AttemptState(phase=AttemptPhase.LOST, message=str(error)))

    async def _follow(self, entry: Entry) -> None:
        """Watch a container that was started to its end, and end the entry."""
        silent_s, pause_s = 0.0, 0.01
        if entry.fresh and self._engine.local and (pid := self._places.pid(entry.name)):
            # Podman has written it down: a question less before the task is watched.
            ours = entry.order is not None and entry.order.task.container is None
            entry.seen = Container("running", pid=pid, started_at=datetime.now(UTC), ours=ours)
            entry.state = states.running(entry.seen)
            await wait_for_end(pid, _LOOK_S)
        while not entry.over.done():
            try:
                seen = await self._looked(entry)
            except (EngineFailed, StorageError) as error:
                # What runs, runs on without its engine, and what it has left stays; the attempt's own time limits hold.
                who = "engine" if isinstance(error, EngineFailed) else "blob store"
                entry.say(f"the {who} does not answer: {error}")
                await asyncio.sleep(_AWAY_S)
                continue
            if seen is None:
                return
            entry.state = states.running(seen)
            if seen.pid and not is_alive(seen.pid) and self._engine.local:
                # Its process is gone; whoever is to note that needs a moment, or is gone too.
                if silent_s > _SETTLE_S or (seen.monitor and not is_alive(seen.monitor) and silent_s > 1.0):
                    await self._unseen(entry)
                    return
                await asyncio.sleep(pause_s)
                silent_s, pause_s = silent_s + pause_s, min(pause_s * 1.5, 0.25)
                continue
            silent_s, pause_s = 0.0, 0.01
            await wait_for_end(seen.pid if self._engine.local else 0, _LOOK_S)

    async def _looked(self, entry: Entry) -> Container | None:
        """Return what the engine shows of a container at work; end the entry of one that is not, and return None."""
        seen = await self._own(entry.attempt)
        if seen is None:
            entry.end(await self._with_intent(entry, states.gone()))
            return None
        entry.seen = seen
        if seen.over:
            await self._ended(entry, seen)
            return None
        return seen

    async def _own(self, attempt: AttemptId) -> Container | None:
        """Return what the engine shows of an attempt's container; one of its name that is another's is none."""
        seen = await self._engine.inspect(plan.container_name(attempt))
        return seen if seen is not None and seen.attempt == attempt.key else None

    async def _ended(self, entry: Entry, seen: Container) -> None:
        order = entry.order
        code, message = seen.exit_code, seen.problem
        left = await asyncio.to_thread(self._has_manifest, entry.attempt)
        if not left and seen.out_of_time:
            # The engine has done what nobody of us was left to do; it is judged as if we had.
            await asyncio.to_thread(orders.request_stop, self._store, entry.attempt, Intent.TIMEOUT)
        if not left and order is None:
            order = await asyncio.to_thread(self._order, entry.attempt)
        if not left and order is not None and order.task.container is not None:
            data = self._places.data(entry.name)
            await self._engine.logs(entry.name, into=data.log)
            await beside.collect(order, keys.order(entry.attempt), data, seen)
            left = True
        if code and not left:
            with suppress(LauncherError):
                message = f"{message} {(await self._engine.logs(entry.name, last=20)).strip()}".strip()
        state = AttemptState(
            phase=AttemptPhase.EXITED,
            exit_code=code,
            oom=seen.oom,
            message=message[-3000:],
            started_at=seen.started_at,
        )
        entry.end(await self._with_intent(entry, state) if not left else state)

    async def _unseen(self, entry: Entry) -> None:
        """End an entry whose container's process is gone without anybody who noted how: podman's conmon was killed."""
        state = AttemptState(
            phase=AttemptPhase.LOST,
            message="Its process is gone, and so is the one that was to note how it ended (conmon).",
            started_at=entry.state.started_at,
        )
        if await asyncio.to_thread(self._has_manifest, entry.attempt):
            state = state.model_copy(update={"phase": AttemptPhase.EXITED})
        entry.end(await self._with_intent(entry, state))

    async def _with_intent(self, entry: Entry, state: AttemptState) -> AttemptState:
        """Return a state with the reason of its stop, which may have been asked for by a worker that is gone."""
        if entry.intent:
            return state
        found = await asyncio.to_thread(orders.stop_reason, self._store, entry.attempt)
        return state.model_copy(update={"intent": found})

    def _has_manifest(self, attempt: AttemptId) -> bool:
        return self._store.head(keys.manifest(attempt)) is not None

    def _order(self, attempt: AttemptId) -> AttemptOrder | None:
        with suppress(LauncherError):
            return orders.read(keys.order(attempt), self._storage)
        return None

    async def _fenced(self, name: str, attempt: AttemptId) -> bool:
        """Keep an attempt that has not begun from beginning, whoever is asked to; return False if it has begun."""
        while True:
            with self._places.locked(name, attempt, self._storage) as place:
                if place is not None:
                    if place.stage is Stage.NEW:
                        place.write(Stage.NEVER)
                    return place.stage is Stage.NEVER
            seen = await self._own(attempt)
            if seen is not None and seen.begun:
                return False
            await asyncio.sleep(_HELD_S)

    async def _kill(self, entry: Entry) -> None:
        try:
            await self._engine.kill(entry.name, "KILL")
        except LauncherError:
            # Without its monitor, an engine may refuse; its process is still ours to end.
            if entry.seen is not None and is_alive(entry.seen.pid):
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
