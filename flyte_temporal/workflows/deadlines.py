"""Time-outs of whole nodes and of workflows: absolute times, and one timer for the nearest of them.

Called by `run`. What has ended meanwhile is passed over when its time comes, so that an end costs nothing. The list is made
of the open nodes and scopes alone: after a continue-as-new it is made again from those.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio import workflow

from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.verdicts import DEADLINE_EXCEEDED, TOTAL_TIMED_OUT
from flyte_temporal.workflows.body import Body
from flyte_temporal.workflows.handlers import handler_of
from flyte_temporal.workflows.inbox import pause
from flyte_temporal.workflows.scope import NodeState, Scope
from flyte_temporal.workflows.spans import span

_SLACK = timedelta(milliseconds=1)


@dataclass(order=True)
class Due:
    """A time, and what fails then unless it has ended."""

    at: datetime
    number: int
    of: NodeState | Scope = field(compare=False)
    limit_s: float = field(compare=False)

    @property
    def over(self) -> bool:
        """Return whether it has ended, or ends already."""
        if isinstance(self.of, Scope):
            return self.of.settled or self.of.failing
        if self.of.phase is NodePhase.PAUSED or self.at < self._earliest(self.of):
            # Held for somebody, or meant for the time before it was: it begins anew when it is tried again. So does the time of one
            # that travelled in a batch and came back before it had begun.
            return True
        if self.of.phase.terminal or self.of.doom is not None or self.of.scope.failing:
            return True
        # It has failed already while its failure handler is at work, which is not to be ended for it.
        return self.of.node.on_failure is not None and handler_of(self.of) is not None

    def _earliest(self, state: NodeState) -> datetime:
        since = state.fresh_since or state.started_at
        return since + span(self.limit_s) if since is not None else datetime.max.replace(tzinfo=UTC)

    def error(self) -> ErrorDocument:
        """Return the error with which it fails."""
        if isinstance(self.of, Scope):
            name = self.of.spec.name if isinstance(self.of, Body) else ""
            where = self.of.parent.path if self.of.parent else ""
            return _timed_out(
                DEADLINE_EXCEEDED,
                f"The workflow {name} did not end within its deadline of {self.limit_s:g} s.",
                where,
            )
        return _timed_out(
            TOTAL_TIMED_OUT,
            f"The node did not end within {self.limit_s:g} s, all its attempts and pauses together.",
            self.of.path,
        )


class Deadlines:
    """All time-outs of a run that are watched.

    Args:
        wake: Wakes the loop when one may have passed.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._heap: list[Due] = []
        self._count = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_at: datetime | None = None

    def watch_node(self, state: NodeState) -> None:
        """Watch a task node that has begun, if its policy limits its whole time."""
        if isinstance(state.node.target, TaskTarget) and state.started_at is not None:
            limit = state.policy().timeouts.total_s
            if limit:
                self._add(state.fresh_since or state.started_at, limit, state)

    def watch_scope(self, scope: Scope, limit_s: float) -> None:
        """Watch a workflow that is open."""
        if scope.opened_at is not None:
            self._add(scope.opened_at, limit_s, scope)

    def _add(self, since: datetime, limit_s: float, of: NodeState | Scope) -> None:
        self._count += 1
        heapq.heappush(self._heap, Due(since + span(limit_s), self._count, of, limit_s))

    def passed(self) -> list[Due]:
        """Return what must fail now, in order of its time."""
        found = []
        while self._heap and self._heap[0].at <= workflow.now() + _SLACK:
            due = heapq.heappop(self._heap)
            if not due.over:
                found.append(due)
        return found

    def arm(self) -> None:
        """Have the loop woken at the nearest time."""
        while self._heap and self._heap[0].over:
            heapq.heappop(self._heap)
        nearest = self._heap[0].at if self._heap else None
        if nearest is None or (self._running and self._timer_at is not None and self._timer_at <= nearest):
            # A timer that is too early wakes the loop once for nothing; to replace it would cost as much.
            return
        self.stop()
        self._timer_at = nearest
        seconds = max((nearest - workflow.now()).total_seconds(), 0.001)
        self._timer = asyncio.create_task(pause(seconds, "the nearest time-out of a node or workflow"))
        self._timer.add_done_callback(lambda _done: self._wake())

    @property
    def _running(self) -> bool:
        return self._timer is not None and not self._timer.done()

    def stop(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _timed_out(code: str, message: str, node: str) -> ErrorDocument:
    return ErrorDocument(kind=ErrorKind.USER, code=code, message=message, node=node, recoverable=False)
