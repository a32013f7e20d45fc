"""What `pool` and `process` have in common: a table of attempts, the queue before them, adoption by folder."""

from __future__ import annotations

import asyncio
import math
import os
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flyte_temporal.adapters.launchers.ends import Ends
from flyte_temporal.adapters.launchers.journals import JournalAttempt, checkpoint_of, exited
from flyte_temporal.adapters.launchers.orders import OrderWriter
from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.adapters.launchers.table import Table
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import leftovers, scratch, unpacked
from flyte_temporal.storage.sealing import remove

_REMEMBERED = 10_000
_QUEUED = AttemptState(phase=AttemptPhase.QUEUED, message="waiting for a free process")


@dataclass(eq=False)
class Entry(Ends):
    """An attempt as this launcher knows it.

    Args:
        name: Name of its files.
        order: What to run.
        over: Set to the final state.
        state: The last state that is known.
        adopted: How to look at it if it is not ours.
        runner: What runs it, if it is ours and at work.
        key: What its process must be like, for launchers that keep processes.
        task: Where in the written order the task stands.
        journal: Descriptor of its journal with the lock, while it is claimed and nobody has it yet.
        batch: What follows it in the same process, for launchers that can do that.
        intent: Why it is being stopped, if it is.
    """

    name: str
    order: AttemptOrder
    over: asyncio.Future[AttemptState] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    state: AttemptState = _QUEUED
    adopted: JournalAttempt | None = None
    runner: Any = None
    key: Any = None
    task: slice = field(default_factory=lambda: slice(0, 0))
    journal: int | None = None
    batch: Any = None
    intent: Intent = Intent.NONE

    def run(self, runner: object, pid: int | None) -> None:
        """Note what runs it from now on."""
        self.runner = runner
        self.state = AttemptState(phase=AttemptPhase.RUNNING, pid=pid, started_at=datetime.now(UTC))

    def end(self, state: AttemptState) -> None:
        """Note the final state; nothing runs it any more."""
        self.runner = None
        super().end(state)


class QueueingLauncher(ABC):
    """A launcher of this machine; subclasses say how an attempt is started and how one of theirs is stopped.

    Attempts that wait have no journal yet. So an attempt that waited when its worker died is simply started by the
    next worker that is asked to, and costs no attempt number.
    """

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._entries: Table[Entry] = Table()
        self._queue: deque[Entry] = deque()
        self._released: OrderedDict[str, None] = OrderedDict()
        self._writer = OrderWriter()
        self._following: set[asyncio.Future[None]] = set()
        for folder in (config.attempts, config.warm, config.zygotes, config.bundles):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise LauncherError(f"Could not make the scratch folder {folder}: {error}.") from error
        leftovers.sweep_attempts(config.attempts)
        leftovers.sweep_processes(config.warm)
        leftovers.sweep_files(config.zygotes)
        unpacked.sweep(config.bundles)

    @abstractmethod
    def _pump(self) -> None:
        """Start what can be started, oldest first."""

    @abstractmethod
    async def _stop_own(self, entry: Entry, grace_s: float) -> None:
        """Stop an attempt that this launcher runs, whose stop was noted; return when `entry.over` is set."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""

    async def start(self, order: AttemptOrder) -> None:
        """Start an attempt, or adopt the one that already has its id; see the port."""
        key = order.attempt.key
        if key in self._entries or key in self._released:
            return
        entry = self._entries[key] = Entry(scratch.attempt_name(order.attempt), order)
        if scratch.exists(self._config.attempts / entry.name):
            self._adopt(entry)
            return
        self._queue.append(entry)
        try:
            self._pump()
        except LauncherError:
            if entry in self._queue:
                self._queue.remove(entry)
            self._entries.pop(key, None)
            raise

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        """Return the state of an attempt; wait up to `timeout_s` seconds for it to be over."""
        entry = self._entries.get(attempt.key)
        if entry is None:
            return await self._journal(scratch.attempt_name(attempt)).wait(timeout_s)
        if timeout_s > 0 and not entry.over.done():
            await asyncio.wait((entry.over,), timeout=timeout_s)
        if entry.adopted is not None and not entry.over.done():
            entry.state = entry.adopted.state()
        elif entry.state.phase is AttemptPhase.RUNNING:
            saved = checkpoint_of(scratch.read_journal(self._config.attempts / entry.name))
            if saved != entry.state.checkpoint:
                entry.state = entry.state.model_copy(update={"checkpoint": saved})
        return entry.state

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        """Stop an attempt: SIGTERM, then SIGKILL after `grace_s` seconds; see the port."""
        entry = self._entries.get(attempt.key)
        name = entry.name if entry is not None else scratch.attempt_name(attempt)
        if entry is None:
            if attempt.key not in self._released:
                self._fence(name)
            return await self._journal(name).stop(grace_s, intent)
        if entry.over.done():
            return entry.state
        entry.intent = intent
        scratch.request_stop(self._config.attempts / name, intent)
        if self._waits(entry):
            self._cancel_queued(entry)
        if not entry.over.done() and entry.adopted is None:
            await self._stop_own(entry, grace_s)
        if not entry.over.done() and entry.adopted is not None:
            entry.end(await entry.adopted.stop(grace_s, intent))
        return entry.state

    async def release(self, attempt: AttemptId) -> None:
        """Forget an attempt whose result has been committed; its files are removed."""
        entry = self._entries.pop(attempt.key, None)
        if entry is not None and self._waits(entry):
            self._cancel_queued(entry)
        name = entry.name if entry is not None else scratch.attempt_name(attempt)
        self._released[attempt.key] = None
        while len(self._released) > _REMEMBERED:
            self._released.popitem(last=False)
        rest = scratch.remove(self._config.attempts, name)
        if rest is not None:
            await asyncio.to_thread(remove, rest)

    def _waits(self, entry: Entry) -> bool:
        """Return whether an attempt has not begun, as far as is known here."""
        return not entry.over.done() and entry.runner is None and entry.adopted is None

    def _take_out(self, entry: Entry) -> None:
        """Take an attempt that waits out of the queue."""
        self._queue.remove(entry)

    def _journal(self, name: str) -> JournalAttempt:
        return JournalAttempt(self._config.attempts / name)

    def _adopt(self, entry: Entry) -> None:
        entry.adopted = self._journal(entry.name)
        entry.state = entry.adopted.state()
        if entry.state.over:
            entry.end(entry.state)
            return
        following = asyncio.ensure_future(self._follow(entry, entry.adopted))
        self._following.add(following)
        following.add_done_callback(self._following.discard)

    async def _follow(self, entry: Entry, adopted: JournalAttempt) -> None:
        entry.end(await adopted.wait(math.inf))

    def _let_go(self) -> None:
        """Forget what waits and what is only watched; part of `close`."""
        for entry in self._queue:
            if entry.journal is not None:
                os.close(entry.journal)
        self._queue.clear()
        for following in self._following:
            following.cancel()

    def _claim(self, entry: Entry) -> int | None:
        """Make the journal of an attempt; return the descriptor with its lock, or None if it had to be adopted."""
        kept, entry.journal = entry.journal, None
        if kept is not None:
            return kept
        written, entry.task = self._writer.write(entry.order)
        claimed = scratch.claim(self._config.attempts, entry.name, written)
        if claimed is None:
            self._adopt(entry)
        return claimed

    def _cancel_queued(self, entry: Entry) -> None:
        self._take_out(entry)
        # The journal says for all time, and to all launchers, that this attempt does not start any more.
        claimed = self._claim(entry)
        if claimed is not None:
            entry.end(self._never_starts(claimed))

    def _fence(self, name: str) -> None:
        """Keep an attempt that was never started here from being started, if a launcher that hangs wakes up later."""
        claimed = scratch.claim(self._config.attempts, name, b"{}")
        if claimed is not None:
            self._never_starts(claimed)

    @staticmethod
    def _never_starts(claimed: int) -> AttemptState:
        ending = scratch.Ending(-15, "It was stopped before it started.")
        scratch.write_ending(claimed, ending)
        os.close(claimed)
        return exited(ending, ran=False)
