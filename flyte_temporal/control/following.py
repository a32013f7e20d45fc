"""Following executions: one shared poller per execution, whatever the number of those who wait or watch.

Each new state of the nodes comes from the metadata store, which is read every 100 ms while someone watches; the end
comes from the engine's long poll, at once. Nobody polls Temporal's history or visibility.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flyte_temporal.control.documents import Update
from flyte_temporal.errors import NotFound, PlatformError, PlatformUnavailable
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.1
"""How often the store is read while someone watches."""

WAIT_INTERVAL_S = 2.0
"""How often it is read when everybody only waits: a safety net, the engine tells the end."""

LONG_POLL_S = 60.0
RETRY_S = 0.25


@dataclass(frozen=True)
class Sources:
    """Where a follower gets its news.

    Args:
        engine: For the end.
        execution: Reads an execution from the store; raises NotFound.
        nodes: Reads its nodes, completed by the plan.
        ended: Records an end that the interpreter did not record.
    """

    engine: Engine
    execution: Callable[[ExecutionId], Awaitable[ExecutionRecord]]
    nodes: Callable[[ExecutionRecord], Awaitable[list[NodeRecord]]]
    ended: Callable[[ExecutionId, RunState], Awaitable[None]]


class Followers:
    """All pollers of this process.

    Args:
        sources: Where news come from.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._open: dict[ExecutionId, _Follower] = {}

    async def wait(self, execution: ExecutionId) -> ExecutionRecord:
        """Return the record of an execution once it has ended.

        Raises:
            NotFound: If there is no such execution.
            PlatformUnavailable: If the store does not answer.
        """
        record = await self._sources.execution(execution)
        if record.phase.terminal:
            return record
        async with self._follow(execution) as follower:
            async for latest in follower.changes(watching=False):
                record = latest.execution
        return record

    async def watch(self, execution: ExecutionId) -> AsyncGenerator[Update, None]:
        """Yield the present state and every later one, until the execution has ended.

        Raises:
            NotFound: If there is no such execution.
            PlatformUnavailable: If the store does not answer.
        """
        async with self._follow(execution) as follower:
            async for snapshot in follower.changes(watching=True):
                yield snapshot

    async def close(self) -> None:
        """End all pollers."""
        for follower in list(self._open.values()):
            await follower.stop()
        self._open.clear()

    @asynccontextmanager
    async def _follow(self, execution: ExecutionId) -> AsyncIterator[_Follower]:
        follower = self._open.get(execution)
        if follower is None or follower.over:
            follower = self._open[execution] = _Follower(self._sources, execution)
        follower.users += 1
        try:
            yield follower
        finally:
            follower.users -= 1
            if not follower.users:
                if self._open.get(execution) is follower:
                    del self._open[execution]
                await follower.stop()


class _Follower:
    """The poller of one execution."""

    def __init__(self, sources: Sources, execution: ExecutionId) -> None:
        self.users = 0
        self._watchers = 0
        self._sources = sources
        self._execution = execution
        self._latest: Update | None = None
        self._failure: Exception | None = None
        self._number = 0
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._poll(), name=f"follow {execution.name}")

    @property
    def over(self) -> bool:
        return self._task.done()

    async def changes(self, *, watching: bool) -> AsyncGenerator[Update, None]:
        seen = 0
        self._watchers += watching
        self._wake.set()
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda before=seen: self._number > before)  # type: ignore[misc]
                    seen, latest, failure = self._number, self._latest, self._failure
                if failure is not None:
                    raise failure
                if latest is not None:
                    yield latest
                    if latest.execution.phase.terminal:
                        return
        finally:
            self._watchers -= watching

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _publish(self, latest: Update | None, failure: Exception | None = None) -> None:
        async with self._changed:
            self._latest, self._failure = latest, failure
            self._number += 1
            self._changed.notify_all()

    async def _poll(self) -> None:
        end = asyncio.create_task(self._until_end(), name=f"end of {self._execution.name}")
        try:
            while True:
                began = time.monotonic()
                snapshot = await self._read()
                if snapshot != self._latest:
                    await self._publish(snapshot)
                if snapshot.execution.phase.terminal:
                    return
                await self._pause(end, time.monotonic() - began)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must get it instead of silence
            await self._publish(self._latest, error)
        finally:
            end.cancel()
            await asyncio.gather(end, return_exceptions=True)

    async def _read(self) -> Update:
        record = await self._sources.execution(self._execution)
        known = {node.id: node for node in self._latest.nodes} if self._latest else {}
        if not self._watchers:
            return Update(execution=record, nodes=tuple(known.values()))
        found = await self._sources.nodes(record)
        # What has not changed stays the same object: compared here once, however many watch.
        nodes = (old if (old := known.get(node.id)) == node else node for node in found)
        return Update(execution=record, nodes=tuple(nodes))

    async def _pause(self, end: asyncio.Task[None], cost_s: float) -> None:
        # Reading the nodes of a big execution takes long; then it is done less often, so that it stays a small share.
        interval = max(WATCH_INTERVAL_S, 3 * cost_s) if self._watchers else WAIT_INTERVAL_S
        if end.done():
            end.result()
            interval = WATCH_INTERVAL_S
        self._wake.clear()
        woken = asyncio.create_task(self._wake.wait(), name=f"wake {self._execution.name}")
        waited: set[asyncio.Task[object]] = {woken} if end.done() else {woken, end}
        try:
            await asyncio.wait(waited, timeout=interval, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also when the poller is cancelled here: `wait` leaves the tasks that it was given alone.
            woken.cancel()
            await asyncio.gather(woken, return_exceptions=True)

    async def _until_end(self) -> None:
        """Return when the engine says that the run has ended and the store knows it."""
        while True:
            try:
                final = await self._sources.engine.wait(self._execution, LONG_POLL_S)
            except NotFound:
                # Accepted, but not started yet: Temporal was away. Reconciliation starts it.
                await asyncio.sleep(RETRY_S)
                continue
            except PlatformUnavailable as error:
                _log.info("Waiting for the engine: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            if final is not None:
                await self._record(final)
                return

    async def _record(self, final: RunState) -> None:
        while True:
            try:
                return await self._sources.ended(self._execution, final)
            except PlatformError as error:
                _log.warning("The end of %s is not recorded yet: %s", self._execution.name, error)
                await asyncio.sleep(RETRY_S)
