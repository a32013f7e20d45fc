"""Attempts of task nodes: asked for as activities, taken in when they end, followed by another where the budget allows."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, RunInput
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.workflows.failures import document_of, was_cancelled
from flyte_temporal.workflows.inbox import Ended, Inbox, pause
from flyte_temporal.workflows.retries import next_attempt
from flyte_temporal.workflows.scope import NodeState

INFRASTRUCTURE = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
"""Temporal's own retry: the infrastructure moved. Unlimited; the activity re-attaches to the same attempt."""

STOP_TIMEOUT_S = 600.0
"""Longest time of one try to stop an attempt; far longer than any grace."""


class Attempts:
    """Starts attempts and pushes their ends.

    Args:
        given: The run's input.
        inbox: Where ends go.
        began: When the execution started.
    """

    def __init__(self, given: RunInput, inbox: Inbox, began: datetime) -> None:
        self._given = given
        self._inbox = inbox
        self._began = began
        self._resumed: set[str] = set()
        """Paths of nodes whose present attempt was begun by an earlier run; looked up only, never iterated."""

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Ask for the next attempt of a task node."""
        state.attempts += 1
        state.due = None
        self._resumed.discard(state.path)
        token = f"{workflow.random().getrandbits(48):012x}"
        attempt = self._id(state, token)
        state.attempt_key = attempt.key
        self._ask(state, self._request(attempt, inputs, state))

    def resume(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Go on with the attempt that an earlier run asked for, or with the pause before the next one.

        Temporal has dropped the activity, the attempt itself goes on: the same one is asked for again, and found.
        """
        if state.due is not None and state.error is not None:
            self._pause(state, state.error, (state.due - workflow.now()).total_seconds())
            return
        self._resumed.add(state.path)
        request = self._request(self._present(state), inputs, state)
        self._ask(state, request.model_copy(update={"again": True}))

    def _id(self, state: NodeState, token: str) -> AttemptId:
        return AttemptId(
            execution=self._given.request.id, node=state.path, number=state.attempts, token=token
        )

    def _present(self, state: NodeState) -> AttemptId:
        return self._id(state, state.attempt_key.rpartition("-")[2])

    def _ask(self, state: NodeState, request: calls.AttemptRequest) -> None:
        limits = self._given.limits
        handle: asyncio.Task[Any] = workflow.start_activity(
            request.task,
            request,
            result_type=calls.AttemptResult,
            activity_id=f"{state.path}#{state.attempts}",
            start_to_close_timeout=timedelta(seconds=limits.run_timeout_s),
            heartbeat_timeout=timedelta(seconds=limits.heartbeat_timeout_s),
            retry_policy=INFRASTRUCTURE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=_summary(state),
        )
        self._inbox.watch(state, handle, costly=True)
        handle.add_done_callback(lambda done: self._on_end(state, done))

    def _request(
        self, attempt: AttemptId, inputs: dict[str, LiteralValue], state: NodeState
    ) -> calls.AttemptRequest:
        request = self._given.request
        target = state.node.target
        if not isinstance(target, TaskTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{state.path} is not a task")
        return calls.AttemptRequest(
            attempt=attempt,
            spec=state.scope.program.digest,
            task=target.task,
            inputs=inputs,
            environment=request.environment,
            overrides=state.node.overrides,
            order=state.order,
            name=state.name,
            inline_bytes=self._given.limits.inline_bytes,
            created_at=self._began,
            first_started_at=state.started_at,
        )

    def _on_end(self, state: NodeState, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            result: calls.AttemptResult = done.result()
            state.spec = result.spec
            self._inbox.push(Ended(state, outputs=dict(result.outputs), closure=result.closure))
        elif (
            self._inbox.was_cancelled(state)
            or isinstance(error, asyncio.CancelledError)
            or was_cancelled(error)
        ):
            # An attempt that does not end in time after it was asked to is no failure of its node.
            self._on_cancelled(state)
        else:
            self._on_failure(state, document_of(error, state.path))

    def _on_cancelled(self, state: NodeState) -> None:
        if state.path not in self._resumed:
            self._inbox.push(Ended(state, cancelled=True))
            return
        # Perhaps no worker had taken up the activity of this run yet. Then nobody was told to stop the attempt, which
        # may be at work since the earlier run.
        self._resumed.discard(state.path)
        stopping: asyncio.Task[Any] = workflow.start_activity(
            calls.STOP,
            self._request(self._present(state), {}, state),
            start_to_close_timeout=timedelta(seconds=STOP_TIMEOUT_S),
            heartbeat_timeout=timedelta(seconds=self._given.limits.heartbeat_timeout_s),
            retry_policy=INFRASTRUCTURE,
            cancellation_type=workflow.ActivityCancellationType.ABANDON,
            summary=f"{state.path} stops"[:200],
        )
        self._inbox.watch(state, stopping, costly=True)
        stopping.add_done_callback(lambda _done: self._on_stopped(state))

    def _on_stopped(self, state: NodeState) -> None:
        self._inbox.forget(state)
        self._inbox.push(Ended(state, cancelled=True))

    def _on_failure(self, state: NodeState, error: ErrorDocument) -> None:
        state.error = error
        policy = state.scope.program.closure.tasks[state.node.target.task].policy  # type: ignore[union-attr]
        if state.node.overrides is not None:
            policy = state.node.overrides.apply(policy)
        wait = next_attempt(
            error, state.budget, policy.retries, self._given.limits, workflow.random().random()
        )
        if wait is None or state.scope.failing:
            self._inbox.push(Ended(state, error=error))
        elif wait == 0:
            self._inbox.push(Ended(state, error=error, again=True))
        else:
            state.due = workflow.now() + timedelta(seconds=wait)
            self._pause(state, error, wait)

    def _pause(self, state: NodeState, error: ErrorDocument, wait: float) -> None:
        why = f"{state.path}: pause before attempt {state.attempts + 1}"
        timer = asyncio.create_task(pause(max(wait, 0.0), why))
        self._inbox.watch(state, timer, costly=True)
        timer.add_done_callback(lambda done: self._on_pause(state, error, done))

    def _on_pause(self, state: NodeState, error: ErrorDocument, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        if done.cancelled():
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=error, again=True))


def _summary(state: NodeState) -> str:
    name = state.name
    short = state.path if name == state.node.id else f"{state.path} {name}"
    return short[:200] if state.attempts == 1 else f"{short[:190]} attempt {state.attempts}"
