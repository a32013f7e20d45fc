"""Attempts of task nodes: asked for as activities, taken in when they end, followed by another where the budget allows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, RunInput
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.workflows.failures import document_of, was_cancelled
from flyte_temporal.workflows.retries import next_attempt
from flyte_temporal.workflows.scope import NodeState

INFRASTRUCTURE = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
"""Temporal's own retry: the infrastructure moved. Unlimited; the activity re-attaches to the same attempt."""

WAKE_S = 0.25
"""Pause before more nodes are started than one activation may start, if nothing ends before. Servers with Temporal's
default settings round it up to a second; short tasks never wait for it."""


@dataclass
class Ended:
    """What became of an attempt.

    Args:
        state: Its node.
        outputs: Its outputs, if it succeeded.
        error: Its error, if it failed.
        again: Whether the node may be tried once more now.
        cancelled: Whether it ended because we asked it to.
    """

    state: NodeState
    outputs: dict[str, LiteralValue] | None = None
    error: ErrorDocument | None = None
    again: bool = False
    cancelled: bool = False


class Attempts:
    """Starts attempts and collects those that have ended.

    Args:
        given: The run's input.
        closure: Where tasks are looked up.
    """

    def __init__(self, given: RunInput, closure: Closure) -> None:
        self._given = given
        self._closure = closure
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._cancelled: set[str] = set()
        """Nodes whose attempt was asked to end; looked up only, never iterated."""
        self._ended: list[Ended] = []
        self._wake = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Return how many attempts run or wait for their turn after a pause, or have ended and were not taken in."""
        return len(self._running) + len(self._ended)

    async def ended(self) -> list[Ended]:
        """Wait until an attempt has ended, or the time of `wake_soon` has come; return what has ended, in order."""
        await self._wake.wait()
        self._wake.clear()
        taken, self._ended = self._ended, []
        return taken

    def wake_soon(self) -> None:
        """Let `ended` return soon, in an activation of its own, whether or not an attempt ends by then."""
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(_pause(WAKE_S, "more nodes than one activation may start"))
            self._timer.add_done_callback(lambda _done: self._wake.set())

    def wake_never(self) -> None:
        """Take `wake_soon` back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Ask for the next attempt of a node."""
        target = state.node.target
        if not isinstance(target, TaskTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{state.path} is not a task")
        state.attempts += 1
        attempt = AttemptId(
            execution=self._given.request.id,
            node=state.path,
            number=state.attempts,
            token=f"{workflow.random().getrandbits(48):012x}",
        )
        state.attempt_key = attempt.key
        request = self._request(attempt, target.task, inputs, state)
        limits = self._given.limits
        handle: asyncio.Task[Any] = workflow.start_activity(
            target.task,
            request,
            result_type=calls.AttemptResult,
            activity_id=f"{state.path}#{state.attempts}",
            start_to_close_timeout=timedelta(seconds=limits.run_timeout_s),
            heartbeat_timeout=timedelta(seconds=limits.heartbeat_timeout_s),
            retry_policy=INFRASTRUCTURE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=_summary(state),
        )
        handle.set_name(state.path)
        self._running[state.path] = handle
        handle.add_done_callback(lambda done: self._on_end(state, done))

    def _request(
        self, attempt: AttemptId, task: str, inputs: dict[str, LiteralValue], state: NodeState
    ) -> calls.AttemptRequest:
        request = self._given.request
        return calls.AttemptRequest(
            attempt=attempt,
            spec=request.spec,
            task=task,
            inputs=inputs,
            environment=request.environment,
            overrides=state.node.overrides,
            order=state.order,
            name=state.node.name or state.node.id,
            inline_bytes=self._given.limits.inline_bytes,
            created_at=workflow.info().start_time,
            first_started_at=state.started_at,
        )

    def cancel(self, state: NodeState) -> bool:
        """Ask the attempt of a node, or the pause before its next one, to end; return whether there is one."""
        task = self._running.get(state.path)
        if task is None:
            return False
        self._cancelled.add(state.path)
        task.cancel()
        return True

    def _on_end(self, state: NodeState, done: asyncio.Task[Any]) -> None:
        self._running.pop(state.path, None)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            result: calls.AttemptResult = done.result()
            self._push(Ended(state, outputs=dict(result.outputs)))
        elif (
            state.path in self._cancelled or isinstance(error, asyncio.CancelledError) or was_cancelled(error)
        ):
            # An attempt that does not end in time after it was asked to is no failure of its node.
            self._push(Ended(state, cancelled=True))
        else:
            self._on_failure(state, document_of(error, state.path))

    def _on_failure(self, state: NodeState, error: ErrorDocument) -> None:
        state.error = error
        policy = self._closure.tasks[state.node.target.task].policy  # type: ignore[union-attr]
        if state.node.overrides is not None:
            policy = state.node.overrides.apply(policy)
        pause = next_attempt(
            error, state.budget, policy.retries, self._given.limits, workflow.random().random()
        )
        if pause is None or state.scope.failing:
            self._push(Ended(state, error=error))
        elif pause == 0:
            self._push(Ended(state, error=error, again=True))
        else:
            why = f"{state.path}: pause before attempt {state.attempts + 1}"
            timer = asyncio.create_task(_pause(pause, why), name=state.path)
            self._running[state.path] = timer
            timer.add_done_callback(lambda done: self._on_pause(state, error, done))

    def _on_pause(self, state: NodeState, error: ErrorDocument, done: asyncio.Task[Any]) -> None:
        self._running.pop(state.path, None)
        if done.cancelled():
            self._push(Ended(state, cancelled=True))
        else:
            self._push(Ended(state, error=error, again=True))

    def _push(self, ended: Ended) -> None:
        self._ended.append(ended)
        self._wake.set()


async def _pause(seconds: float, why: str) -> None:
    await workflow.sleep(seconds, summary=why)


def _summary(state: NodeState) -> str:
    name = state.node.name
    short = state.path if not name or name == state.node.id else f"{state.path} {name}"
    return short[:200] if state.attempts == 1 else f"{short[:190]} attempt {state.attempts}"
