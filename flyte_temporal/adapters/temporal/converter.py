"""How values become Temporal payloads: pydantic JSON, and a claim check into our blob store for large ones.

The same converter serves client, worker and replayer (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Self

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from flyte_temporal.adapters.temporal.failures import FailureConverter
from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import sha256_hex

THRESHOLD_BYTES = 32 * 1024
"""Payloads above this go to the blob store: 100 commands of an activation then stay below the 4 MiB at which Temporal
terminates a workflow (temporal.md §0.6)."""


class SharedPayloadConverter(PydanticPayloadConverter):
    """Pydantic JSON, made once per process.

    `DataConverter` makes its payload converter anew for every context it is given, several times per activity;
    sharing one (it has no state but caches) spares that. A profile of 1,000 nodes had 3,700 of them.
    """

    _shared: ClassVar[Self | None] = None

    def __new__(cls) -> Self:
        """Return the one instance."""
        if cls._shared is None:
            cls._shared = super().__new__(cls)
            PydanticPayloadConverter.__init__(cls._shared)
        return cls._shared

    def __init__(self) -> None:
        """Do nothing; the instance is complete."""


class BlobStoreDriver(StorageDriver):
    """Keeps payloads under their digest, so that equal ones (the closure of each run of a workflow) are stored once.

    Args:
        blobs: The store.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def name(self) -> str:
        """Return the name that histories carry."""
        return "flyte_temporal.blobs"

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """Store payloads; see the base class."""
        del context
        return [await asyncio.to_thread(self._store, payload.SerializeToString()) for payload in payloads]

    def _store(self, data: bytes) -> StorageDriverClaim:
        sha256 = sha256_hex(data)
        if self._blobs.put_new(keys.payload(sha256), data, sha256) is Put.CONFLICT:
            raise StorageError(f"The payload {sha256} is in the blob store with other bytes; it is corrupt.")
        return StorageDriverClaim(claim_data={"sha256": sha256})

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Read payloads back; see the base class."""
        del context
        return [await asyncio.to_thread(self._retrieve, claim.claim_data["sha256"]) for claim in claims]

    def _retrieve(self, sha256: str) -> Payload:
        data = self._blobs.get(keys.payload(sha256), sha256)
        if data is None:
            raise StorageError(
                f"The payload {sha256} is not in the blob store. Was the store's folder or bucket changed or cleaned?"
            )
        payload = Payload()
        payload.ParseFromString(data)
        return payload


def data_converter(blobs: BlobStore) -> DataConverter:
    """Return the converter that every client, worker and replayer of an installation uses.

    Args:
        blobs: Where large payloads go.
    """
    return DataConverter(
        payload_converter_class=SharedPayloadConverter,
        failure_converter_class=FailureConverter,
        external_storage=ExternalStorage(
            drivers=[BlobStoreDriver(blobs)], payload_size_threshold=THRESHOLD_BYTES
        ),
    )
