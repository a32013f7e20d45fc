"""`PoolLauncher`: attempts as calls into warm processes, one zygote per code bundle, interpreter and environment."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flyte_temporal.adapters.launchers.batches import Batch, BatchingLauncher
from flyte_temporal.adapters.launchers.journals import exited
from flyte_temporal.adapters.launchers.queueing import Entry
from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.adapters.launchers.stems import Stems
from flyte_temporal.adapters.launchers.warm import Warm, ZygoteKey, key_of
from flyte_temporal.adapters.launchers.zygotes import Zygote, ZygoteEvents
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.storage import scratch

if TYPE_CHECKING:
    from flyte_temporal.config.settings import Settings

_SWEEPS = 4
"""How many times per idle period the pool looks for zygotes without work."""

__all__ = ["PoolConfig", "PoolLauncher", "make"]


class PoolLauncher(BatchingLauncher):
    """Runs attempts in warm processes, at most `config.size` at once; the others wait in order of their start.

    Args:
        config: Settings.
    """

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._zygotes: dict[ZygoteKey, Zygote] = {}
        # Zygotes that are gone, with processes that still finish their attempt.
        self._orphaned: set[Zygote] = set()
        self._failures: dict[ZygoteKey, int] = {}
        self._stems = Stems()
        self._events = ZygoteEvents(self._on_idle, self._on_done, self._on_gone, self._on_dead)
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for zygote in [*self._zygotes.values(), *self._orphaned]:
            zygote.close()
        self._zygotes.clear()
        self._orphaned.clear()
        self._stems.close()
        self._let_go()

    def _processes(self) -> int:
        return sum(len(z.processes) for z in itertools.chain(self._zygotes.values(), self._orphaned))

    def _pump(self) -> None:
        """Give work to idle processes and make new ones, oldest attempt first."""
        wanted: dict[ZygoteKey, int] = {}
        passed = 0  # attempts for which a process is on its way
        while passed < min(len(self._queue), self._config.size):
            entry = self._queue[passed]
            key = entry.key = entry.key or key_of(entry.order)
            zygote = self._zygotes.get(key)
            if zygote is not None and zygote.idle:
                del self._queue[passed]
                if not self._dispatch(zygote, entry):
                    self._queue.insert(passed, entry)
                continue
            wanted[key] = wanted.get(key, 0) + 1
            if zygote is None or zygote.starting < wanted[key]:
                if self._processes() >= self._config.size and not self._make_room(key):
                    return
                self._zygote(key, entry.order).fork()
            passed += 1

    def _make_room(self, key: ZygoteKey) -> bool:
        """End an idle process that is of no use for this key."""
        for other in self._zygotes.values():
            if other.key != key and other.idle:
                other.retire(other.idle[0])
                return True
        return False

    def _zygote(self, key: ZygoteKey, order: AttemptOrder) -> Zygote:
        found = self._zygotes.get(key)
        if found is None:
            preload = self._failures.get(key, 0) == 0
            found = self._zygotes[key] = Zygote(key, order, self._config, self._events, self._stems, preload)
            if self._sweeper is None:
                self._sweep_later()
        return found

    def _dispatch(self, zygote: Zygote, entry: Entry) -> bool:
        """Give an attempt to an idle process; return False if all of them turned out to be dead."""
        journal = self._claim(entry)
        if journal is None:
            return True
        batch: Batch | None = entry.batch
        handed = [journal] if batch is None or not batch.waiting else [journal, batch.file(self._writer)]
        try:
            while zygote.idle:
                warm = zygote.idle.pop()
                if zygote.give(warm, entry, handed):
                    os.close(journal)
                    entry.run(warm, warm.pid)
                    if batch is not None:
                        batch.runner = warm
                    return True
        finally:
            for descriptor in handed[1:]:
                os.close(descriptor)
        # Nothing ran, and the lock is still ours: the next process gets it.
        entry.journal = journal
        return False

    def _claim(self, entry: Entry) -> int | None:
        claimed = super()._claim(entry)
        if claimed is None:
            # Somebody else runs it, so no process of ours comes to what follows it.
            self._forget_rest(entry.batch)
        return claimed

    def _call_off(self, runner: object) -> None:
        if isinstance(runner, Warm):
            runner.call_off()

    def _on_idle(self, _zygote: Zygote, _warm: Warm) -> None:
        self._pump_safely()

    def _on_done(self, _zygote: Zygote, warm: Warm, reply: dict[str, Any]) -> None:
        entry = warm.entry
        # Of another one we know already: by its journal, or because it was withdrawn while it was about to begin.
        if entry is not None and entry.name == reply["name"]:
            self._end(entry, warm, reply)
            if "retire" not in reply:
                self._go_on(warm, entry)
        if "retire" in reply:
            if entry is not None:
                self._forget_rest(entry.batch)
                if entry.name != reply["name"]:
                    # By the journal of the one before its turn had come, but the process begins nothing more.
                    self._end_unbegun(entry)
            warm.entry = None
            self._pump_safely()

    def _go_on(self, warm: Warm, entry: Entry) -> None:
        """Note that a process has gone on to what follows an attempt, if anything does."""
        batch: Batch | None = entry.batch
        warm.entry = batch.waiting.popleft() if batch is not None and batch.waiting else None
        if warm.entry is not None:
            warm.entry.run(warm, warm.pid)

    def _catch_up(self, runner: object) -> None:
        while isinstance(runner, Warm) and (entry := runner.entry) is not None:
            journal = scratch.read_journal(self._config.attempts / entry.name)
            if journal is None:
                return
            task = journal.processes.get("task")
            if journal.ending is None:
                if task is not None:
                    began = datetime.fromtimestamp(task.at, UTC)
                    entry.state = entry.state.model_copy(update={"started_at": began})
                return
            entry.end(exited(journal.ending))
            self._go_on(runner, entry)

    def _end(self, entry: Entry, warm: Warm, reply: dict[str, Any]) -> None:
        if "left" not in reply:
            entry.end(
                AttemptState(
                    phase=AttemptPhase.EXITED,
                    exit_code=reply["code"],
                    message=reply["message"],
                    pid=warm.pid,
                    peak_rss_bytes=reply["rss"],
                )
            )
        elif reply["left"] is None:
            # Somebody else runs it, or has run it.
            self._adopt(entry)
        else:
            self._end_unbegun(entry)

    def _on_gone(self, zygote: Zygote, warm: Warm, code: int | None) -> None:
        self._catch_up(warm)
        entry, warm.entry = warm.entry, None
        if entry is not None:
            self._forget_rest(entry.batch)
            journal = scratch.read_journal(self._config.attempts / entry.name)
            if journal is not None and journal.ending is not None:
                entry.end(exited(journal.ending))
            elif journal is None and entry.batch is not None:
                # Its turn had come, and the process died before it began.
                self._end_unbegun(entry)
            else:
                # Perhaps its own report is still to come; the journal knows.
                del code
                self._adopt(entry)
        if not zygote.alive and not zygote.processes:
            self._orphaned.discard(zygote)
        self._pump_safely()

    def _end_unbegun(self, entry: Entry) -> None:
        if scratch.stop_reason(self._config.attempts / entry.name):
            entry.end(exited(scratch.Ending(-15, "It was stopped before it started.")))
        else:
            self._forget(entry)

    def _on_dead(self, zygote: Zygote, code: int | None) -> None:
        if self._zygotes.get(zygote.key) is zygote:
            del self._zygotes[zygote.key]
        if zygote.processes:
            self._orphaned.add(zygote)
        if zygote.ready:
            self._failures.pop(zygote.key, None)
        else:
            self._count_failure(zygote, code)
        self._pump_safely()

    def _count_failure(self, zygote: Zygote, code: int | None) -> None:
        """Try again without importing the user's module ahead; if that fails too, the attempts cannot be run."""
        failures = self._failures[zygote.key] = self._failures.get(zygote.key, 0) + 1
        if failures < 2:
            return
        del self._failures[zygote.key]
        message = f"The warm pool could not be started with {zygote.key.interpreter} (exit code {code}). "
        message += zygote.last_words()
        for entry in [e for e in self._queue if key_of(e.order) == zygote.key]:
            self._queue.remove(entry)
            self._forget_rest(entry.batch)
            entry.end(
                AttemptState(phase=AttemptPhase.EXITED, exit_code=code, message=message.strip(), ran=False)
            )

    def _pump_safely(self) -> None:
        while not self._closed:
            try:
                self._pump()
            except LauncherError as error:
                # The Python of the first one cannot be started; the others may ask for another one.
                entry = self._queue.popleft()
                self._forget_rest(entry.batch)
                entry.end(AttemptState(phase=AttemptPhase.EXITED, message=str(error), ran=False))
            else:
                break
        if len(self._zygotes) > self._config.idle_bundles:
            self._close_idle(self._config.idle_bundles)

    async def _stop_own(self, entry: Entry, grace_s: float) -> None:
        warm: Warm = entry.runner
        self._catch_up(warm)
        if entry.over.done():
            # It has ended, and the process is at what follows it already.
            return
        zygote = next(
            (z for z in [*self._zygotes.values(), *self._orphaned] if warm.number in z.processes), None
        )
        if zygote is not None and zygote.stop(warm, grace_s):
            await asyncio.wait((entry.over,), timeout=grace_s + 5.0)
        if not entry.over.done() and entry.adopted is None:
            self._adopt(entry)

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(self._config.idle_s / _SWEEPS, self._sweep)

    def _sweep(self) -> None:
        """End zygotes that had no work for long."""
        self._sweeper = None
        self._close_idle(0, time.monotonic() - self._config.idle_s)
        if self._zygotes:
            self._sweep_later()

    def _close_idle(self, kept: int, used_before: float = math.inf) -> None:
        """End zygotes without work that were last used before a time, except for the `kept` last used ones."""
        idle = [zygote for zygote in self._zygotes.values() if zygote.rests]
        idle.sort(key=lambda zygote: zygote.used_at, reverse=True)
        if len(idle) <= kept:
            return
        waiting = {entry.key or key_of(entry.order) for entry in self._queue}
        for zygote in idle[kept:]:
            if zygote.used_at <= used_before and zygote.key not in waiting:
                del self._zygotes[zygote.key]
                zygote.close()


def make(settings: Settings) -> PoolLauncher:
    """Return a launcher with the settings of this installation."""
    return PoolLauncher(PoolConfig.of(settings))
