"""`Machine`: what all parts of a launcher of containers share, and what they ask of the engine and of the blob store."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from flyte_temporal.adapters.launchers.containers import plan
from flyte_temporal.adapters.launchers.containers.engine import Container, ContainerEngine
from flyte_temporal.adapters.launchers.containers.entries import Entry
from flyte_temporal.adapters.launchers.containers.places import Places
from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState, StorageConfig
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store


@dataclass(frozen=True)
class Machine:
    """Where containers run.

    Args:
        engine: Podman or docker.
        places: What is kept of attempts on this machine.
        storage: The blob store.
    """

    engine: ContainerEngine
    places: Places
    storage: StorageConfig

    @property
    def store(self) -> BlobStore:
        """Return the blob store."""
        return open_store(self.storage)

    async def own(self, attempt: AttemptId) -> Container | None:
        """Return what the engine shows of an attempt's container; one of its name that is another's is none.

        Raises:
            LauncherError: If the engine does not answer.
        """
        seen = await self.engine.inspect(plan.container_name(attempt))
        return seen if seen is not None and seen.attempt == attempt.key else None

    async def with_intent(self, entry: Entry, state: AttemptState) -> AttemptState:
        """Return a state with the reason of its stop, which may have been asked for by a worker that is gone.

        Raises:
            StorageError: If the store did not answer.
        """
        if entry.intent:
            return state
        found = await asyncio.to_thread(orders.stop_reason, self.store, entry.attempt)
        return state.model_copy(update={"intent": found})

    async def has_manifest(self, attempt: AttemptId) -> bool:
        """Return whether an attempt has left its manifest.

        Raises:
            StorageError: If the store did not answer.
        """
        return await asyncio.to_thread(self.store.head, keys.manifest(attempt)) is not None

    def order(self, attempt: AttemptId) -> AttemptOrder | None:
        """Return what an attempt was to run, if that is still there.

        Raises:
            StorageError: If the store did not answer.
        """
        with suppress(LauncherError):
            return orders.read(keys.order(attempt), self.storage)
        return None
