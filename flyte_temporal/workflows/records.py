"""What the interpreter itself writes to the metadata store, by local activities, off the path of the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, NodeRecord
from flyte_temporal.spec.runs import RunInput, RunOutput
from flyte_temporal.workflows.scope import NodeState

BATCH = 200
"""Records per call: about 40 KiB, below the size from which payloads go to the blob store."""


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
        self._changed: dict[str, NodeState] = {}
        self._ended: dict[str, NodeState] = {}
        """Ended nodes of which only an activity has written so far."""
        self._earlier: tuple[NodeRecord, ...] = ()
        self._writing: dict[asyncio.Task[None], tuple[NodeRecord, ...]] = {}

    def enter(self, phase: ExecutionPhase) -> None:
        """Make a new phase of the execution known, with what waits to be written."""
        self.phase = phase
        self.flush()
        if self.whole:
            self._call(calls.RecordRequest(execution=self._execution, phase=phase, at=self._began))

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
        found = {node.id: node for nodes in (self._earlier, *self._writing.values()) for node in nodes}
        for state in [*self._changed.values(), *self._ended.values()]:
            found[state.path] = state.record()
        return tuple(node for node in found.values() if node.phase.terminal)

    def flush(self) -> None:
        """Write the noted changes without waiting for it."""
        if not self._changed and not self._earlier:
            return
        nodes = (*self._earlier, *(state.record() for state in self._changed.values()))
        self._earlier, self._changed = (), {}
        for start in range(0, len(nodes), BATCH):
            batch = nodes[start : start + BATCH]
            writing = self._call(
                calls.RecordRequest(
                    execution=self._execution,
                    nodes=batch,
                    phase=self.phase if self.whole else None,
                    at=self._began,
                )
            )
            self._writing[writing] = batch
            writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Task[None]) -> None:
        nodes = self._writing.pop(writing)
        if writing.cancelled() or writing.exception() is not None:
            self._earlier += nodes

    async def close(
        self, phase: ExecutionPhase, outputs: RunOutput, error: ErrorDocument | None, reason: str
    ) -> None:
        """Write the ends of all nodes that were not written, and that of the execution."""
        everything = (state.record() for state in self._states)
        nodes = tuple(everything) if self._all_at_end else self.unsure()
        for start in range(0, len(nodes) - BATCH, BATCH):
            await self._call(
                calls.RecordRequest(execution=self._execution, nodes=nodes[start : start + BATCH])
            )
        rest = nodes[(max(len(nodes) - 1, 0) // BATCH) * BATCH :]
        await self._call(
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

    def _call(self, request: calls.RecordRequest) -> workflow.ActivityHandle[None]:
        return workflow.start_local_activity(
            calls.RECORD,
            request,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200)),
            summary="records",
        )
