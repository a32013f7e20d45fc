"""`Beginnings`: how the container of an attempt is made and started, once, and how it is kept from that.

All of it is done under the attempt's lock (`places`). An image may take minutes to pull, and inputs to arrive: until the
container is started, a stop calls that off.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from flyte_temporal.adapters.launchers.containers import beside, plan, states
from flyte_temporal.adapters.launchers.containers.engine import EngineFailed
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.adapters.launchers.containers.machine import Machine
from flyte_temporal.adapters.launchers.containers.places import Place, Stage
from flyte_temporal.errors import LauncherError, StorageError
from flyte_temporal.faults import buggify
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders

_HELD_S = 0.05
_HELD_MOST_S = 1.0
_NOTE_S = 5.0
"""How often it is looked, while a container is being made, whether a worker that is not this one wants its attempt stopped."""


class Beginnings:
    """Makes and starts containers.

    Args:
        machine: Where.
        around: What a container is made of besides its order.
    """

    def __init__(self, machine: Machine, around: plan.Surroundings) -> None:
        self._machine, self._around = machine, around
        self._engine, self._places = machine.engine, machine.places

    async def begin(self, entry: Entry, order: AttemptOrder) -> None:
        """Make and start the container, unless somebody has; end the entry if that cannot be."""
        pause_s = _HELD_S
        while not entry.over.done():
            with self._places.locked(entry.name, entry.attempt, order.storage) as place:
                if place is not None:
                    await self._begin_locked(entry, order, place)
                    return
            if await self._is_there(entry):
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _HELD_MOST_S)

    async def fenced(self, attempt: AttemptId) -> bool:
        """Keep an attempt that has not begun from beginning, whoever is asked to; return False if it has begun."""
        name, pause_s = plan.container_name(attempt), _HELD_S
        while True:
            with self._places.locked(name, attempt, self._machine.storage) as place:
                if place is not None:
                    if place.stage is Stage.NEW:
                        place.write(Stage.NEVER)
                    return place.stage is Stage.NEVER
            seen = await self._machine.own(attempt)
            if seen is not None and seen.begun:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _HELD_MOST_S)

    async def _is_there(self, entry: Entry) -> bool:
        """Return whether its container has been started, by somebody else."""
        seen = await self._machine.own(entry.attempt)
        if seen is not None and seen.begun:
            entry.seen, entry.state = seen, states.running(seen)
            return True
        return False

    async def _begin_locked(self, entry: Entry, order: AttemptOrder, place: Place) -> None:
        if place.stage is Stage.NEVER:
            entry.end(await self._machine.with_intent(entry, states.NEVER_BEGUN))
            return
        # Of a new one nobody has seen anything; if it was made after all, `create` says so.
        seen = await self._engine.inspect(entry.name) if place.stage is Stage.BEGUN else None
        if seen is None and place.stage is Stage.BEGUN:
            entry.end(await self._machine.with_intent(entry, states.gone()))
            return
        if seen is not None and seen.attempt != entry.attempt.key:
            entry.end(states.unfit(self._taken(entry.name)))
            return
        if seen is None:
            await self._make_unless_called_off(entry, order)
        if entry.over.done() or (seen is not None and seen.begun):
            return
        if await self._is_called_off(entry, order):
            await self._give_up(entry, place)
        else:
            await self._start(entry, order, place)

    async def _make_unless_called_off(self, entry: Entry, order: AttemptOrder) -> None:
        making = entry.making = asyncio.create_task(self._make(entry, order))
        try:
            while not (await asyncio.wait((making,), timeout=_NOTE_S))[0]:
                if await self._is_called_off(entry, order, waited=True):
                    making.cancel()
        finally:
            entry.making = None
            if not making.done():
                # Whoever gets the lock after us must not meet a program that is still at it.
                making.cancel()
                await asyncio.wait((making,))
        if not making.cancelled():
            making.result()

    async def _make(self, entry: Entry, order: AttemptOrder) -> None:
        """Make the container, or end the entry."""
        key = await asyncio.to_thread(orders.leave, self._machine.store, order)
        data = self._places.data(entry.name)
        asked = plan.planned(order, key, data, self._around)
        if asked.problem:
            entry.end(states.unfit(asked.problem, asked.refusal))
            return
        if order.task.container is not None:
            await beside.prepare(order, key, data)
        entry.state = AttemptState(phase=AttemptPhase.QUEUED, message=f"making a container of {asked.image}")
        try:
            noted = ["--pidfile", str(self._places.pid_file(entry.name))] if self._engine.podman else []
            await self._engine.create([*noted, *asked.arguments], asked.env)
        except EngineFailed as error:
            if "already in use" not in error.words:
                entry.end(plan.refused(asked.image, error.words, self._engine.program))
            elif await self._machine.own(entry.attempt) is None:
                entry.end(states.unfit(self._taken(entry.name)))

    async def _is_called_off(self, entry: Entry, order: AttemptOrder, *, waited: bool = False) -> bool:
        """Return whether an attempt that has not begun is to be stopped; our runtime asks for itself before it begins."""
        if not entry.intent and (waited or order.task.container is not None):
            with suppress(StorageError):
                noted = await asyncio.to_thread(orders.stop_reason, self._machine.store, entry.attempt)
                entry.intent = entry.intent or noted
        return bool(entry.intent)

    async def _give_up(self, entry: Entry, place: Place) -> None:
        place.write(Stage.NEVER)
        with suppress(LauncherError):
            # What fails here is done when the attempt is released, or by a sweep.
            if await self._machine.own(entry.attempt) is not None:
                await self._engine.remove(entry.name)
        entry.end(states.NEVER_BEGUN)

    async def _start(self, entry: Entry, order: AttemptOrder, place: Place) -> None:
        place.write(Stage.BEGUN)
        buggify("container.created")
        try:
            await self._engine.start(entry.name, place.lock, self._places.folder)
            entry.fresh = True
        except EngineFailed as error:
            seen = await self._machine.own(entry.attempt)
            if seen is None or not seen.begun:
                image = plan.image_of(order, self._around.settings.image)
                entry.end(plan.not_started(order, image, error.words))

    def _taken(self, name: str) -> str:
        return (
            f"There is a container {name} on the worker's machine that is not of this attempt. Remove it: "
            f"`{self._engine.program} rm {name}`."
        )
