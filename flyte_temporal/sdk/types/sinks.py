"""Where streams are written to: the blob store, an address of the user's own, a local path.

All three hash what passes, and keep all of it or nothing. Used by `file`, for `open("w")` and for `remote_path`.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.streaming import Sink
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.storage.hashing import Digest

_PIECE = 1024 * 1024


class FileSink(Sink):
    """A sink that knows, after `commit`, what file it has made."""

    value: FileValue


class StoreSink(FileSink):
    """Into the blob store, under the digest."""

    def __init__(self, blobs: BlobStore, name: str) -> None:
        self._blobs, self._name = blobs, name
        self._writer = blobs.create()

    def write(self, data: bytes) -> None:
        """Add bytes; see `Sink`."""
        self._writer.write(data)

    def commit(self) -> None:
        """Store it."""
        done = self._writer.commit()
        uri = self._blobs.uri(done.key)
        self.value = FileValue(uri=uri, name=self._name, sha256=done.sha256, size=done.size)

    def abort(self) -> None:
        """Throw it away."""
        self._writer.abort()


class LocalSink(FileSink):
    """To a local path, beside which the unfinished file stands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = Digest()
        self._partial = path.with_name(f".{uuid.uuid4().hex}.part")
        with _local_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Add bytes; see `Sink`."""
        self._digest.update(data)
        with _local_errors(self._path):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def commit(self) -> None:
        """Give it its name."""
        with _local_errors(self._path):
            self._file.close()
            self._partial.replace(self._path)
        uri = self._path.absolute().as_uri()
        self.value = FileValue(
            uri=uri, name=self._path.name, sha256=self._digest.hexdigest(), size=self._digest.size
        )

    def abort(self) -> None:
        """Throw it away."""
        self._digest.close()
        self._file.close()
        self._partial.unlink(missing_ok=True)


class AddressSink(FileSink):
    """To an address of the user's own; what stands there is replaced."""

    def __init__(self, uri: str) -> None:
        import fsspec

        self._uri = uri
        self._digest = Digest()
        with transfer.address_errors(uri, "written"):
            # A plain file of fsspec, so that an upload can be given up.
            self._file: Any = fsspec.open(uri, "wb").open()

    def write(self, data: bytes) -> None:
        """Add bytes; see `Sink`."""
        self._digest.update(data)
        with transfer.address_errors(self._uri, "written"):
            self._file.write(data)

    def commit(self) -> None:
        """End the upload."""
        with transfer.address_errors(self._uri, "written"):
            self._file.close()
        self.value = FileValue(
            uri=self._uri,
            name=transfer.name_of(self._uri),
            sha256=self._digest.hexdigest(),
            size=self._digest.size,
        )

    def abort(self) -> None:
        """Give the upload up; where the protocol cannot, what was written so far stays."""
        self._digest.close()
        with suppress(Exception):
            self._file.discard()
            self._file.closed = True


def _local_errors(path: Path) -> Any:
    return transfer.address_errors(path.absolute().as_uri(), "written")


def check_target(uri: str) -> None:
    """Refuse addresses to which nothing can be written.

    Raises:
        StorageError: If the protocol has no way to write.
    """
    if urlsplit(uri).scheme in {"http", "https"}:
        raise StorageError(f"{uri} cannot be written: a web address is for reading only.")


def address_sink(uri: str) -> FileSink:
    """Return the sink of an address with one of the allowed schemes.

    Raises:
        StorageError: If it cannot be written.
    """
    check_target(uri)
    local = transfer.local_path(uri)
    return LocalSink(local) if local is not None else AddressSink(uri)


def send(path: Path, uri: str) -> FileValue:
    """Copy a local file to an address of the user's own, read once, and return what is there now.

    Raises:
        OSError: If the file cannot be read.
        StorageError: If the address cannot be written.
    """
    with path.open("rb") as source:
        sink = address_sink(uri)
        try:
            while data := source.read(_PIECE):
                sink.write(data)
            sink.commit()
        except BaseException:
            sink.abort()
            raise
    return sink.value
