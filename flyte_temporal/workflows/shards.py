"""Shards: runs that execute a part of a map's items each. Started, watched, and stopped when the map has failed.

The same shape as `children`. A shard has no record of its own: its items are nodes of the execution that the map belongs to.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ExecutionRequest, Fix
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.nodes import LaunchPlanTarget, TaskTarget, WorkflowTarget
from flyte_temporal.spec.repairs import FIXED_WITH_PARENT
from flyte_temporal.spec.runs import WORK, RunInput, RunOutput, Shard
from flyte_temporal.spec.search import PHASE, search_values
from flyte_temporal.workflows.arrays import array_target
from flyte_temporal.workflows.children import ChildFailed, child_name, followed, go_on, taken_up
from flyte_temporal.workflows.failures import shard_aborted, shard_document_of, was_cancelled
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.inbox import Ended, Inbox, outcome
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.telling import Telling, tell


class Shards:
    """Starts shards and pushes their ends.

    Args:
        given: The run's input.
        inbox: Where ends go.
        fixes: Code that was brought into the run.
        telling: Sends them messages.
    """

    def __init__(self, given: RunInput, inbox: Inbox, fixes: Fixes, telling: Telling) -> None:
        self._given = given
        self._inbox = inbox
        self._fixes = fixes
        self._telling = telling
        self._running: dict[tuple[str, int], tuple[NodeState, Shard]] = {}
        """By path of the array node and position of the first item."""
        self._met: set[str] = set()
        """Shards that are waited for and were not started by this run; looked up only."""

    def start(self, state: NodeState, shard: Shard, weight: int) -> None:
        """Start a shard.

        Args:
            state: Its state.
            shard: What it is to run.
            weight: As how many attempts it counts against the limits of what may be pending.
        """
        state.attempts += 1
        state.child = shard_id(self._given.request.id.name, shard)
        self._watch(state, shard, weight, self._run(state, shard, again=False))

    def resume(self, state: NodeState, shard: Shard, weight: int) -> None:
        """Go on waiting for a shard that an earlier run has started, or was about to; arguments as for `start`."""
        work = self._followed(state) if state.child_started else self._run(state, shard, again=True)
        self._watch(state, shard, weight, work)

    def _watch(
        self, state: NodeState, shard: Shard, weight: int, work: Coroutine[Any, Any, RunOutput]
    ) -> None:
        self._running[shard.path, shard.offset] = state, shard
        running = asyncio.create_task(work)
        self._inbox.watch(state, running, costly=True, weight=weight)
        self._inbox.after(running, lambda done: self._on_end(state, shard, done))

    async def _run(self, state: NodeState, shard: Shard, *, again: bool) -> RunOutput:
        known, number = self._fixes.lasting, self._number(state, shard)
        while True:
            try:
                handle = await self._start(state, shard)
                break
            except WorkflowAlreadyStartedError:
                # By the run before this one, which did not come to know that any more, nor with which code; or else by one
                # before a reset, and then perhaps for something else: it is this node's only once that is known.
                self._met.add(state.child)
                self._tell(state, self._fixes.lasting)
                self._telling.tell_pause(state.child)
                output = await self._taken_up(state, shard, again=again)
                if output is not None:
                    return output
                go_on(state, self._inbox)
                number += 1
                state.failed_items = 0
                state.child = shard_id(self._given.request.id.name, shard, number)
        state.child_started = True
        self._tell(state, self._fixes.lasting[len(known) :])
        self._telling.tell_pause(state.child)
        given: RunOutput = await outcome(handle)
        return given

    def _number(self, state: NodeState, shard: Shard) -> int:
        """Return how many shards of other inputs, or that have failed, were met under the names before that of a node's."""
        name = self._given.request.id.name
        return next(number for number in itertools.count() if shard_id(name, shard, number) == state.child)

    async def _followed(self, state: NodeState) -> RunOutput:
        return await followed(self._id(state), self._given.limits)

    async def _taken_up(self, state: NodeState, shard: Shard, *, again: bool) -> RunOutput | None:
        return await taken_up(self._id(state), self._given.limits, work=shard.work(), ours=again)

    def _id(self, state: NodeState) -> ExecutionId:
        return self._given.request.id.model_copy(update={"name": state.child})

    async def _start(self, state: NodeState, shard: Shard) -> workflow.ChildWorkflowHandle[Any, RunOutput]:
        request = self._given.request
        values = {name: value for name, value in search_values(request).items() if name != PHASE}
        attributes = [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()
        ]
        last = shard.offset + shard.count - 1
        # As for children: continuing as new counts as an end of the parent, and would stop the shard.
        return await workflow.start_child_workflow(
            _type_of(shard),
            args=[
                self._given.model_copy(update={"shard": shard, "request": self._request(state, shard)}),
                state.scope.program.closure,
            ],
            id=state.child,
            result_type=RunOutput,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=TypedSearchAttributes(attributes),
            memo={WORK: shard.work()},
            static_summary=f"{shard.path[:120]} [{shard.offset}-{last} of {shard.total}]",
        )

    def _request(self, state: NodeState, shard: Shard) -> ExecutionRequest:
        """Return the request of the execution as a shard must see it, which knows nothing of what the map is in and after."""
        request = self._fixes.request()
        around = self._fixes.around(state.scope)
        if around is not request.environment:
            request = request.model_copy(update={"environment": around})
        array, recover = state.scope.parent, request.recover
        if array is not None and array.rerun and recover is not None:
            again = recover.model_copy(update={"rerun": (*recover.rerun, shard.path)})
            request = request.model_copy(update={"recover": again})
        return request

    def mend(self, fix: Fix) -> None:
        """Have attempts that the shards under way start from now on run with fixed code."""
        for state, _ in self._running.values():
            if state.child_started or state.child in self._met:  # others are told when they are
                self._tell(state, (fix,))

    def _tell(self, state: NodeState, fixes: Sequence[Fix]) -> None:
        if fixes:
            self._telling.soon(self._told(state.child, fixes))

    @staticmethod
    async def _told(shard: str, fixes: Sequence[Fix]) -> None:
        for fix in fixes:
            await tell(shard, FIXED_WITH_PARENT, fix)

    def _on_end(self, state: NodeState, shard: Shard, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        self._running.pop((shard.path, shard.offset), None)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            self._inbox.push(Ended(state, shard=done.result()))
        elif isinstance(error, asyncio.CancelledError) or (
            self._inbox.was_cancelled(state) and was_cancelled(error)
        ):
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=_document(error, shard.path)))

    def stop(self, state: NodeState) -> bool:
        """Have a shard stop its items and tell how far it came; an abort cancels it instead.

        Returns:
            Whether it is under way.
        """
        known = any(state is running for running, _ in self._running.values())
        if known:
            self._telling.soon(self._stop(state)).set_name(f"{state.path} stops")
        return known

    async def _stop(self, state: NodeState) -> None:
        try:
            await workflow.get_external_workflow_handle(state.child).signal(calls.SHARD_STOP)
        except FailureError:
            # It has just ended, or it is only about to start.
            self._inbox.cancel(state)

    def find(self, failed: calls.ShardFailed) -> NodeState | None:
        """Return the shard that has told of failures, if it is still under way."""
        found = self._running.get((failed.path, failed.offset))
        return found[0] if found else None

    def states(self) -> list[calls.ShardState]:
        """Return the shards that are under way."""
        return [
            calls.ShardState(workflow=state.child, path=shard.path, offset=shard.offset, count=shard.count)
            for state, shard in self._running.values()
        ]


def _document(error: BaseException, node: str) -> ErrorDocument:
    if not isinstance(error, ChildFailed):
        return shard_document_of(error, node)
    return error.error or shard_aborted(f"The shard {error.name} was ended in Temporal.", node)


def _type_of(shard: Shard) -> str:
    item = array_target(shard.node).item
    match item:
        case TaskTarget():
            return item.task
        case WorkflowTarget():
            return item.workflow
        case LaunchPlanTarget():
            return item.launch_plan
        case _:  # pragma: no cover - `programs` refuses maps over others
            return item.kind


def shard_id(execution: str, shard: Shard, before: int = 0) -> str:
    """Return the workflow id of a shard: execution, path of the map, position of its first item, and how many were before.

    No node can have that path, because ids of nodes begin with letters; so it is no child's either.
    """
    return child_name(execution, f"{shard.path}.{shard.offset}", before)
