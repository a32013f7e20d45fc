"""Children: executions of launch plans that nodes start, each with an id and a record of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from flyte_temporal.spec import calls, child_calls, lookup_calls
from flyte_temporal.spec.entities import Closure, Root
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, ExecutionRequest, NodePhase
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import LaunchPlanTarget
from flyte_temporal.spec.repairs import PAUSED_WITH_PARENT, Pause
from flyte_temporal.spec.runs import RunInput, RunLimits, RunOutput
from flyte_temporal.spec.search import search_values
from flyte_temporal.spec.shown import details_of, summary_of
from flyte_temporal.workflows.failures import document_of, of_child, was_cancelled
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.inbox import Ended, Inbox, outcome
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.spans import span
from flyte_temporal.workflows.telling import Telling, tell

NAME_BYTES = 128
"""Longest id of an execution (`spec.identifiers.execution_id`)."""

PLATFORM_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200))


class ChildFailed(Exception):
    """An execution that is followed has failed, or was aborted.

    Args:
        name: Its name.
        error: Its error; None if it was aborted.
    """

    def __init__(self, name: str, error: ErrorDocument | None) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


class Children:
    """Starts child executions and pushes their ends.

    Args:
        given: The run's input.
        inbox: Where ends go.
        recovering: Whether an earlier execution may stand for a child.
        fixes: What code they inherit.
        telling: Sends them messages.
    """

    def __init__(
        self, given: RunInput, inbox: Inbox, recovering: Recovering, fixes: Fixes, telling: Telling
    ) -> None:
        self._fixes = fixes
        self._telling = telling
        self.renamed: Callable[[NodeState], None] = lambda _state: None
        """Told when the execution of a node has got another name."""
        self._given = given
        self._inbox = inbox
        self._recovering = recovering
        self._continues = given.interpreter >= 3
        """Whether the run may continue as new while children are at work."""

    def pass_on(self, pause: Pause, states: Sequence[NodeState]) -> None:
        """Let those that run start nothing new, or go on; those that are only being started are told when they are."""
        self._telling.pause = None if pause.ends else pause
        for state in states:
            if state.child and state.phase is NodePhase.RUNNING:
                self._telling.soon(tell(state.child, PAUSED_WITH_PARENT, pause))

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Start the execution of a launch plan node."""
        anew = not self._recovering.may_recall(state)
        state.attempts += anew  # else when it turns out that there is nothing to take over
        state.child = child_name(self._given.request.id.name, state.path, state.fresh_from)
        self._watch(state, self._run(state, inputs, anew=anew, again=False))

    def resume(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Go on waiting for an execution that an earlier run has started, or was about to."""
        child = self._given.request.id.model_copy(update={"name": state.child})
        if state.child_started:
            self._watch(state, followed(child, self._given.limits))
        else:
            recovers = self._recovering.recovery is not None and not state.rerun
            self._watch(state, self._run(state, inputs, anew=not recovers, again=True))

    def _watch(self, state: NodeState, work: Coroutine[Any, Any, RunOutput | lookup_calls.Recalled]) -> None:
        running = asyncio.create_task(work)
        self._inbox.watch(state, running, costly=True)
        self._inbox.after(running, lambda done: self._on_end(state, done))

    async def _run(
        self, state: NodeState, inputs: dict[str, LiteralValue], *, anew: bool, again: bool
    ) -> RunOutput | lookup_calls.Recalled:
        target = state.node.target
        if not isinstance(target, LaunchPlanTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{state.path} is no launch plan")
        number = state.fresh_from
        while True:
            opened = await self._open(state, target.launch_plan, inputs, anew=anew)
            if opened.recalled is not None:
                self._recovering.settle(state, opened.recalled)
                if opened.recalled.done:
                    state.child = opened.request.id.name
                    return opened.recalled
            state.attempts = max(1, state.attempts)
            if opened.other:
                await _ask_to_stop(opened.request.id)
            else:
                output = await self._output(state, opened.request, target.launch_plan, again=again)
                if output is not None:
                    return output
            go_on(state, self._inbox)
            number += 1
            state.child, state.child_started = (
                child_name(self._given.request.id.name, state.path, number),
                False,
            )
            self.renamed(state)

    async def _open(
        self, state: NodeState, plan: str, inputs: dict[str, LiteralValue], *, anew: bool
    ) -> child_calls.ChildOpened:
        opened: child_calls.ChildOpened = await workflow.execute_local_activity(
            child_calls.OPEN_CHILD,
            child_calls.ChildRequest(
                parent=self._fixes.request(),
                node=state.path,
                name=state.child,
                spec=state.scope.program.digest,
                launch_plan=plan,
                inputs=inputs,
                anew=anew and self._given.request.recover is not None,
            ),
            result_type=child_calls.ChildOpened,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=PLATFORM_RETRY,
            summary=f"{state.path} {state.child}"[:200],
        )
        return opened

    async def _output(
        self, state: NodeState, request: ExecutionRequest, plan: str, *, again: bool
    ) -> RunOutput | None:
        """Start an execution, or find it, and wait for it; None if it is to be started by another name."""
        child = request.id
        try:
            handle = await self._start(request, state.scope.program.closure, plan)
        except asyncio.CancelledError:
            if again:
                await asyncio.shield(_ask_to_stop(child))
            await asyncio.shield(self._never_started(child))
            raise
        except WorkflowAlreadyStartedError:
            if not (again or self._continues):
                raise
            state.child_started = True
            self._telling.tell_pause(child.name)
            # By the run before this one, which did not come to know that any more; or else by one before a reset.
            return await (followed if again else taken_up)(child, self._given.limits)
        state.child_started = True
        self._telling.tell_pause(child.name)
        output: RunOutput = await outcome(handle)
        return output

    async def _start(
        self, request: ExecutionRequest, program: Closure, plan: str
    ) -> workflow.ChildWorkflowHandle[Any, RunOutput]:
        closure = program.model_copy(update={"root": Root(kind="launch_plan", name=plan)})
        attributes = [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in search_values(request).items()
        ]
        again, closing = WorkflowIDReusePolicy.ALLOW_DUPLICATE, workflow.ParentClosePolicy.REQUEST_CANCEL
        if self._continues:
            # Continuing as new counts as an end of the parent, and any other policy would stop the child then. When the
            # execution really ends, its children have ended before.
            again, closing = WorkflowIDReusePolicy.REJECT_DUPLICATE, workflow.ParentClosePolicy.ABANDON
        return await workflow.start_child_workflow(
            request.root.name,
            args=[self._given.model_copy(update={"request": request, "shard": None}), closure],
            id=request.id.name,
            result_type=RunOutput,
            id_reuse_policy=again,
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=closing,
            search_attributes=TypedSearchAttributes(attributes),
            static_summary=summary_of(request),
            static_details=details_of(request),
        )

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
            copied = isinstance(found, lookup_calls.Recalled)
            self._inbox.push(Ended(state, outputs=dict(found.outputs), copied=copied))
        elif isinstance(error, asyncio.CancelledError) or (
            self._inbox.was_cancelled(state) and was_cancelled(error)
        ):
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=_document(error, state.path)))


async def followed(child: ExecutionId, limits: RunLimits) -> RunOutput:
    """Wait for an execution that an earlier run has started: its end is told to that run only.

    If the waiting is cancelled, the execution is asked to stop, and waited for.

    Args:
        child: The execution.
        limits: The run's limits.

    Raises:
        ChildFailed: If it failed, or was aborted by somebody else.
        asyncio.CancelledError: If it has ended because the waiting was cancelled.
    """
    return _given(child, await _end(child_calls.ChildWatch(execution=child), limits))


async def taken_up(
    child: ExecutionId, limits: RunLimits, work: str = "", *, ours: bool = False
) -> RunOutput | None:
    """Wait for an execution, as `followed` does, that has the name of one which was to be started.

    It was started by a run of which a reset has made that undone. What it gives counts, if it goes on or has ended well.

    Args:
        child: The execution.
        limits: The run's limits.
        work: For a shard, what it is to run (`Shard.work`); a child's record says that it is the same.
        ours: Whether the run before this one may have started it: then what it gives counts, however it has ended.

    Returns:
        None if it had ended otherwise by then, or has run something else: it is to run again, by another name.
    """
    ended = await _end(child_calls.ChildWatch(execution=child, found=not ours, work=work), limits)
    shard = ended.shard
    well = ended.phase is ExecutionPhase.SUCCEEDED and not (shard and (shard.failed or shard.stopped))
    same = not ended.other and (shard is None or shard.work == work)
    return _given(child, ended) if same and (well or not ended.before) else None


def go_on(state: NodeState, inbox: Inbox) -> None:
    """Raise CancelledError if a node is not to start anything any more."""
    if state.scope.failing or inbox.was_cancelled(state):
        raise asyncio.CancelledError


async def _end(watch: child_calls.ChildWatch, limits: RunLimits) -> child_calls.ChildEnded:
    watching: asyncio.Task[child_calls.ChildEnded] = workflow.start_activity(
        child_calls.WATCH_CHILD,
        watch,
        result_type=child_calls.ChildEnded,
        start_to_close_timeout=timedelta(days=3650),
        heartbeat_timeout=span(limits.heartbeat_timeout_s),
        retry_policy=PLATFORM_RETRY,
        summary=f"waits for {watch.execution.name}"[:200],
    )
    try:
        return await asyncio.shield(watching)
    except asyncio.CancelledError:
        await _ask_to_stop(watch.execution)
        ended = await watching
        if ended.phase is ExecutionPhase.ABORTED:
            raise
        return ended.model_copy(update={"before": False})


def _given(child: ExecutionId, ended: child_calls.ChildEnded) -> RunOutput:
    if ended.phase is ExecutionPhase.SUCCEEDED:
        return RunOutput(outputs=ended.outputs, shard=ended.shard)
    raise ChildFailed(child.name, ended.error)


async def _ask_to_stop(child: ExecutionId) -> None:
    try:
        await workflow.get_external_workflow_handle(child.name).cancel()
    except FailureError as error:
        workflow.logger.info("%s cannot be asked to stop, it has ended or never began: %s", child.name, error)


def child_name(parent: str, node: str, before: int = 0) -> str:
    """Return the id of the execution that a node starts: that of its own, its path, and how many it has started before."""
    again = f"-r{before}" if before else ""
    name = f"{parent}.{node.replace('[', '-').replace(']', '')}{again}"
    if len(name) <= NAME_BYTES:
        return name
    tail = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: NAME_BYTES - 17].rstrip('.-_')}-{tail}"


def _document(error: BaseException, node: str) -> ErrorDocument:
    return (
        of_child(error.name, error.error, node)
        if isinstance(error, ChildFailed)
        else document_of(error, node)
    )
