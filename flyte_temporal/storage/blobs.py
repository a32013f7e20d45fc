"""`open_store`: the one place that turns a `StorageConfig` into a `BlobStore`.

Local folders do not go through fsspec: its local file system neither creates conditionally nor writes atomically
(reliability.md §0.11), and importing it costs 0.17 s in every task process.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.attempt import StorageConfig


def open_store(config: StorageConfig) -> BlobStore:
    """Return the store of a configuration. Nothing is contacted yet.

    Args:
        config: Root and options. A local root is what `Path.as_uri()` gives: `%20` for a space. Its one option is
            `fsync` (see `local.Sync`); all options of other roots go to fsspec.

    Raises:
        StorageError: If the root is no absolute URI, or the library for its scheme is not installed.
    """
    scheme, separator, rest = config.root.partition("://")
    if not separator or not rest:
        raise StorageError(
            f"The storage root {config.root!r} is not a URI. Write file:///absolute/path or s3://bucket/prefix."
        )
    if scheme == "file":
        from flyte_temporal.storage.local import LocalBlobStore, Sync

        if not rest.startswith("/"):
            raise StorageError(
                f"The storage root {config.root!r} is not absolute. Write file:///absolute/path."
            )
        return LocalBlobStore(Path(unquote(rest)), sync=Sync.of(config.options.get("fsync", Sync.DATA)))
    from flyte_temporal.storage.remote import RemoteBlobStore

    return RemoteBlobStore(config)
