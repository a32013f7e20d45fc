"""Writing down an end that the interpreter could not record itself: the run was terminated, or the store lost it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from flyte_temporal.errors import NotFound, PlatformError
from flyte_temporal.ports.clock import Clock
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.listing import NodeFilter

_log = logging.getLogger(__name__)

_OPEN = NodeFilter(phases=tuple(phase for phase in NodePhase if not phase.terminal))


class Endings:
    """Brings the store in line with a run that has ended.

    Args:
        engine: Knows the truth.
        store: Is corrected.
        clock: For the time of the end as far as it is known here.
    """

    def __init__(self, engine: Engine, store: MetadataStore, clock: Clock) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock

    async def write(self, execution: ExecutionId, final: RunState) -> None:
        """Record how a run ended, unless its end is recorded already.

        Raises:
            PlatformUnavailable: If the store or the engine does not answer.
        """
        if not final.phase.terminal:
            return
        record = await asyncio.to_thread(self._store.execution, execution)
        if record is None or record.phase.terminal:
            return
        if record.run and final.run and record.run != final.run:
            # The run that ended is one after that of the record: continued or reset, it had no time to say so.
            if await self._follows_a_later_one(execution, final):
                return
            await asyncio.to_thread(self._store.follow_run, execution, record.run, final.run)
        now = self._clock.now()
        nodes = [_ended(node, final.phase, now) for node in await self._nodes(execution)]
        change = RecordRequest(
            execution=execution,
            nodes=tuple(nodes),
            phase=final.phase,
            outputs=final.outputs,
            error=final.error,
            reason=final.reason,
            at=now,
            run=final.run,
        )
        if final.phase is not ExecutionPhase.SUCCEEDED:
            # A run that ends by itself waits for its children; one that was terminated cannot. Before the end is written
            # down, so that it is tried again if the engine does not answer.
            left = await self._engine.abort_left(execution, f"{execution.name} has ended.")
            if left:
                _log.info("Asked %d shards and children of %s to stop.", left, execution.name)
        if await asyncio.to_thread(self._store.record, change):
            _log.info("Execution %s ended %s; recorded from the engine's log.", execution.name, final.phase)

    async def _follows_a_later_one(self, execution: ExecutionId, final: RunState) -> bool:
        newest = await self._engine.state(execution)
        return newest is not None and newest.run != final.run

    async def _nodes(self, execution: ExecutionId) -> list[NodeRecord]:
        """Return the nodes as the run has them; those that it has forgotten, or that shards hold, as the store has them.

        Of the latter only those that have not ended: nothing changes for others, and an execution may have 100,000.
        """
        stored = await asyncio.to_thread(self._store.nodes, execution, _OPEN)
        try:
            live = await self._engine.nodes(execution)
        except (NotFound, PlatformError) as error:
            # A run that was terminated may not be able to answer; what the store has is the best there is.
            _log.info("The run %s does not tell its nodes: %s", execution.name, error)
            return stored
        told = {node.id for node in live}
        return live + [node for node in stored if node.id not in told]


def _ended(node: NodeRecord, phase: ExecutionPhase, now: datetime) -> NodeRecord:
    if node.phase.terminal:
        return node
    if phase is ExecutionPhase.SUCCEEDED:
        # A run succeeds only when all its nodes have.
        return node.model_copy(update={"phase": NodePhase.SUCCEEDED, "finished_at": now})
    untouched = node.phase is NodePhase.QUEUED and node.attempts == 0
    if untouched:
        # It never began, so it has no times.
        return node.model_copy(update={"phase": NodePhase.SKIPPED})
    return node.model_copy(update={"phase": NodePhase.ABORTED, "finished_at": now})
