"""Closures by digest, kept in memory: activities carry a digest and a task's name instead of the task itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from temporalio import activity

from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import FlyteTemporalError, NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import calls, keys
from flyte_temporal.spec.entities import Closure, TaskSpec


class Closures:
    """Loads closures from the blob store, each once.

    Args:
        blobs: The store.
        kept: How many stay in memory.
    """

    def __init__(self, blobs: BlobStore, kept: int = 64) -> None:
        self._blobs = blobs
        self._kept = kept
        self._loaded: OrderedDict[str, asyncio.Future[Closure]] = OrderedDict()

    async def task(self, sha256: str, name: str) -> TaskSpec:
        """Return a task of a stored closure.

        Raises:
            NotFound: If the closure is not in the store, or holds no such task.
            CorruptBlob: If the stored bytes are not what they should be.
            UnsupportedSpec: If it was written by a newer release.
        """
        closure = await self.closure(sha256)
        task = closure.tasks.get(name)
        if task is None:
            raise NotFound(f"The closure {sha256[:12]} has no task {name!r}.")
        return task

    async def closure(self, sha256: str) -> Closure:
        """Return a stored closure; raises as `task`."""
        found = self._loaded.get(sha256)
        if found is None:
            found = asyncio.ensure_future(asyncio.to_thread(self._load, sha256))
            self._loaded[sha256] = found
            if len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
        else:
            self._loaded.move_to_end(sha256)
        try:
            return await asyncio.shield(found)
        except BaseException:
            if found.done() and (found.cancelled() or found.exception()):
                self._loaded.pop(sha256, None)
            raise

    @activity.defn(name=calls.LOAD)
    async def load(self, request: calls.LoadRequest) -> Closure:
        """Return a stored closure to a run that continues another one.

        Raises:
            ApplicationError: As `closure`.
        """
        try:
            return await self.closure(request.spec)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    def _load(self, sha256: str) -> Closure:
        data = self._blobs.get(keys.closure(sha256), sha256)
        if data is None:
            raise NotFound(f"The closure {sha256[:12]} is not in the blob store.")
        return Closure.read(data)
