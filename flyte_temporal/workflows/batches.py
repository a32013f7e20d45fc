"""Several attempts in one activity: asked for together, taken in one by one (`forming` says which).

Each member stays an attempt of its own, with its own number, token and budget. What the activity did not begin, or handed
back, is asked for again with the same attempt; it is found again, or started then.
"""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls
from flyte_temporal.spec.clusters import attempts_queue
from flyte_temporal.spec.execution import CacheStatus
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows.attempts import Attempts, options, task_of
from flyte_temporal.workflows.failures import document_of, says_itself, was_cancelled
from flyte_temporal.workflows.forming import LONGEST_S, Forming, bears, in_words
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.tree import Tree


class Batches:
    """Starts batches and pushes the ends of their members.

    Args:
        given: The run's input.
        inbox: Where ends go.
        attempts: What asks for single ones, and decides about failures.
        tree: The nodes.
    """

    def __init__(self, given: RunInput, inbox: Inbox, attempts: Attempts, tree: Tree) -> None:
        self._open = 0
        self._given = given
        self._inbox = inbox
        self._attempts = attempts
        self._tree = tree
        self._forming: Forming = tree.forming

    @property
    def busy(self) -> bool:
        """Return whether a batch is under way."""
        return self._open > 0

    def start(self, group: list[NodeState]) -> None:
        """Ask for attempts of several nodes, of which the later ones may wait for the earlier ones."""
        members: list[calls.Member] = []
        taken: list[NodeState] = []
        again = any(state.token for state in group)
        under_way: set[str] = set()
        for state in group:
            member = self._member(state, under_way)
            if member is not None:
                taken.append(state)
                members.append(member)
                under_way.add(state.node.id)
        if not taken:
            self._forming.landed(group[0])
            return
        first, limits = taken[0], self._given.limits
        request = calls.BatchRequest(
            execution=self._given.request.id,
            spec=first.scope.program.digest,
            members=tuple(members),
            go_on=bears(first.scope, taken),
            longest_s=LONGEST_S,
            again=again,
            environment=self._given.request.environment,
            inline_bytes=limits.inline_bytes,
            created_at=self._attempts.began,
        )
        handle: asyncio.Task[Any] = workflow.start_activity(
            task_of(first),
            request,
            result_type=calls.BatchResult,
            activity_id=f"{first.path}+{len(taken) - 1}#{first.attempts}",
            task_queue=attempts_queue(workflow.info().task_queue, request.environment),
            **options(limits),
            summary=in_words(taken),
        )
        for state in taken:
            self._inbox.watch(state, handle, costly=state is first)
        handle.set_name(in_words(taken))  # not that of its last member
        began_with = group[0]
        self._open += 1
        self._inbox.after(handle, lambda done: self._on_end(began_with, taken, done))

    def _member(self, state: NodeState, under_way: set[str]) -> calls.Member | None:
        """Return a member of a request, and begin it; None if it cannot be one.

        Args:
            state: The node.
            under_way: Ids of the nodes before it in the same request.
        """
        left = state.scope.left(state)
        if left and left != sum(name in under_way for name in state.node.upstream()):
            return None  # what it waits for had wrong inputs, and is not in the request
        later = under_way if left else set[str]()
        if left:
            state.ahead = True
            state.scope.active += 1
        self._tree.begin(state)
        try:
            inputs, bindings = state.scope.bound(state, later)
        except FlyteTemporalError as error:
            self._inbox.push(Ended(state, error=document_of(error, state.path)))
            return None
        attempt = self._attempts.attempt_of(state)
        return calls.Member(
            node=state.path,
            number=attempt.number,
            token=attempt.token,
            task=task_of(state),
            inputs=inputs,
            bindings=bindings,
            overrides=state.node.overrides,
            order=state.order,
            name=state.name,
            first_started_at=state.started_at,
            memo=state.memo,
            cache=state.cache,
            checkpoint_from=state.checkpoint_from,
            asked_at=state.asked_at,
            interruptible=state.on_spot,
        )

    def _on_end(self, began_with: NodeState, group: list[NodeState], done: asyncio.Task[Any]) -> None:
        self._open -= 1
        self._forming.landed(began_with)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            results: tuple[calls.MemberResult, ...] = done.result().members
        else:
            # What did not end by its own word may have left members at work.
            results = (calls.MemberResult(began=not says_itself(error)),) * len(group)
        stopped = error is not None and (isinstance(error, asyncio.CancelledError) or was_cancelled(error))
        for state, result in zip(group, results, strict=True):
            self._inbox.forget(state)
            if error is not None and not stopped:
                # It cannot be had together: each by itself, which tells what is wrong.
                state.alone = True
            if stopped:
                self._take_stopped(state, doubtful=error is not None and not says_itself(error))
            else:
                self._take(state, result)

    def _take_stopped(self, state: NodeState, *, doubtful: bool) -> None:
        """Take in that the batch was cancelled as a whole, which one of its members alone may have been to be."""
        if doubtful and not (self._inbox.was_cancelled(state) or state.scope.failing or self._tree.aborting):
            # No worker had it, so nobody could tell whom it was about: this one is asked for again, and found.
            state.alone = True
            self._inbox.push(Ended(state, left=True, doubtful=True))
        else:
            self._inbox.push(Ended(state, cancelled=True, doubtful=doubtful))

    def _take(self, state: NodeState, result: calls.MemberResult) -> None:
        state.checkpoint = result.checkpoint or state.checkpoint
        if result.put_failed:
            state.cache = CacheStatus.PUT_FAILED
        if result.outputs is not None:
            state.token = ""
            self._forming.measured(state, result.seconds)
            self._inbox.push(Ended(state, outputs=dict(result.outputs)))
        elif result.error is not None:
            state.token = ""
            self._attempts.failed(state, result.error.model_copy(update={"node": state.path}))
        elif result.began and (state.scope.failing or self._inbox.was_cancelled(state)):
            # Handed back when it was to be stopped: it is at work, and is to be seen to end.
            self._inbox.push(Ended(state, cancelled=True, doubtful=True))
        elif self._inbox.was_cancelled(state) and (result.stopped or not state.scope.failing):
            state.token = ""
            self._inbox.push(Ended(state, cancelled=True))
        else:
            # Stopped together with one that was to be stopped, handed back because it is long, or never begun.
            state.alone = state.alone or result.began
            if result.stopped:
                state.token = ""
            self._inbox.push(Ended(state, left=True, doubtful=result.began))
