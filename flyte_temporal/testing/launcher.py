"""`FakeLauncher`: attempts as calls of a function in this process, with the contract of the real launchers.

Several fakes that share a `FakeMachine` behave like launchers of one machine: what one started, another adopts.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.identifiers import AttemptId

Run = Callable[[AttemptOrder], Awaitable[None] | None]


@dataclass
class FakeMachine:
    """What outlives a fake launcher: the attempts that run, and the states of those that ended.

    Args:
        running: Attempts at work, by key.
        states: Last known states, by key.
        started: Keys of all attempts ever started, in order; a test can see that none is in it twice.
    """

    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    states: dict[str, AttemptState] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)


class FakeLauncher:
    """Runs each order through a function.

    Args:
        run: Does what a task process would do, manifest included; may be a coroutine function. If it raises, the
            process "died" with exit code 1 and the exception's text.
        machine: Shared with other fakes, if adoption is what is tested.
        failed: Says whether an attempt that has ended left a failure; a batch then ends, unless it is to go on.
    """

    def __init__(
        self,
        run: Run,
        machine: FakeMachine | None = None,
        failed: Callable[[AttemptOrder], bool] | None = None,
    ) -> None:
        self._run = run
        self._fails = failed or (lambda _order: False)
        self._batches: set[asyncio.Future[None]] = set()
        self.machine = machine or FakeMachine()

    async def start(self, order: AttemptOrder) -> None:
        """Start an attempt, or adopt the one that already has its id."""
        key = order.attempt.key
        if key in self.machine.states:
            return
        self.machine.started.append(key)
        self.machine.states[key] = AttemptState(phase=AttemptPhase.RUNNING, started_at=datetime.now(UTC))
        self.machine.running[key] = asyncio.ensure_future(self._perform(order))

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        """Return the state of an attempt; wait up to `timeout_s` seconds for it to be over."""
        running = self.machine.running.get(attempt.key)
        if running is not None and timeout_s > 0:
            await asyncio.wait((running,), timeout=timeout_s)
        return self.machine.states.get(
            attempt.key, AttemptState(phase=AttemptPhase.LOST, message="No trace of this attempt is left.")
        )

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        """Stop an attempt. A coroutine is cancelled; a plain function cannot be and is waited for."""
        del grace_s, intent
        self.machine.states.setdefault(attempt.key, AttemptState(phase=AttemptPhase.LOST, ran=False))
        running = self.machine.running.get(attempt.key)
        if running is not None and not running.done():
            running.cancel()
            await asyncio.wait((running,))
        return await self.observe(attempt)

    async def release(self, attempt: AttemptId) -> None:
        """Forget an attempt; it does not start again."""
        self.machine.running.pop(attempt.key, None)
        if attempt.key in self.machine.states:
            self.machine.states[attempt.key] = AttemptState(
                phase=AttemptPhase.LOST, message="It was released."
            )

    async def start_batch(self, orders: Sequence[AttemptOrder], *, go_on: bool) -> None:
        """Start attempts one after the other; it is for `run` to make sense of inputs that are bound to earlier ones."""
        fresh = [order for order in orders if order.attempt.key not in self.machine.states]
        queued = AttemptState(phase=AttemptPhase.QUEUED)
        for order in fresh:
            # By its identity, a state tells to which batch the attempt belongs.
            self.machine.states[order.attempt.key] = queued
        batch = asyncio.ensure_future(self._one_by_one(fresh, queued, go_on=go_on))
        self._batches.add(batch)
        batch.add_done_callback(self._batches.discard)

    async def observe_batch(
        self, attempts: Sequence[AttemptId], timeout_s: float = 0.0
    ) -> dict[str, AttemptState]:
        """Return the states of the attempts that are known; wait for one to change."""
        deadline = time.monotonic() + timeout_s
        keys = [attempt.key for attempt in attempts]
        before = [self.machine.states.get(key) for key in keys]
        while before == [self.machine.states.get(key) for key in keys] and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return {key: self.machine.states[key] for key in keys if key in self.machine.states}

    async def withdraw(self, attempts: Sequence[AttemptId]) -> None:
        """Forget those that have not begun."""
        for attempt in attempts:
            state = self.machine.states.get(attempt.key)
            if state is not None and state.phase is AttemptPhase.QUEUED:
                del self.machine.states[attempt.key]

    async def _one_by_one(self, orders: Sequence[AttemptOrder], queued: AttemptState, *, go_on: bool) -> None:
        failed = False
        for order in orders:
            if self.machine.states.get(order.attempt.key) is not queued:
                continue
            del self.machine.states[order.attempt.key]
            if not failed or go_on:
                await self.start(order)
                await asyncio.wait((self.machine.running[order.attempt.key],))
                failed = failed or self._fails(order)

    async def close(self) -> None:
        """Let go; attempts at work go on."""

    def lose(self, attempt: AttemptId) -> None:
        """Let an attempt vanish, as if the machine had gone down."""
        running = self.machine.running.pop(attempt.key, None)
        if running is not None:
            running.cancel()
        self.machine.states[attempt.key] = AttemptState(
            phase=AttemptPhase.LOST, message="The machine went down."
        )

    async def _perform(self, order: AttemptOrder) -> None:
        key = order.attempt.key
        try:
            if inspect.iscoroutinefunction(self._run):
                await self._run(order)
            else:
                await asyncio.to_thread(self._run, order)
            end = AttemptState(phase=AttemptPhase.EXITED, exit_code=0)
        except asyncio.CancelledError:
            end = AttemptState(phase=AttemptPhase.EXITED, exit_code=-15, message="It was stopped.")
        except Exception as error:  # noqa: BLE001 - whatever the function raises is how this process died
            end = AttemptState(
                phase=AttemptPhase.EXITED, exit_code=1, message=f"{type(error).__name__}: {error}"
            )
        if self.machine.states.get(key, end).phase is not AttemptPhase.LOST:
            self.machine.states[key] = end
