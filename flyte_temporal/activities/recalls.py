"""What an earlier execution has of nodes that are about to run, for `lookups`: asked before the catalog is."""

from __future__ import annotations

import asyncio

from flyte_temporal.activities.closures import Closures
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.lookup_calls import LookupRequest, Recalled
from flyte_temporal.storage.recall import Earlier


class Recalls:
    """Answers for the execution that recovers another one.

    Args:
        store: Records of earlier executions.
        blobs: Their results.
        closures: What their dynamic tasks gave.
    """

    def __init__(self, store: MetadataStore, blobs: BlobStore, closures: Closures) -> None:
        self._earlier = Earlier(store, blobs)
        self._closures = closures

    async def find(self, request: LookupRequest) -> dict[str, Recalled]:
        """Return, by node, what there is of those items that ask for it; nothing if nothing is recovered.

        Raises:
            PlatformError: If a store did not answer.
        """
        recovery = request.recover
        wanted = {item.node: item.basis for item in request.items if item.basis is not None}
        if recovery is None or not wanted:
            return {}
        found = await asyncio.to_thread(self._earlier.find, request.execution, recovery, wanted)
        return {node: await self._whole(recalled) for node, recalled in found.items()}

    async def _whole(self, found: Recalled) -> Recalled:
        if not found.spec:
            return found
        return found.model_copy(update={"closure": await self._closures.closure(found.spec)})
