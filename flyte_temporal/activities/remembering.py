"""Puts outputs into the catalog, keeps leases alive, and tells those who waited.

Called by attempts as the last part of their success, and by the interpreter for nodes that no attempt gives outputs of
(dynamic tasks). Nothing here makes a node fail: what cannot be remembered is only not remembered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeAlias

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from flyte_temporal.activities import damage
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.stored_objects import make_entry
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.spec.cache import CacheEntry, CacheOrder, Lease, LeaseOwner
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.identifiers import ExecutionId, NodePath
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.lookup_calls import CACHE_ENDED, STORE, StoreItem, StoreRequest, StoreResult

_log = logging.getLogger(__name__)

_PATIENCE_S = 15.0
"""How long a node waits for its outputs to be remembered; more than a busy database takes, which answers by itself."""

_Put: TypeAlias = tuple[CacheEntry, Lease | None]


class Remembering:
    """Writes to the catalog from one thread; what comes while it writes goes into its next transaction.

    Args:
        catalog: The catalog.
        blobs: Where outputs that are too large for a row go.
        closures: Where the interfaces of tasks are found.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, closures: Closures) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._closures = closures
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._queue: list[tuple[_Put, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def put(self, execution: ExecutionId, item: StoreItem) -> bool:
        """Remember the outputs of a node, and end its lease; return whether that was done."""
        lease = lease_of(execution, item.node, item.memo)
        try:
            task = await self._closures.task(item.spec, item.memo.task)
            entry = await self._entry(execution, item, task.interface)
            stored = await asyncio.wait_for(self._written((entry, lease)), _PATIENCE_S)
        except TimeoutError:
            # It stays in the queue, and ends its lease if the catalog answers after all; a release would only hang as well.
            _log.warning("The catalog says nothing of outputs of %s/%s.", execution.name, item.node)
            return False
        except FlyteTemporalError as error:
            _log.warning("Outputs of %s/%s were not remembered: %s", execution.name, item.node, error)
            stored = False
        if lease is not None:
            if not stored:
                await self._released(lease, failed=False)
            self._tell(lease)
        return stored

    async def forget(self, execution: ExecutionId, error: ErrorDocument) -> None:
        """Drop what is remembered of outputs that an attempt could not use, because objects are gone or damaged."""
        if not damage.names_objects(error):
            return
        try:
            await asyncio.to_thread(damage.forget, self._catalog, self._blobs, execution, error)
        except FlyteTemporalError as failure:
            _log.warning("Remembered results with damaged objects were not dropped: %s", failure)

    async def _entry(self, execution: ExecutionId, item: StoreItem, interface: Interface) -> CacheEntry:
        now = datetime.now(UTC)
        if self._blobs.quick:
            return make_entry(self._blobs, execution, item, interface, now)
        return await asyncio.to_thread(make_entry, self._blobs, execution, item, interface, now)

    async def _written(self, put: _Put) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((put, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        while self._queue:
            waiting, self._queue = self._queue, []
            puts = [put for put, _done in waiting]
            try:
                stored = await self._in_thread(puts)
            except FlyteTemporalError as error:
                _log.warning("%d results were not remembered: %s", len(puts), error)
                stored = [False] * len(puts)
            except BaseException:
                for _put, done in waiting:
                    done.cancel()
                raise
            for (_put, done), answer in zip(waiting, stored, strict=True):
                if not done.done():
                    done.set_result(answer)

    async def _in_thread(self, puts: list[_Put]) -> list[bool]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._catalog.put, puts)

    async def extend(self, lease: Lease, lease_s: float) -> bool:
        """Let a lease hold for longer; return False if somebody else surely has it, or may have it by now."""
        try:
            return await asyncio.to_thread(self._catalog.extend, lease, lease_s)
        except FlyteTemporalError as error:
            _log.warning("The lease on %s was not extended: %s", lease.key[:12], error)
            return True

    async def release(self, lease: Lease, *, failed: bool) -> None:
        """End a lease without a result, so that one of those who wait computes it."""
        await self._released(lease, failed=failed)
        self._tell(lease)

    async def _released(self, lease: Lease, *, failed: bool) -> None:
        try:
            await asyncio.to_thread(self._catalog.release, [lease], failed=failed)
        except FlyteTemporalError as error:
            _log.warning("The lease on %s was not released; it ends by itself: %s", lease.key[:12], error)

    def _tell(self, lease: Lease) -> None:
        """Wake the executions that wait for a key, beside the work; who is not reached asks again by a timer."""
        telling = asyncio.create_task(self._wake(activity.client(), lease))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _wake(self, client: Client, lease: Lease) -> None:
        try:
            waiting = await asyncio.to_thread(self._catalog.take_waiting, [lease.key])
        except FlyteTemporalError:
            return
        for execution, keys in waiting.items():
            # Its own execution sees the end of the node itself.
            if execution != lease.owner.execution:
                try:
                    await client.get_workflow_handle(execution).signal(CACHE_ENDED, keys)
                except RPCError:
                    continue

    @activity.defn(name=STORE)
    async def store(self, request: StoreRequest) -> StoreResult:
        """Remember outputs of nodes."""
        return StoreResult(stored=tuple(await self._all(request.execution, request.items)))

    async def _all(self, execution: ExecutionId, items: Iterable[StoreItem]) -> list[bool]:
        return await asyncio.gather(*(self.put(execution, item) for item in items))

    async def close(self) -> None:
        """Write what waits and end the thread."""
        if self._writer is not None:
            await asyncio.wait((self._writer,), timeout=5)
        self._thread.shutdown()


def lease_of(execution: ExecutionId, node: NodePath, memo: CacheOrder) -> Lease | None:
    """Return the lease under which a node is computed, or None."""
    if not memo.token:
        return None
    return Lease(key=memo.key, owner=LeaseOwner(execution=execution.name, node=node), token=memo.token)
