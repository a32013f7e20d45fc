"""Children: executions of launch plans that nodes start, each with an id and a record of its own."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Root
from flyte_temporal.spec.execution import ExecutionPhase, RunInput, RunOutput
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import LaunchPlanTarget
from flyte_temporal.spec.search import search_values
from flyte_temporal.spec.shown import details_of, summary_of
from flyte_temporal.workflows.failures import document_of, was_cancelled
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.scope import NodeState

NAME_BYTES = 128
"""Longest id of an execution (`spec.identifiers.execution_id`)."""

PLATFORM_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200))


class Children:
    """Starts child executions and pushes their ends.

    Args:
        given: The run's input.
        inbox: Where ends go.
        recovering: Whether an earlier execution may stand for a child.
    """

    def __init__(self, given: RunInput, inbox: Inbox, recovering: Recovering) -> None:
        self._given = given
        self._inbox = inbox
        self._recovering = recovering

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Start the execution of a launch plan node."""
        anew = not self._recovering.may_recall(state)
        state.attempts += anew  # else when it turns out that there is nothing to take over
        state.child = child_name(self._given.request.id.name, state.path)
        running = asyncio.create_task(self._run(state, inputs, anew=anew))
        self._inbox.watch(state, running, costly=True)
        running.add_done_callback(lambda done: self._on_end(state, done))

    async def _run(
        self, state: NodeState, inputs: dict[str, LiteralValue], *, anew: bool
    ) -> RunOutput | calls.Recalled:
        target, program = state.node.target, state.scope.program
        if not isinstance(target, LaunchPlanTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{state.path} is no launch plan")
        opened: calls.ChildOpened = await workflow.execute_local_activity(
            calls.OPEN_CHILD,
            calls.ChildRequest(
                parent=self._given.request,
                node=state.path,
                name=state.child,
                spec=program.digest,
                launch_plan=target.launch_plan,
                inputs=inputs,
                anew=anew and self._given.request.recover is not None,
            ),
            result_type=calls.ChildOpened,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=PLATFORM_RETRY,
            summary=f"{state.path} {state.child}"[:200],
        )
        request = opened.request
        if opened.recalled is not None:
            self._recovering.settle(state, opened.recalled)
            if opened.recalled.done:
                state.child = request.id.name
                return opened.recalled
        state.attempts = 1
        closure = program.closure.model_copy(
            update={"root": Root(kind="launch_plan", name=target.launch_plan)}
        )
        attributes = [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in search_values(request).items()
        ]
        try:
            handle = await workflow.start_child_workflow(
                request.root.name,
                args=[self._given.model_copy(update={"request": request}), closure],
                id=request.id.name,
                result_type=RunOutput,
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                search_attributes=TypedSearchAttributes(attributes),
                static_summary=summary_of(request),
                static_details=details_of(request),
            )
        except asyncio.CancelledError:
            await asyncio.shield(self._never_started(request.id))
            raise
        output: RunOutput = await handle
        return output

    @staticmethod
    async def _never_started(execution: ExecutionId) -> None:
        """Close the record of a child that was to be stopped before it began."""
        await workflow.execute_local_activity(
            calls.RECORD,
            calls.RecordRequest(
                execution=execution,
                phase=ExecutionPhase.ABORTED,
                reason="The execution that was to start it was stopped.",
                at=workflow.now(),
            ),
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=PLATFORM_RETRY,
        )

    def _on_end(self, state: NodeState, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            found = done.result()
            copied = isinstance(found, calls.Recalled)
            self._inbox.push(Ended(state, outputs=dict(found.outputs), copied=copied))
        elif isinstance(error, asyncio.CancelledError) or (
            self._inbox.was_cancelled(state) and was_cancelled(error)
        ):
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=document_of(error, state.path)))


def child_name(parent: str, node: str) -> str:
    """Return the id of the execution that a node starts: that of its own, and its path."""
    name = f"{parent}.{node.replace('[', '-').replace(']', '')}"
    if len(name) <= NAME_BYTES:
        return name
    tail = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: NAME_BYTES - 17].rstrip('.-_')}-{tail}"
