"""Writes records of nodes in batches, beside the work: an attempt never waits for the metadata store."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from temporalio import activity
from temporalio.service import RPCError

from flyte_temporal.activities.runs import Runs, run_of
from flyte_temporal.errors import PlatformError
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ExecutionPhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

INTERVAL_S = 0.1
"""Longest time that a state waits to be written, in seconds; short tasks then cost one write instead of two."""

_KEPT = 1000

_Source = tuple[ExecutionId, str]
"""Who says something: a run of an execution."""


class Records:
    """Collects node states and writes them from a thread of its own.

    What is lost when the worker is killed is written once more by the interpreter at the end of the run.

    Args:
        store: The metadata store.
        runs: Knows which run of an execution is the newest; None where there is only one (tests).
    """

    def __init__(self, store: MetadataStore, runs: Runs | None = None) -> None:
        self._store = store
        self._runs = runs
        self._waiting: dict[_Source, dict[str, NodeRecord]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._writer: asyncio.Task[None] | None = None
        self._running: dict[_Source, None] = {}
        """Of whom the store knows that they run; the latest ones. The end of a run may be written by another worker."""

    def note(self, execution: ExecutionId, record: NodeRecord) -> None:
        """Have a state written soon; a later state of the same node replaces it."""
        self._waiting.setdefault((execution, run_of(execution)), {})[record.id] = record
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(INTERVAL_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits now."""
        waiting, self._waiting = self._waiting, {}
        for source, nodes in waiting.items():
            execution, run = source
            change = calls.RecordRequest(
                execution=execution,
                nodes=tuple(nodes.values()),
                phase=None if source in self._running else ExecutionPhase.RUNNING,
                run=run,
            )
            try:
                await self._write(change)
            except (PlatformError, RPCError) as error:
                _log.warning("Node states of %s were not written now: %s", execution.name, error)
            else:
                self._heard_of(source)

    def _heard_of(self, source: _Source) -> None:
        self._running.pop(source, None)
        self._running[source] = None
        if len(self._running) > _KEPT:
            del self._running[next(iter(self._running))]

    async def _write(self, change: calls.RecordRequest) -> None:
        """Write a change, unless it comes from a run that is not the newest any more."""
        if await self._in_thread(change) or self._runs is None:
            return
        run = await self._runs.heard(change.execution, change.run)
        if run is not None:
            await self._in_thread(change.model_copy(update={"run": run}))

    async def _in_thread(self, change: calls.RecordRequest) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._store.record, change)

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        """Write what the interpreter knows; the newest states of its own nodes and, at the end, of all."""
        source = (request.execution, run_of(request.execution))
        waiting = self._waiting.get(source, {})
        nodes = []
        for node in request.nodes:
            known = waiting.get(node.id)
            if known is not None and (node.phase.terminal or not known.phase.terminal):
                del waiting[node.id]
                if node.checkpoint is None and known.checkpoint is not None:
                    # Of an attempt that was cancelled, the run itself knows nothing.
                    node = node.model_copy(update={"checkpoint": known.checkpoint})  # noqa: PLW2901
            nodes.append(node)
        await self._write(request.model_copy(update={"nodes": tuple(nodes), "run": source[1]}))
        if request.phase is not None and request.phase.terminal:
            self._running.pop(source, None)
            self._waiting.pop(source, None)

    async def close(self) -> None:
        """Write what waits and end the thread."""
        await self.flush()
        if self._runs is not None:
            await self._runs.close()
        self._thread.shutdown()
