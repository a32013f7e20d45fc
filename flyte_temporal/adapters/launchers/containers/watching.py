"""`Watching`: containers that were started, followed to their end, whoever started them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from flyte_temporal.adapters.launchers.containers import beside, states
from flyte_temporal.adapters.launchers.containers.endings import is_alive, wait_for_end
from flyte_temporal.adapters.launchers.containers.engine import Container, EngineFailed
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.adapters.launchers.containers.machine import Machine
from flyte_temporal.adapters.launchers.containers.sight import Sight
from flyte_temporal.errors import FlyteTemporalError, LauncherError, StorageError
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState, Intent
from flyte_temporal.storage import orders

SETTLE_S = 10.0
"""How long an engine may take to note the end of a process that is gone."""
_LOOK_S = 30.0
"""How often a container is looked at whose end nobody tells."""
_AWAY_S = 5.0
_FIRST_S, _MOST_S = 0.01, 0.25
"""Pauses between looks at a container whose process is gone."""


class Watching:
    """Follows containers.

    Args:
        machine: Where they run.
        sight: Which of their processes can be seen.
    """

    def __init__(self, machine: Machine, sight: Sight) -> None:
        self._machine, self._sight = machine, sight
        self._engine, self._places = machine.engine, machine.places

    async def follow_safely(self, entry: Entry) -> None:
        """Watch as `follow` does; an error of ours is the end of the entry."""
        try:
            await self.follow(entry)
        except FlyteTemporalError as error:
            entry.end(AttemptState(phase=AttemptPhase.LOST, message=str(error)))

    async def follow(self, entry: Entry) -> None:
        """Watch a container that was started to its end, and end the entry."""
        silent_s, pause_s = 0.0, _FIRST_S
        if entry.fresh and self._sight.local and (pid := self._places.pid(entry.name)):
            # Podman has written it down: a question less before the task is watched.
            ours = entry.order is not None and entry.order.task.container is None
            entry.seen = Container("running", pid=pid, started_at=datetime.now(UTC), ours=ours)
            entry.state = states.running(entry.seen)
            self._sight.sees(entry, entry.seen)
            await wait_for_end(pid, _LOOK_S)
        while not entry.over.done():
            try:
                seen = await self._looked(entry)
                if seen is None:
                    return
                entry.state = states.running(seen)
                if not seen.pid or not self._sight.local or is_alive(seen.pid):
                    silent_s, pause_s = 0.0, _FIRST_S
                    await wait_for_end(seen.pid if self._sight.sees(entry, seen) else 0, _LOOK_S)
                    continue
                # Its process is gone; whoever is to note that needs a moment, or is gone too.
                unnoted = seen.monitor and not is_alive(seen.monitor) and silent_s > 1.0
                if (unnoted or silent_s > SETTLE_S) and await self._sight.covers_all():
                    await self._unseen(entry)
                    return
            except (EngineFailed, StorageError) as error:
                # What runs, runs on without its engine, and what it has left stays; the attempt's own time limits hold.
                who = "engine" if isinstance(error, EngineFailed) else "blob store"
                entry.say(f"the {who} does not answer: {error}")
                await asyncio.sleep(_AWAY_S)
                continue
            await asyncio.sleep(pause_s)
            silent_s, pause_s = silent_s + pause_s, min(pause_s * 1.5, _MOST_S)

    async def _looked(self, entry: Entry) -> Container | None:
        """Return what the engine shows of a container at work; end the entry of one that is not, and return None."""
        seen = await self._machine.own(entry.attempt)
        if seen is None:
            entry.end(await self._machine.with_intent(entry, states.gone()))
            return None
        entry.seen = seen
        if seen.over:
            await self._ended(entry, seen)
            return None
        return seen

    async def _ended(self, entry: Entry, seen: Container) -> None:
        order = entry.order
        code, message = seen.exit_code, seen.problem
        left = await self._machine.has_manifest(entry.attempt)
        if not left and seen.out_of_time:
            # The engine has done what nobody of us was left to do; it is judged as if we had.
            await asyncio.to_thread(orders.request_stop, self._machine.store, entry.attempt, Intent.TIMEOUT)
        if not left and order is None:
            order = await asyncio.to_thread(self._machine.order, entry.attempt)
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
        entry.end(await self._machine.with_intent(entry, state) if not left else state)

    async def _unseen(self, entry: Entry) -> None:
        """End an entry whose container's process is gone without anybody who noted how: podman's conmon was killed."""
        state = AttemptState(
            phase=AttemptPhase.LOST,
            message="Its process is gone, and so is the one that was to note how it ended (conmon).",
            started_at=entry.state.started_at,
        )
        if await self._machine.has_manifest(entry.attempt):
            state = state.model_copy(update={"phase": AttemptPhase.EXITED})
        entry.end(await self._machine.with_intent(entry, state))
