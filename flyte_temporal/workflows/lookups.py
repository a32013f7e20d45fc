"""The stage before attempts: nodes that are ready are looked up, many by one local activity, and hits end at once.

`run` offers each node that is ready (`take`); what is queued here is asked for when the activation has offered all
(`flush`), and comes back through the inbox as an `Ended` with an answer, which `run` gives to `settle`. One call is under
way at a time: a local activity costs no round trip to the server, and the order of commands then follows from one answer
after the other, in a replay as well.

An earlier execution that is recovered is asked first (`recovering`), for all tasks and gates, in the same call: what it
has that still stands ends the node as RECOVERED, and only what it does not have is looked for in the catalog.

All that is known of a node stands in its `NodeState` (`stage`, `memo`, `cache`, `source`, `again_at`), nothing in tasks or
closures.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.cache import Recipe
from flyte_temporal.spec.execution import CacheStatus, NodeRef
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.policies import Backoff, CacheSettings
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows import retries
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.inbox import Ended, Inbox, pause
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.scope import NodeState, Stage

BATCH = 200
"""Nodes per call: some 10 ms of the activation that asks, and again of the one that takes the answers in."""

WAITS = Backoff(initial_s=1.0, factor=2.0, max_s=15.0)
"""Pauses between two questions about a value that another execution computes; the end of its lease comes earlier, and a
signal from its owner as well."""

_CALL: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=60),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=4),
}

_RECALL: dict[str, Any] = {
    "start_to_close_timeout": timedelta(minutes=5),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200)),
}
"""Without an answer, what is done already would be done again: it is asked for until it comes."""


class Lookups:
    """Looks nodes up, and lets those wait whose outputs another node computes.

    Args:
        given: The run's input.
        inbox: Where answers go.
        recovering: Which nodes an earlier execution may stand for.
        fixes: With which code they run.
    """

    def __init__(self, given: RunInput, inbox: Inbox, recovering: Recovering, fixes: Fixes) -> None:
        self._fixes = fixes
        self._request = given.request
        self._recovering = recovering
        self._lease_s = given.limits.lease_s
        self._on = given.interpreter >= 3 and not given.request.no_cache
        self._inbox = inbox
        self._recipes: dict[tuple[str, str, CacheSettings], Recipe] = {}
        self._queue: deque[NodeState] = deque()
        self._waiting: dict[str, NodeState] = {}
        """Nodes that wait for another one, by path."""
        self._granted: set[str] = set()
        """Paths of nodes that got a lease in this run; looked up only. Its shards and children know of their own."""
        self._asking = False
        self._timer: asyncio.Task[None] | None = None
        self._wakes_at: datetime | None = None

    @property
    def busy(self) -> bool:
        """Return whether an answer is awaited."""
        return self._asking

    def take(self, state: NodeState) -> bool:
        """Queue a node that is ready, if it is to be looked up and was not."""
        if state.stage is Stage.LOOKED_UP:
            state.stage = Stage.NEW
            return False
        settings = self._decide(state)
        if settings is not None and state.cache is CacheStatus.SKIPPED:
            state.memo = self._recipe(state, settings).order(state.scope.inputs_of(state))
        if state.cache is not CacheStatus.MISS and not self._recovering.may_recall(state):
            return False
        self._enqueue(state)
        return True

    def _enqueue(self, state: NodeState) -> None:
        state.stage = Stage.LOOKUP
        self._inbox.hold(state)
        self._queue.append(state)

    def _decide(self, state: NodeState) -> CacheSettings | None:
        """Note what the cache does for a node with the code that it is to run with; return its settings if it does."""
        settings = self._settings(state) if self._on else None
        if settings is None:
            state.cache, state.memo = CacheStatus.DISABLED, None
        elif self._request.overwrite_cache or state.rerun:
            state.cache = CacheStatus.SKIPPED
        else:
            state.cache = CacheStatus.MISS
        return settings

    def _settings(self, state: NodeState) -> CacheSettings | None:
        target = state.node.target
        if not isinstance(target, TaskTarget):
            return None
        overrides = state.node.overrides
        settings = state.scope.program.closure.tasks[target.task].policy.cache
        settings = self._fixes.cache(state, target.task) or settings
        if overrides is not None and overrides.cache is not None:
            settings = self._fixes.overridden(state, overrides.cache)
        return settings if settings.enabled else None

    def _recipe(self, state: NodeState, settings: CacheSettings) -> Recipe:
        program, target = state.scope.program, state.node.target
        task = program.closure.tasks[target.task]  # type: ignore[union-attr] # `_settings` has seen that it is a task
        where = (program.digest, task.name, settings)
        found = self._recipes.get(where)
        if found is None:
            found = self._recipes[where] = Recipe(self._request.id, task, settings)
        return found

    def flush(self) -> None:
        """Ask for what is queued, and for what has waited long enough, unless a call is under way."""
        if self._waiting:
            self._requeue_due()
        if self._asking or not self._queue:
            return
        states, items = self._batch()
        if not items:
            return
        handle: asyncio.Task[Any] = workflow.start_local_activity(
            lookup_calls.LOOKUP,
            lookup_calls.LookupRequest(
                execution=self._request.id,
                items=tuple(items),
                lease_s=self._lease_s,
                recover=self._request.recover,
            ),
            result_type=lookup_calls.LookupResult,
            summary=_summary(states),
            **(_RECALL if self._request.recover is not None else _CALL),
        )
        self._asking = True
        self._inbox.after(handle, lambda done: self._on_answers(states, done))

    def _batch(self) -> tuple[list[NodeState], list[lookup_calls.LookupItem]]:
        states: list[NodeState] = []
        items: list[lookup_calls.LookupItem] = []
        while self._queue and len(items) < BATCH:
            state = self._queue.popleft()
            try:
                items.append(self._item(state))
                states.append(state)
            except FlyteTemporalError as error:
                self._inbox.forget(state)
                self._inbox.push(Ended(state, error=document_of(error, state.path)))
        return states, items

    def _item(self, state: NodeState) -> lookup_calls.LookupItem:
        # It may have been queued, or have waited for another node, since before the newest code was brought.
        self._fixes.mark(state)
        recall = self._recovering.may_recall(state)
        basis = self._recovering.basis(state) if recall else None
        settings = self._decide(state)
        if settings is None:
            return lookup_calls.LookupItem(node=state.path, basis=basis)
        state.memo = self._recipe(state, settings).order(state.scope.inputs_of(state))
        if state.cache is CacheStatus.SKIPPED:
            return lookup_calls.LookupItem(node=state.path, basis=basis)
        # A dynamic task's lease would have to be kept while what it gave runs, by nobody.
        serialize = settings.serialize and not state.scope.program.is_dynamic(state.node.target)
        return lookup_calls.LookupItem(node=state.path, key=state.memo.key, serialize=serialize, basis=basis)

    def _on_answers(self, states: list[NodeState], done: asyncio.Task[Any]) -> None:
        self._asking = False
        failed = done.cancelled() or done.exception() is not None
        # A cache that does not answer keeps nothing from being computed.
        answers = [lookup_calls.LookupAnswer()] * len(states) if failed else done.result().answers
        for state, answer in zip(states, answers, strict=True):
            self._inbox.forget(state)
            self._inbox.push(Ended(state, answer=answer))

    def settle(self, state: NodeState, answer: lookup_calls.LookupAnswer) -> bool:
        """Take in the answer about a node.

        Returns:
            Whether it may go on to an attempt; else it waits here. (A hit ends it, and so does what was recalled; the
            caller sees to that.)
        """
        state.reason = ""
        if answer.recalled is not None:
            self._recovering.settle(state, answer.recalled)
        if answer.recalled is not None and answer.recalled.done:
            state.cache, state.memo = CacheStatus.DISABLED, None
        elif answer.hit is not None:
            state.cache = CacheStatus.HIT
            state.source = answer.hit.source
        elif answer.holder is not None:
            self._wait(state, answer.holder, answer.again_s)
            return False
        else:
            state.stage = Stage.LOOKED_UP
            if state.memo is not None and answer.token:
                self._granted.add(state.path)
                lease = {"token": answer.token, "lease_s": self._lease_s}
                state.memo = state.memo.model_copy(update=lease)
        return True

    def _wait(self, state: NodeState, holder: NodeRef, again_s: float) -> None:
        state.stage = Stage.WAITS
        mine = holder.execution == self._request.id.name
        where = f"node {holder.node}" if mine else f"node {holder.node} of execution {holder.execution}"
        state.reason = f"waits for {where}, which computes the same"
        seconds = asks_after(state.told, again_s, mine=mine and holder.node in self._granted)
        state.told += 1
        state.again_at = workflow.now() + timedelta(seconds=seconds)
        self._inbox.hold(state)
        self._waiting[state.path] = state
        self._arm(state.again_at)

    def _requeue_due(self) -> None:
        now = workflow.now()
        self._requeue([s for s in self._waiting.values() if s.again_at is not None and s.again_at <= now])
        if self._waiting and (self._timer is None or self._timer.done()):
            self._arm(min(s.again_at for s in self._waiting.values() if s.again_at is not None))

    def _requeue(self, states: Iterable[NodeState]) -> None:
        for state in states:
            del self._waiting[state.path]
            self._enqueue(state)

    def _arm(self, at: datetime) -> None:
        if self._timer is not None and not self._timer.done():
            if self._wakes_at is not None and self._wakes_at <= at:
                return
            self._timer.cancel()
        self._wakes_at = at
        seconds = max((at - workflow.now()).total_seconds(), 0.001)
        self._timer = asyncio.create_task(pause(seconds, "asks again for what others compute"))
        self._timer.add_done_callback(lambda done: None if done.cancelled() else self._inbox.wake())

    def wake(self, keys: Iterable[str]) -> None:
        """Ask at once for nodes that wait for these keys: whoever computed them has ended, well or badly."""
        wanted = set(keys)
        found = [s for s in self._waiting.values() if s.memo is not None and s.memo.key in wanted]
        if found:
            self._requeue(found)
            self._inbox.wake()

    def ended(self, state: NodeState) -> None:
        """Note that an attempt of a node is over; those of this run that wait for its outputs are asked for."""
        if self._waiting and state.memo is not None and state.memo.token:
            self.wake((state.memo.key,))

    def cancel(self, state: NodeState) -> bool:
        """Let a node that waits end; return whether it waited."""
        if self._waiting.pop(state.path, None) is None:
            return False
        self._inbox.forget(state)
        self._inbox.push(Ended(state, cancelled=True))
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
        return True


def asks_after(told: int, lease_s: float, *, mine: bool) -> float:
    """Return after how many seconds a node that waits for another one asks again.

    Args:
        told: How often it was told before that it has to wait.
        lease_s: When the lease of the other one ends.
        mine: Whether that got its lease in the same run, and so wakes it when it ends: the pause is for what nobody foresees.
    """
    longest = WAITS.max_s if mine else retries.pause(WAITS, told + 1, 0.5)
    return max(0.1, min(longest, lease_s + 0.1))


def _summary(states: list[NodeState]) -> str:
    first = states[0].path
    return (
        f"looks up {first}"[:200]
        if len(states) == 1
        else f"looks up {first} and {len(states) - 1} more"[:200]
    )
