"""`MemoryBlobStore`: the blob store in a dictionary, with the contract of the real ones."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flyte_temporal.errors import CorruptBlob, StorageError
from flyte_temporal.ports.blob_store import BlobInfo, Put, StoredFile
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.uploads import Upload, UploadRequest
from flyte_temporal.storage.object_keys import checked_key

_ROOT = "memory://test/"


class MemoryBlobStore:
    """Keeps objects in this process; `objects` may be read and damaged by tests."""

    quick = True

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
        """Create an object unless one exists; see the port."""
        del sha256
        given = _bytes(data)
        with self._lock:
            stored = self.objects.get(checked_key(key))
            if stored is None:
                self.objects[key] = given
                return Put.CREATED
        return Put.SAME if stored == given else Put.CONFLICT

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, replacing an older one."""
        self.objects[checked_key(key)] = _bytes(data)

    def get(self, key: str, sha256: str | None = None, max_bytes: int | None = None) -> bytes | None:
        """Return an object's bytes, or None; see the port."""
        data = self.objects.get(checked_key(key))
        if data is None:
            return None
        if max_bytes is not None and len(data) > max_bytes:
            raise StorageError(f"{key} has {len(data)} bytes; at most {max_bytes} are read here.")
        if sha256 is not None and sha256_hex(data) != sha256:
            raise CorruptBlob(f"{key} does not hold the bytes with SHA-256 {sha256}.")
        return data

    def fetch(self, key: str, target: Path, sha256: str | None = None) -> bool:
        """Copy an object to a local file; see the port."""
        data = self.get(key, sha256)
        if data is None:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".tmp-{os.getpid()}-{threading.get_ident()}"
        temporary.write_bytes(data)
        temporary.replace(target)
        return True

    def put_file(self, path: Path, *, give: bool = False) -> StoredFile:
        """Store a local file under its digest; see the port."""
        del give
        return self._keep(path.read_bytes())

    def settle(self) -> None:
        """Do nothing: files that were given away were copied."""

    def create(self) -> MemoryWriter:
        """Begin an object that is written in pieces; see the port."""
        return MemoryWriter(self)

    def open(self, key: str, sha256: str | None = None) -> IO[bytes] | None:
        """Open an object for reading; see the port."""
        del sha256
        data = self.objects.get(checked_key(key))
        return None if data is None else io.BytesIO(data)

    def _keep(self, data: bytes) -> StoredFile:
        sha256 = sha256_hex(data)
        self.objects[keys.blob(sha256)] = data
        return StoredFile(key=keys.blob(sha256), sha256=sha256, size=len(data))

    def head(self, key: str) -> BlobInfo | None:
        """Return size and key of an object, or None."""
        data = self.objects.get(checked_key(key))
        return None if data is None else BlobInfo(key=key, size=len(data))

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        self.objects.pop(checked_key(key), None)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield the objects below a prefix in order of keys."""
        start = f"{checked_key(prefix.rstrip('/'))}/" if prefix else ""
        for key in sorted(self.objects):
            if key.startswith(start):
                yield BlobInfo(key=key, size=len(self.objects[key]))

    def presign(self, key: str, request: UploadRequest) -> Upload | None:
        """Return None: nobody else can reach it."""
        del key, request
        return None

    def uri(self, key: str) -> str:
        """Return the address of a key."""
        return _ROOT + checked_key(key)

    def key(self, uri: str) -> str | None:
        """Return the key of an address of this store, or None."""
        return checked_key(uri.removeprefix(_ROOT)) if uri.startswith(_ROOT) and uri != _ROOT else None


class MemoryWriter:
    """An object on its way into a `MemoryBlobStore`."""

    def __init__(self, store: MemoryBlobStore) -> None:
        self._store = store
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._data += data

    def commit(self) -> StoredFile:
        """Store it under its digest."""
        return self._store._keep(bytes(self._data))  # noqa: SLF001 - the two are one thing

    def abort(self) -> None:
        """Throw away what was written."""
        self._data.clear()


def _bytes(data: bytes | Path) -> bytes:
    return data.read_bytes() if isinstance(data, Path) else data
