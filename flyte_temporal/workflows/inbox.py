"""What is under way, and what of it has ended: the one place where the run waits.

Attempts, children, gates and reads each start an asyncio task for a node here and push an `Ended` when it is over; the
loop of `run` takes them in, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

from temporalio import workflow

from flyte_temporal.spec import calls, lookup_calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.runs import RunOutput
from flyte_temporal.workflows.scope import NodeState

T = TypeVar("T")

WAKE_S = 0.25
"""Pause before more nodes are started than one activation may start, if nothing ends before. Servers with Temporal's
default settings round it up to a second; short tasks never wait for it."""


@dataclass
class Ended:
    """What became of something that was started for a node.

    Args:
        state: The node.
        outputs: Its outputs, if it succeeded.
        shard: What a shard gave, and how its items ended.
        closure: What to run for its outputs, if it was an attempt of a dynamic task.
        read: What was read for it.
        split: The lists that were cut for it.
        error: Its error, if it failed.
        again: Whether the node may be tried once more now.
        left: Whether its activity ended without it: it did not begin, or was handed back.
        cancelled: Whether it ended because we asked it to.
        answer: What is known about it before it is computed.
        stored: Whether its outputs are remembered now; it had ended before.
        copied: Whether its outputs are those of an earlier execution.
        doubtful: Whether nothing proves, though, that its attempt is over.
    """

    state: NodeState
    outputs: dict[str, LiteralValue] | None = None
    shard: RunOutput | None = None
    closure: Closure | None = None
    read: calls.ReadResult | None = None
    split: calls.SplitResult | None = None
    error: ErrorDocument | None = None
    again: bool = False
    left: bool = False
    cancelled: bool = False
    answer: lookup_calls.LookupAnswer | None = None
    stored: bool | None = None
    copied: bool = False
    doubtful: bool = False

    @property
    def goes_on(self) -> bool:
        """Return whether the node goes on with what came, and so has not ended itself."""
        return self.closure is not None or self.read is not None or self.split is not None


class Inbox:
    """Collects what ends."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._cancelled: set[str] = set()
        """Paths of nodes that were asked to end; looked up only, never iterated."""
        self._costly: dict[str, int] = {}
        """What counts against the limits, by path, and as how much."""
        self._pending = 0
        self._asked: WeakSet[asyncio.Task[Any]] = WeakSet()
        """What was cancelled; looked up only. Several nodes may share one activity."""
        self._held: set[str] = set()
        """Paths of nodes that wait for something which is not theirs alone; counted only."""
        self._ended: list[Ended] = []
        self._broken: Exception | None = None
        """What was raised where an end was to be handed over."""
        self._wake = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """Return how many things are under way, or have ended and were not taken in."""
        return len(self._running) + len(self._held) + len(self._ended) + (self._broken is not None)

    @property
    def pending(self) -> int:
        """Return how many attempts and children are under way: what the limits count."""
        return self._pending

    def watch(self, state: NodeState, task: asyncio.Task[Any], *, costly: bool, weight: int = 1) -> None:
        """Keep something that was started for a node; whoever started it pushes its end.

        Args:
            state: The node.
            task: What to cancel if the node is to end.
            costly: Whether it counts against the limits of what may be pending.
            weight: As how much it counts.
        """
        # What the call stack shows, in Temporal's UI and elsewhere.
        task.set_name(state.path if state.name == state.node.id else f"{state.path} {state.name}")
        self._running[state.path] = task
        if costly:
            self._costly[state.path] = weight
            self._pending += weight

    def after(self, task: asyncio.Task[T], then: Callable[[asyncio.Task[T]], None]) -> None:
        """Have something done when a task is over, which pushes what has ended by it.

        What it raises is raised to the loop: as a callback's it would only be logged, the end would be lost, and the run would
        wait for it for ever, or end without it. So the workflow task fails until a better build of ours takes it.
        """

        def done(task: asyncio.Task[T]) -> None:
            try:
                then(task)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be lost
                self._broken = self._broken or error
                self.wake()

        task.add_done_callback(done)

    def hold(self, state: NodeState) -> None:
        """Keep the loop waiting for a node which has no task of its own that could be cancelled."""
        self._held.add(state.path)

    def forget(self, state: NodeState) -> None:
        """Drop what was kept for a node, because it is over."""
        self._running.pop(state.path, None)
        self._pending -= self._costly.pop(state.path, 0)
        self._held.discard(state.path)

    def push(self, ended: Ended) -> None:
        """Hand something that has ended to the loop."""
        self._ended.append(ended)
        self._wake.set()

    def cancel(self, state: NodeState) -> bool:
        """Ask what runs for a node to end; return whether there is anything that was not asked before."""
        task = self._running.get(state.path)
        if task is None:
            return False
        self._cancelled.add(state.path)
        if task in self._asked:
            return False
        self._asked.add(task)
        task.cancel()
        return True

    def stopping(self, state: NodeState) -> bool:
        """Return whether something still runs for a node that was asked to end."""
        return state.path in self._running and state.path in self._cancelled

    def was_cancelled(self, state: NodeState) -> bool:
        """Return whether `cancel` was called for a node."""
        return state.path in self._cancelled

    def revive(self, state: NodeState) -> None:
        """Forget that a node was asked to end, because it is to be tried again."""
        self._cancelled.discard(state.path)

    def wake(self) -> None:
        """Let `ended` return, whether or not anything has ended."""
        self._wake.set()

    async def ended(self) -> list[Ended]:
        """Wait until something has ended, or somebody wakes the loop; return what has ended, in order.

        Raises:
            RuntimeError: If an end was lost by an error of ours (`after`).
        """
        await self._wake.wait()
        self._wake.clear()
        if self._broken is not None:
            raise RuntimeError(f"An end was not taken in: {self._broken!r}") from self._broken
        taken, self._ended = self._ended, []
        return taken

    def wake_soon(self) -> None:
        """Let `ended` return soon, in an activation of its own, whether or not anything ends by then."""
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(pause(WAKE_S, "more nodes than one activation may start"))
            self._timer.add_done_callback(lambda _done: self.wake())

    def wake_never(self) -> None:
        """Take `wake_soon` back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def outcome(task: asyncio.Task[T]) -> T:
    """Return what something that was started gives, or raise what it raised, even to somebody cancelled at that moment.

    Who asks for a stop and what ends can come in one activation: then the end is known, and only its taker is too late.
    """
    try:
        return await task
    except asyncio.CancelledError:
        if task.done() and not task.cancelled():
            return task.result()
        raise


async def pause(seconds: float, why: str) -> None:
    """Wait by a timer of the server; `why` is shown beside it."""
    await workflow.sleep(seconds, summary=why)
