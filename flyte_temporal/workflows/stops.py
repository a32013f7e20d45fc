"""Attempts whose activities ended as cancelled: an activity of its own sees that they are over before their nodes end.

Temporal ends a cancelled activity at once when no worker has it at that moment, or when its worker dies before it has
stopped the attempt. Then nobody has told the process, which would run on after its execution. Called by `run`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import Any

from temporalio import workflow

from flyte_temporal.spec import calls
from flyte_temporal.spec.clusters import attempts_queue
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows.attempts import INFRASTRUCTURE
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.spans import span
from flyte_temporal.workflows.tree import Tree

BATCH = 100
"""Attempts of one activity."""


class Stops:
    """Collects attempts in doubt, and pushes the ends of their nodes once they are over.

    Args:
        given: The run's input.
        inbox: Where ends go.
    """

    def __init__(self, given: RunInput, inbox: Inbox) -> None:
        self._given = given
        self._inbox = inbox
        self._waiting: list[NodeState] = []
        self._open: dict[str, NodeState] = {}
        """Nodes whose attempts are being stopped, by path."""

    def stopping(self, tree: Tree) -> list[NodeState]:
        """Return all nodes of a run whose work is to end and may not have: what its next run goes on ending."""
        asked = filter(self._inbox.stopping, tree.states)
        states = (*tree.to_cancel, *tree.to_prove, *self._waiting, *self._open.values(), *asked)
        return list(dict.fromkeys(states))

    def add(self, state: NodeState) -> None:
        """Take a node whose attempt may still be at work."""
        self._waiting.append(state)

    def take(self, states: deque[NodeState]) -> None:
        """Take all of some nodes as `add` does, and ask at once for all that were taken."""
        self._waiting += states
        states.clear()
        self.flush()

    def flush(self) -> None:
        """Ask for the attempts taken since the last time."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH):
            self._start(waiting[start : start + BATCH])

    def _start(self, states: list[NodeState]) -> None:
        request = self._given.request
        attempts = tuple(s.attempt(request.id) for s in states)
        handle: asyncio.Task[Any] = workflow.start_activity(
            calls.STOP,
            calls.StopRequest(attempts=attempts, launcher=request.environment.launcher),
            task_queue=attempts_queue(workflow.info().task_queue, request.environment),
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=span(self._given.limits.heartbeat_timeout_s),
            retry_policy=INFRASTRUCTURE,
            summary=_summary(attempts),
        )
        handle.set_name(_summary(attempts))
        for state in states:
            # Held, not watched: who asks the node to end once more must not call off what sees to it.
            self._inbox.hold(state)
            self._open[state.path] = state
        self._inbox.after(handle, lambda done: self._on_end(states, done))

    def _on_end(self, states: list[NodeState], done: asyncio.Task[Any]) -> None:
        if not done.cancelled():
            # Marks it as seen: what went wrong with a stop changes nothing for the node, which ends all the same.
            done.exception()
        for state in states:
            # A node that is held after all is tried again by another attempt.
            state.token = ""
            self._inbox.forget(state)
            del self._open[state.path]
            self._inbox.push(Ended(state, cancelled=True))


def _summary(attempts: tuple[AttemptId, ...]) -> str:
    more = f" and {len(attempts) - 1} more" if len(attempts) > 1 else ""
    return f"{attempts[0].node}#{attempts[0].number}{more}: is it over?"[:200]
