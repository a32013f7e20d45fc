"""What is written beside an attempt in the blob store, so that no two pods ever run it: its order, claim and stop.

A pod's runtime creates the claim before it touches user code; whoever stops an attempt that has not begun creates it in
its stead, and then it never begins, even if its pod is still on its way. So it does not matter whether a create whose
answer was lost took effect, nor that a pod may be made a second time under its name (docs/decisions/0054).
"""

from __future__ import annotations

import asyncio

from flyte_temporal.errors import LauncherError, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Claim, Intent, StorageConfig
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders


class Claims:
    """What `storage.orders` says of attempts, in threads. Every method raises `StorageError` if the store does not answer.

    Args:
        blobs: The store.
        storage: How it is reached from here; None = as the orders say.
    """

    def __init__(self, blobs: BlobStore, storage: StorageConfig | None = None) -> None:
        self._blobs = blobs
        self._storage = storage

    async def give(self, order: AttemptOrder) -> bool:
        """Store an order; return whether it is new, so that no pod of the attempt can be there."""
        return await asyncio.to_thread(orders.leave_new, self._blobs, order)

    async def order(self, attempt: AttemptId) -> AttemptOrder | None:
        """Return the order of an attempt, if it was ever given here, as one that is carried out from here."""
        data = await asyncio.to_thread(self._blobs.get, keys.order(attempt))
        if data is None:
            return None
        try:
            order = AttemptOrder.read(data)
        except UnsupportedSpec as error:
            raise LauncherError(f"The order of {attempt.label} cannot be read: {error}") from error
        # It was written for the pod, which may reach the store by another address.
        return order if self._storage is None else order.model_copy(update={"storage": self._storage})

    async def claim(self, attempt: AttemptId) -> Claim | None:
        """Return by whom an attempt was claimed."""
        return await asyncio.to_thread(orders.claimed, self._blobs, attempt)

    async def never(self, attempt: AttemptId, intent: Intent) -> Claim:
        """See that an attempt never begins, unless it has begun; return whose claim stands."""
        return await asyncio.to_thread(orders.claim, self._blobs, Claim(attempt=attempt, intent=intent))

    async def note_stop(self, attempt: AttemptId, intent: Intent) -> None:
        """Write down why an attempt is being stopped; the first reason stands."""
        await asyncio.to_thread(orders.request_stop, self._blobs, attempt, intent)

    async def stop(self, attempt: AttemptId) -> Intent:
        """Return why an attempt is being stopped."""
        return await asyncio.to_thread(orders.stop_reason, self._blobs, attempt)

    async def ended(self, attempt_key: str) -> bool:
        """Return whether an attempt has left its manifest, or somebody has left one in its stead."""
        return await asyncio.to_thread(self._blobs.head, keys.manifest_of(attempt_key)) is not None
