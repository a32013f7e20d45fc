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

ATTEMPT_PATIENCE_S = 300.0
"""How long an attempt tries again while the store has a bad time: what it has computed is worth more than five minutes
(reliability.md §2.3, row 11)."""


def open_store(config: StorageConfig, patience_s: float = 0.0) -> BlobStore:
    """Return the store of a configuration. It is not contacted yet; only credentials may be looked for.

    Args:
        config: Root and how it is reached. A local root is what `Path.as_uri()` gives: `%20` for a space. Its one option is
            `fsync` (see `local.Sync`); all options of other roots go to fsspec.
        patience_s: For how long calls are tried again while a remote store has a bad time (see `remote`).

    Raises:
        StorageError: If the root is no absolute URI, the library for its scheme is not installed, or no credentials are found.
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

    return RemoteBlobStore(config, patience_s=patience_s)


def open_for_attempt(config: StorageConfig) -> BlobStore:
    """Return the store for an attempt: patient, and its way to the cloud is open to user code too.

    What user code reads by fsspec, or a library over it (`pandas.read_parquet("s3://…")`, `FlyteFile("gs://…")`), is reached as
    the store is, unless it says otherwise: fsspec has defaults for each scheme, which a file of the user's own may set too.

    Raises:
        StorageError: As `open_store`.
    """
    store = open_store(config, ATTEMPT_PATIENCE_S)
    if not config.root.startswith("file:"):
        from flyte_temporal.storage.clouds import share

        share(config)
    return store
