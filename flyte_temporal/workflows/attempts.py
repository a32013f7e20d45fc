"""Attempts of task nodes: asked for as activities, taken in when they end, followed by another where the budget allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.clusters import attempts_queue
from flyte_temporal.spec.execution import CacheStatus, ErrorDocument, FailedAttempt
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.workflows.body import Body
from flyte_temporal.workflows.failures import checkpoint_of, document_of, says_itself, was_cancelled
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.forming import Forming
from flyte_temporal.workflows.inbox import Ended, Inbox, pause
from flyte_temporal.workflows.retries import Decision, decide, on_spot
from flyte_temporal.workflows.scope import NodeState, Scope
from flyte_temporal.workflows.spans import bounded, span

INFRASTRUCTURE = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
)
"""Temporal's own retry: the infrastructure moved. Unlimited; the activity re-attaches to the same attempt."""

KEPT = 10
"""Failed attempts of a node in its record."""
MESSAGE_CHARS = 500
SHOWN_S = 1.0
"""Pauses from this length on are recorded while they last."""


class Attempts:
    """Starts attempts and pushes their ends.

    Args:
        given: The run's input.
        inbox: Where ends go.
        forming: Who wants to know how long attempts take.
        changed: Told of nodes that wait for their next attempt.
        fixes: With which code they run.
    """

    def __init__(
        self,
        given: RunInput,
        inbox: Inbox,
        forming: Forming,
        changed: Callable[[NodeState], None],
        fixes: Fixes,
    ) -> None:
        self._fixes = fixes
        self._given = given
        self._changed = changed
        self._inbox = inbox
        self.began = fixes.began
        """When the execution started."""
        self._forming = forming
        self._proves = given.interpreter >= 3
        """Whether attempts that were cancelled are seen to be over."""

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Ask for the next attempt of a task node, or again for one that has not ended."""
        had = bool(state.token)
        request = self._request(self.attempt_of(state), inputs, state)
        # One that was handed back may have ended since then, where this worker cannot see it: its manifest is looked for.
        self._ask(state, request.model_copy(update={"again": True}) if had else request)

    def resume(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Go on with the attempt that an earlier run asked for, or with the pause before the next one.

        Temporal has dropped the activity, the attempt itself goes on: the same one is asked for again, and found.
        """
        if state.due is not None and state.error is not None:
            left = (state.due - workflow.now()).total_seconds()
            self._pause(state, state.error, left, "continued")
            return
        request = self._request(self.attempt_of(state), inputs, state)
        self._ask(state, request.model_copy(update={"again": True}))

    def _ask(self, state: NodeState, request: calls.AttemptRequest) -> None:
        handle: asyncio.Task[Any] = workflow.start_activity(
            task_of(state),
            request,
            result_type=calls.AttemptResult,
            activity_id=f"{state.path}#{state.attempts}",
            task_queue=attempts_queue(workflow.info().task_queue, request.environment),
            **options(self._given.limits),
            summary=_summary(state),
        )
        self._inbox.watch(state, handle, costly=True)
        self._inbox.after(handle, lambda done: self._on_end(state, done))

    def attempt_of(self, state: NodeState) -> AttemptId:
        """Return the attempt that a node is at: a new one, unless one was asked for that has not ended."""
        limits = self._given.limits
        if not state.token:
            state.attempts += 1
            state.token = f"{workflow.random().getrandbits(48):012x}"
            state.tokens.append(state.token)
            state.asked_at = workflow.now()
            state.due = None
            state.memory = state.budget.memory
            state.on_spot = on_spot(state.budget, limits, interruptible=_interruptible(state))
        state.reason = ""
        attempt = AttemptId(
            execution=self._given.request.id,
            node=state.path,
            number=state.attempts,
            token=state.token,
        )
        state.attempt_key = attempt.key
        return attempt

    def _request(
        self, attempt: AttemptId, inputs: dict[str, LiteralValue], state: NodeState
    ) -> calls.AttemptRequest:
        code = self._fixes.code(state, task_of(state))
        return calls.AttemptRequest(
            attempt=attempt,
            spec=code.spec,
            task=code.task,
            inputs=inputs,
            environment=code.environment,
            overrides=state.overrides(),
            order=state.order,
            name=state.name,
            inline_bytes=self._given.limits.inline_bytes,
            created_at=self.began,
            first_started_at=state.started_at,
            memo=state.memo,
            cache=state.cache,
            earlier=tuple(token for token in state.tokens if token != attempt.token),
            checkpoint_from=state.checkpoint_from,
            asked_at=state.asked_at,
            memory=state.memory,
            interruptible=state.on_spot,
            failed=tuple(state.failed),
            repairs=tuple(state.repairs),
        )

    def _on_end(self, state: NodeState, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        self._forming.landed(state)
        state.token = ""
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            result: calls.AttemptResult = done.result()
            if result.lease_lost:
                state.attempts -= 1
                self._inbox.push(Ended(state, again=True))
                return
            if result.put_failed:
                state.cache = CacheStatus.PUT_FAILED
            if result.started_at is not None and result.finished_at is not None:
                self._forming.measured(state, (result.finished_at - result.started_at).total_seconds())
            state.spec = result.spec
            state.checkpoint = result.checkpoint or state.checkpoint
            self._inbox.push(Ended(state, outputs=dict(result.outputs), closure=result.closure))
        elif (
            self._inbox.was_cancelled(state)
            or isinstance(error, asyncio.CancelledError)
            or was_cancelled(error)
        ):
            # An attempt that does not end in time after it was asked to is no failure of its node.
            doubtful = self._proves and not says_itself(error)
            self._inbox.push(Ended(state, cancelled=True, doubtful=doubtful))
        else:
            state.checkpoint = checkpoint_of(error) or state.checkpoint
            self.failed(state, document_of(error, state.path))

    def failed(self, state: NodeState, error: ErrorDocument) -> None:
        """Decide what follows from a failed attempt: the one place where that is done."""
        state.error = error
        decision = decide(error, state.budget, state.policy(), self._given.limits, workflow.random().random())
        _note(state, error, decision)
        wait = bounded(decision.wait_s) if decision.wait_s is not None else None
        if wait is None or state.scope.failing or state.doom is not None:
            self._inbox.push(Ended(state, error=error))
        elif wait == 0:
            self._inbox.push(Ended(state, error=error, again=True))
        else:
            state.due = workflow.now() + timedelta(seconds=wait)
            state.reason = f"{error.code}: {decision.why}"
            if self._proves and wait >= SHOWN_S:
                self._changed(state)
            self._pause(state, error, wait, decision.why)

    def _pause(self, state: NodeState, error: ErrorDocument, wait: float, reason: str) -> None:
        why = f"{state.path}: pause before attempt {state.attempts + 1} ({reason})"
        timer = asyncio.create_task(pause(max(wait, 0.0), why))
        self._inbox.watch(state, timer, costly=True)
        self._inbox.after(timer, lambda done: self._on_pause(state, error, done))

    def _on_pause(self, state: NodeState, error: ErrorDocument, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        if done.cancelled():
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=error, again=True))


def options(limits: RunLimits) -> dict[str, Any]:
    """Return how activities of attempts are asked for, of one or of several."""
    return {
        "start_to_close_timeout": span(limits.run_timeout_s),
        "heartbeat_timeout": span(limits.heartbeat_timeout_s),
        "retry_policy": INFRASTRUCTURE,
        "cancellation_type": workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


def task_of(state: NodeState) -> str:
    """Return the name of the task that a node runs."""
    target = state.node.target
    if not isinstance(target, TaskTarget):  # pragma: no cover - the caller sorts kinds
        raise TypeError(f"{state.path} is not a task")
    return target.task


def _note(state: NodeState, error: ErrorDocument, decision: Decision) -> None:
    """Keep a failed attempt for the node's record; the last ones only, so that records stay small."""
    state.failed.append(
        FailedAttempt(
            number=state.attempts,
            verdict=decision.verdict,
            code=error.code,
            message=error.message[:MESSAGE_CHARS],
            attempt_key=state.attempt_key,
            asked_at=state.asked_at,
            finished_at=workflow.now(),
            memory=state.memory,
            interruptible=state.on_spot,
            next=decision.why,
        )
    )
    del state.failed[:-KEPT]


def _interruptible(state: NodeState) -> bool:
    """Return what the task, or else the nearest workflow around it, says about machines that can be taken away."""
    said = state.policy().interruptible
    scope: Scope | None = state.scope
    while said is None and scope is not None:
        said = scope.spec.interruptible if isinstance(scope, Body) else None
        scope = scope.outer
    return bool(said)


def _summary(state: NodeState) -> str:
    name = state.name
    short = state.path if name == state.node.id else f"{state.path} {name}"
    return short[:200] if state.attempts == 1 else f"{short[:190]} attempt {state.attempts}"
