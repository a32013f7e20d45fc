"""Batches: attempts that are handed to one process together and run there one after the other.

The first of a batch is an attempt like any other: it stands in the queue, and this side claims it. The others are
claimed by the process itself when their turn comes, so that each costs no message; whoever claims an attempt first is
the only one who ever runs it. What a process leaves (it wore out, died, was told to stop) is forgotten here: it never
began, and is started by whoever asks again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flyte_temporal.adapters.launchers.orders import OrderWriter
from flyte_temporal.adapters.launchers.queueing import Entry, QueueingLauncher
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.spec.bindings import nodes_of
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import scratch

_GATHER_S = 0.05
"""How long ends of attempts are gathered before they are told, so that a short attempt does not cost a turn of the
event loop of its own."""
_NOT_BEGUN = AttemptState(phase=AttemptPhase.QUEUED, message="It has not begun.")


@dataclass(eq=False)
class Batch:
    """What follows an attempt in the same process.

    Args:
        waiting: Attempts that have not begun, in order.
        go_on: Whether they still run when one before them has failed.
        runner: The process that has the batch; None while its first attempt waits in the queue.
    """

    waiting: deque[Entry] = field(default_factory=deque)
    go_on: bool = False
    runner: object = None

    def file(self, writer: OrderWriter) -> int:
        """Return a descriptor of a file without a name that tells a process what follows."""
        with tempfile.TemporaryFile() as made:
            made.write(b"go on\n" if self.go_on else b"stop\n")
            for entry in self.waiting:
                written, task = writer.write(entry.order)
                made.write(f"{entry.name} {task.start} {task.stop} ".encode() + written + b"\n")
            made.flush()
            return os.dup(made.fileno())


class BatchingLauncher(QueueingLauncher):
    """A launcher whose processes can run several attempts one after the other."""

    @abstractmethod
    def _call_off(self, runner: object) -> None:
        """Tell the process that works on a batch to begin nothing more of it."""

    @abstractmethod
    def _catch_up(self, runner: object) -> None:
        """Find out by the journals how far a process has come with its batch."""

    async def start_batch(self, orders: Sequence[AttemptOrder], *, go_on: bool) -> None:
        """Start attempts that one process runs one after the other; see the port."""
        fresh = []
        for order in orders:
            if order.attempt.key not in self._entries and order.attempt.key not in self._released:
                entry = Entry(scratch.attempt_name(order.attempt), order)
                if scratch.exists(self._config.attempts / entry.name):
                    self._entries[order.attempt.key] = entry
                    self._adopt(entry)
                else:
                    fresh.append(entry)
        fresh = _together(fresh)
        if not fresh:
            return
        batch = Batch(deque(fresh[1:]), go_on)
        for entry in fresh:
            self._entries[entry.order.attempt.key] = entry
            entry.batch = batch
        self._queue.append(fresh[0])
        try:
            self._pump()
        except LauncherError:
            self._forget_rest(batch)
            if fresh[0] in self._queue:
                self._queue.remove(fresh[0])
            self._entries.pop(fresh[0].order.attempt.key, None)
            raise

    async def observe_batch(
        self, attempts: Sequence[AttemptId], timeout_s: float = 0.0
    ) -> dict[str, AttemptState]:
        """Return the states of the attempts that are known here, by key; see the port."""
        entries = [self._entries.get(attempt.key) for attempt in attempts]
        going = [entry.over for entry in entries if entry is not None and not entry.over.done()]
        if timeout_s > 0 and going:
            done, _ = await asyncio.wait(going[:1], timeout=timeout_s)
            if not done:
                self._look(entries)
            elif not going[-1].done():
                await asyncio.wait(going[-1:], timeout=min(_GATHER_S, timeout_s))
        found = {}
        for attempt in attempts:
            entry = self._entries.get(attempt.key)
            if entry is not None:
                if entry.adopted is not None and not entry.over.done():
                    entry.state = entry.adopted.state()
                found[attempt.key] = entry.state
            elif attempt.key in self._released:
                found[attempt.key] = AttemptState(phase=AttemptPhase.LOST, message="It was released.")
        return found

    async def withdraw(self, attempts: Sequence[AttemptId]) -> None:
        """Take back those attempts that have not begun; see the port."""
        entries = [self._entries.get(attempt.key) for attempt in attempts]
        waiting = [e for e in entries if e is not None and e.batch is not None and e in e.batch.waiting]
        for runner in _runners(waiting):
            self._call_off(runner)
        # What they had begun before they heard of it has begun.
        self._look(entries)
        for entry in entries:
            if entry is not None and self._waits(entry):
                self._take_out(entry)
                self._drop(entry)
                self._forget(entry)

    def _look(self, entries: Sequence[Entry | None]) -> None:
        """Find out how far batches have come whose processes have not said so yet."""
        for runner in _runners(entries):
            self._catch_up(runner)

    def _take_out(self, entry: Entry) -> None:
        """Take an attempt that waits out of the queue or its batch; in the queue, what follows it takes its place."""
        batch: Batch | None = entry.batch
        if batch is not None and entry in batch.waiting:
            batch.waiting.remove(entry)
            return
        place = self._queue.index(entry)
        del self._queue[place]
        if batch is not None and batch.waiting:
            self._queue.insert(place, batch.waiting.popleft())

    def _drop(self, entry: Entry) -> None:
        """Give up the claim on an attempt that nothing was started for."""
        if entry.journal is not None:
            scratch.remove(self._config.attempts, entry.name)
            os.close(entry.journal)
            entry.journal = None

    def _forget_rest(self, batch: Batch | None) -> None:
        """Forget what has not begun of a batch whose process begins nothing more of it."""
        while batch is not None and batch.waiting:
            self._forget(batch.waiting.popleft())

    def _forget(self, entry: Entry) -> None:
        self._entries.pop(entry.order.attempt.key, None)
        entry.end(_NOT_BEGUN)


def _runners(entries: Iterable[Entry | None]) -> list[object]:
    """Return the processes that have the batches of some attempts, each once."""
    batches = [e.batch for e in entries if e is not None and e.batch is not None]
    return list({id(b.runner): b.runner for b in batches if b.runner is not None}.values())


def _together(entries: Sequence[Entry]) -> list[Entry]:
    """Return those attempts that can run in this order: what the inputs of each are bound to runs before it.

    After a loss, an earlier one may be over, or at work in another process: what waits for it is asked for again then.
    """
    found: list[Entry] = []
    nodes: set[str] = set()
    for entry in entries:
        bindings = entry.order.bindings.values()
        if all(node in nodes for binding in bindings for node in nodes_of(binding)):
            found.append(entry)
            nodes.add(entry.order.attempt.node.rpartition(".")[2])
    return found
