"""Objects of the blob store that are not what their keys say, and the remembered outputs that refer to them.

Called at each hit (`lookups`), and when an attempt ended because of such an object (`remembering`). What is damaged is
removed: its key is the digest of other bytes, so that nobody can use it, and a store does not send again what it has.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable

from flyte_temporal.errors import CorruptBlob
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.spec import keys
from flyte_temporal.spec.cache import CacheEntry, EntryFilter
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

DIGESTED_BYTES = 1024 * 1024
"""Objects up to this size are read when an entry is hit that refers to them; of larger ones only the size is compared."""

DIGESTED_PER_ENTRY = 4 * DIGESTED_BYTES
"""How much is read so of the objects of one entry, the smallest first: some milliseconds."""

_PIECE = 1024 * 1024
_NAMED = re.compile(r"blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}")


def to_digest(entries: Iterable[CacheEntry]) -> set[str]:
    """Return which objects of some entries are to be read when they are hit."""
    wanted: set[str] = set()
    for entry in entries:
        left = DIGESTED_PER_ENTRY
        for stored in sorted(entry.objects, key=lambda each: (each.size, each.key)):
            left -= stored.size
            if left < 0 or stored.size > DIGESTED_BYTES:
                break
            if keys.digest_in(stored.key):
                wanted.add(stored.key)
    return wanted


def is_whole(blobs: BlobStore, key: str) -> bool:
    """Return whether a small object is there with the bytes that its key says; remove it if it has others.

    Raises:
        StorageError: If the store did not answer.
    """
    try:
        return blobs.get(key, keys.digest_in(key)) is not None
    except CorruptBlob:
        remove(blobs, key)
        return False


def names_objects(error: ErrorDocument) -> bool:
    """Return whether a failure names objects, so that these are to be looked at."""
    return _NAMED.search(error.message) is not None


def forget(catalog: Catalog, blobs: BlobStore, execution: ExecutionId, error: ErrorDocument) -> int:
    """Drop what is remembered of outputs that refer to objects which a failure names, if these are gone or damaged.

    Args:
        catalog: The entries.
        blobs: The objects.
        execution: Whose attempt failed; entries of its project and domain are meant.
        error: How it failed.

    Returns:
        How many entries were dropped.

    Raises:
        PlatformError: If the catalog or the store did not answer.
    """
    dropped = 0
    for key in sorted(set(_NAMED.findall(error.message))):
        if _large_is_whole(blobs, key):
            continue
        wanted = EntryFilter(project=execution.project, domain=execution.domain, object=key)
        entries = catalog.entries(wanted)
        dropped += catalog.drop(entries) if entries else 0
        _log.warning(
            "%s is gone or damaged; %d remembered results that need it are dropped.", key, len(entries)
        )
    return dropped


def _large_is_whole(blobs: BlobStore, key: str) -> bool:
    stream = blobs.open(key)
    if stream is None:
        return False
    found = hashlib.sha256()
    with stream:
        while data := stream.read(_PIECE):
            found.update(data)
    if found.hexdigest() == keys.digest_in(key):
        return True
    remove(blobs, key)
    return False


def remove(blobs: BlobStore, key: str) -> None:
    """Remove an object that has other bytes than its key says."""
    _log.error(
        "%s does not hold the bytes that its key says: it was changed or damaged, and is removed.", key
    )
    blobs.delete(key)
