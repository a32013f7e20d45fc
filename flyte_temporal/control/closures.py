"""Closures in the blob store, and the versions that name them."""

from __future__ import annotations

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.plan import check_plan
from flyte_temporal.control.requests import closure_bytes
from flyte_temporal.errors import CorruptBlob, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.ports.clock import Clock
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.identifiers import EntityId

_KEPT = 64
"""Closures kept in memory; a listing of nodes needs one each time."""


class Closures:
    """Stores and finds closures. Synchronous: called in threads.

    Args:
        blobs: Where they are, under their digests.
        store: Which version is which digest.
        clock: For the time of registration.
        limits: For their size.
    """

    def __init__(self, blobs: BlobStore, store: MetadataStore, clock: Clock, limits: LimitSettings) -> None:
        self._blobs = blobs
        self._store = store
        self._clock = clock
        self._limits = limits
        self._known: dict[str, Closure] = {}

    def register(self, entity: EntityId, closure: Closure) -> str:
        """Store a closure and make it the content of a version; return its digest.

        Raises:
            Conflict: If the version is registered with other content.
            LimitExceeded: If it is too large.
            UnsupportedSpec: If this release cannot run it.
            PlatformError: If a store failed.
        """
        check_plan(closure, self._limits.max_nodes)
        data = closure_bytes(closure, self._limits)
        digest = sha256_hex(data)
        if self._blobs.put_new(keys.closure(digest), data, digest) is Put.CONFLICT:
            raise CorruptBlob(
                f"The blob store holds other bytes under {keys.closure(digest)}. Remove that object and try again."
            )
        self._store.register(entity, digest, self._clock.now())
        self._keep(digest, closure)
        return digest

    def find(self, digest: str) -> Closure:
        """Return a closure.

        Raises:
            UnsupportedSpec: If it is gone from the blob store or was written by a newer release.
        """
        found = self._known.get(digest)
        if found is None:
            data = self._blobs.get(keys.closure(digest), digest)
            if data is None:
                raise UnsupportedSpec(
                    f"The spec {digest} is gone from the blob store; was its folder cleaned?"
                )
            found = Closure.read(data)
            self._keep(digest, found)
        return found

    def _keep(self, digest: str, closure: Closure) -> None:
        self._known[digest] = closure
        if len(self._known) > _KEPT:
            # Another thread may remove the same one.
            self._known.pop(next(iter(list(self._known))), None)
