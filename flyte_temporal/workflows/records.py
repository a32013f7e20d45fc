"""What the interpreter itself writes to the metadata store, by local activities, off the path of the nodes.

A workflow task is not answered while a local activity is open: what the run asks for in the meantime waits. So a write is
tried once and for a moment; if it fails, the store is left alone for a while, and the run goes on. Only its end waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.spec.runs import RunInput, RunOutput
from flyte_temporal.workflows.inbox import pause
from flyte_temporal.workflows.scope import NodeState

BATCH = 200
"""Records per call: about 40 KiB, below the size from which payloads go to the blob store."""

TRY = timedelta(seconds=2)
"""How long a write may take that others wait for."""

FIRST_REST_S, LONGEST_REST_S = 2.0, 30.0
"""For how long a store that has not taken a write is left alone; twice as long each time."""


class Records:
    """Collects the states of nodes that have no activity of their own; at the end, writes the ends of all.

    Activities write the states of their nodes themselves. What a killed worker had not written yet is covered by the
    writes of ends, which are authoritative: each end is written once by the interpreter, by the run in which it came.

    Args:
        given: The run's input.
        states: All nodes that the run holds; the list grows.
        began: When the execution started.
    """

    def __init__(self, given: RunInput, states: Sequence[NodeState], began: datetime) -> None:
        self._execution = given.request.id
        self.whole = given.shard is None
        """Whether the run is the whole execution; a shard says nothing of the execution's own phase."""
        self._all_at_end = given.interpreter < 3
        """Whether all states are written at the end, whatever was written before."""
        self._states = states
        self._began = began
        self.phase = ExecutionPhase.RUNNING
        """Phase of the execution as it was made known."""
        self.known = self.phase
        """Phase that the store has taken last."""
        self._untold = False
        """Whether it has not taken the present one."""
        self._changed: dict[str, NodeState] = {}
        self._ended: dict[str, NodeState] = {}
        """Ended nodes of which only an activity has written so far."""
        self._earlier: tuple[NodeRecord, ...] = ()
        self._writing: dict[asyncio.Task[None], tuple[NodeRecord, ...]] = {}
        self._rest_s = FIRST_REST_S
        self._resting: asyncio.Task[None] | None = None
        """Runs while the store is left alone."""
        self._closing = False

    def enter(self, phase: ExecutionPhase) -> None:
        """Make a new phase of the execution known, with what waits to be written."""
        self.phase = phase
        self.flush()
        if not self.whole:
            self.known = phase
        elif self._resting is None:
            self._try(())
        else:
            self._untold = True

    def changed(self, state: NodeState) -> None:
        """Note that a node without an activity has changed."""
        self._changed[state.path] = state

    @property
    def waiting(self) -> int:
        """Return how many changes are noted and not written."""
        return len(self._changed)

    def ended(self, state: NodeState) -> None:
        """Note that a node has ended whose activity has written that."""
        if not self._all_at_end:
            self._ended[state.path] = state

    def take_over(self, records: tuple[NodeRecord, ...]) -> None:
        """Write what an earlier run of the execution could not be sure of."""
        self._earlier = records

    def settle(self) -> None:
        """Have all ends written soon."""
        self._changed.update(self._ended)
        self._ended = {}

    def unsure(self) -> tuple[NodeRecord, ...]:
        """Return the ends that may not have been written."""
        states = (state.record() for state in [*self._changed.values(), *self._ended.values()])
        found = _latest(self._earlier, *self._writing.values(), states)
        return tuple(node for node in found if node.phase.terminal)

    def untaken(self) -> tuple[NodeRecord, ...]:
        """Return what the store may not have taken, for the run that goes on from here.

        Besides ends, nodes as they are now that no activity tells of: held ones, gates, children, scopes.
        """
        now = {state.path: state for state in self._states}
        rest = _latest(self._earlier, *self._writing.values(), (s.record() for s in self._changed.values()))
        quiet = (now[node.id] for node in rest if not node.phase.terminal and node.id in now)
        told = (state.record() for state in quiet if _is_told_here(state))
        return _latest(told, self.unsure())

    def flush(self) -> None:
        """Write the noted changes without waiting for it."""
        if self._resting is not None or not (self._changed or self._earlier or self._untold):
            return
        nodes = _latest(self._earlier, (state.record() for state in self._changed.values()))
        self._earlier, self._changed = (), {}
        for start in range(0, max(1, len(nodes)), BATCH):
            self._try(nodes[start : start + BATCH])

    def _try(self, nodes: tuple[NodeRecord, ...]) -> None:
        told = self.phase
        self._untold = False
        request = calls.RecordRequest(
            execution=self._execution, nodes=nodes, phase=told if self.whole else None, at=self._began
        )
        writing = self._call(
            request, schedule_to_close_timeout=TRY, retry_policy=RetryPolicy(maximum_attempts=1)
        )
        self._writing[writing] = nodes
        writing.add_done_callback(lambda done: self._written(done, told))

    def _written(self, writing: asyncio.Task[None], told: ExecutionPhase) -> None:
        nodes = self._writing.pop(writing)
        if writing.cancelled() or writing.exception() is not None:
            self._earlier = _latest(self._earlier, nodes)
            self._untold = self.whole
            if not writing.cancelled():  # else the run is only leaving a worker's memory
                self._rest()
        else:
            self._rest_s = FIRST_REST_S
            self.known = told

    def _rest(self) -> None:
        """Leave the store alone for a while, then write what has come together."""
        if self._resting is None and not self._closing:
            resting = asyncio.create_task(pause(self._rest_s, "the metadata store has not taken records"))
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
            self._resting = resting
            resting.add_done_callback(self._rested)

    def _rested(self, resting: asyncio.Task[None]) -> None:
        self._resting = None
        if not resting.cancelled():
            self.flush()

    async def close(
        self, phase: ExecutionPhase, outputs: RunOutput, error: ErrorDocument | None, reason: str
    ) -> None:
        """Write the ends of all nodes that were not written, and that of the execution; try until it is done."""
        self._closing = True
        if self._resting is not None:
            self._resting.cancel()
        everything = (state.record() for state in self._states)
        nodes = tuple(everything) if self._all_at_end else self.unsure()
        for start in range(0, len(nodes) - BATCH, BATCH):
            await self._call_until_done(
                calls.RecordRequest(execution=self._execution, nodes=nodes[start : start + BATCH])
            )
        rest = nodes[(max(len(nodes) - 1, 0) // BATCH) * BATCH :]
        await self._call_until_done(
            calls.RecordRequest(
                execution=self._execution,
                nodes=rest,
                phase=phase if self.whole else None,
                outputs=outputs.outputs if self.whole else {},
                error=error if self.whole else None,
                reason=reason,
                at=workflow.now(),
            )
        )

    def _call_until_done(self, request: calls.RecordRequest) -> workflow.ActivityHandle[None]:
        again = RetryPolicy(initial_interval=timedelta(milliseconds=200))
        return self._call(request, start_to_close_timeout=timedelta(seconds=30), retry_policy=again)

    @staticmethod
    def _call(request: calls.RecordRequest, **options: Any) -> workflow.ActivityHandle[None]:
        return workflow.start_local_activity(calls.RECORD, request, summary="records", **options)


def _is_told_here(state: NodeState) -> bool:
    """Return whether no activity writes what a node is at."""
    return state.phase is NodePhase.PAUSED or not isinstance(state.node.target, TaskTarget)


def _latest(*groups: Iterable[NodeRecord]) -> tuple[NodeRecord, ...]:
    """Return the last record of each node; one that comes late takes no end back."""
    found: dict[str, NodeRecord] = {}
    for node in chain.from_iterable(groups):
        if node.phase.terminal or node.id not in found or not found[node.id].phase.terminal:
            found[node.id] = node
    return tuple(found.values())
