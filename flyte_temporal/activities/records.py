"""Writes records of nodes in batches, beside the work: an attempt never waits for the metadata store."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from temporalio import activity

from flyte_temporal.errors import PlatformError
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ExecutionPhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

INTERVAL_S = 0.1
"""Longest time that a state waits to be written, in seconds; short tasks then cost one write instead of two."""


class Records:
    """Collects node states and writes them from a thread of its own.

    What is lost when the worker is killed is written once more by the interpreter at the end of the run.

    Args:
        store: The metadata store.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._waiting: dict[ExecutionId, dict[str, NodeRecord]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._writer: asyncio.Task[None] | None = None
        self._running: dict[ExecutionId, None] = {}

    def note(self, execution: ExecutionId, record: NodeRecord) -> None:
        """Have a state written soon; a later state of the same node replaces it."""
        self._waiting.setdefault(execution, {})[record.id] = record
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(INTERVAL_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits now."""
        waiting, self._waiting = self._waiting, {}
        for execution, nodes in waiting.items():
            change = calls.RecordRequest(
                execution=execution,
                nodes=tuple(nodes.values()),
                phase=None if execution in self._running else ExecutionPhase.RUNNING,
            )
            try:
                await self._in_thread(change)
            except PlatformError as error:
                _log.warning("Node states of %s were not written now: %s", execution.name, error)
            else:
                self._running[execution] = None

    async def _in_thread(self, change: calls.RecordRequest) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.record, change)

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        """Write what the interpreter knows; the newest states of its own nodes and, at the end, of all."""
        waiting = self._waiting.get(request.execution, {})
        nodes = []
        for node in request.nodes:
            known = waiting.get(node.id)
            if known is not None and (node.phase.terminal or not known.phase.terminal):
                del waiting[node.id]
                if node.checkpoint is None and known.checkpoint is not None:
                    # Of an attempt that was cancelled, the run itself knows nothing.
                    node = node.model_copy(update={"checkpoint": known.checkpoint})  # noqa: PLW2901
            nodes.append(node)
        request = request.model_copy(update={"nodes": tuple(nodes)})
        await self._in_thread(request)
        if request.phase is not None and request.phase.terminal:
            self._running.pop(request.execution, None)
            self._waiting.pop(request.execution, None)

    async def close(self) -> None:
        """Write what waits and end the thread."""
        await self.flush()
        self._thread.shutdown()
