"""`RemoteBlobStore`: the blob store on object storage (S3, GCS, whatever fsspec knows).

Every call is repeated a few times, and by an attempt that has computed for longer (`patience`); a conditional create whose answer was lost, or was an error of any kind, is
followed by a read-back, because the object under the key may be our own (reliability.md §0.10).
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from flyte_temporal.errors import BadRequest, CorruptBlob, StorageError
from flyte_temporal.ports.blob_store import BlobInfo, Put, StoredFile
from flyte_temporal.spec import keys
from flyte_temporal.spec.storage import StorageConfig
from flyte_temporal.spec.uploads import Upload, UploadRequest
from flyte_temporal.storage import patience
from flyte_temporal.storage.clouds import Cloud, cloud
from flyte_temporal.storage.hashing import Digest
from flyte_temporal.storage.object_keys import TEMPORARY, checked_key

T = TypeVar("T")

SINGLE_PUT_BYTES = 64 * 1024 * 1024
"""Up to this size an object is created by one request, whose condition every S3 checks; emulators and some S3s
ignore the condition on multipart uploads."""

_TRIES = 5
_RETRY_S = 60.0
"""After so many seconds nothing is tried again: a server that answers nothing costs one more time-out at most."""
_LONGEST_PAUSE_S = 5.0
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, BadRequest)


class RemoteBlobStore:
    """A prefix of a bucket as a blob store.

    Args:
        config: The prefix, such as `s3://bucket/prefix`, and how it is reached.
        pause_s: First pause between tries, in seconds; doubled each time, up to 5 s.

    Raises:
        StorageError: If the library for the scheme is not installed, or it finds no credentials.
    """

    quick = False

    def __init__(self, config: StorageConfig, pause_s: float = 0.1) -> None:
        self._root = config.root.rstrip("/")
        self._pause_s = pause_s
        self._cloud = cloud(config, pause_s)
        self._fs = self._cloud.fs

    def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
        """Create an object unless one exists; see the port."""
        path = self._path(key)
        if isinstance(data, Path) and data.stat().st_size <= SINGLE_PUT_BYTES:
            data = data.read_bytes()
        tries = self._tries()
        while True:
            try:
                self._create(path, data)
            except Exception as error:  # backends raise anything; the read-back tells what happened
                if self._cloud.refuses(error):
                    raise _failed("create", path, error) from error
                stored = self.head(key)
                if stored is not None:
                    return self._compare(key, stored, data, sha256)
                if not tries.again(error):
                    raise _failed("create", path, error) from error
            else:
                patience.wrote()
                return Put.CREATED

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, replacing an older one as a whole."""
        path = self._path(key)
        if isinstance(data, Path):
            self._call("write", path, lambda: self._fs.put_file(str(data), path))
        else:
            self._call("write", path, lambda: self._fs.pipe_file(path, data))
        patience.wrote()

    def get(self, key: str, sha256: str | None = None, max_bytes: int | None = None) -> bytes | None:
        """Return an object's bytes, or None; see the port."""
        path = self._path(key)
        if max_bytes is not None:
            stored = self.head(key)
            if stored is not None and stored.size > max_bytes:
                raise StorageError(f"{path} has {stored.size} bytes; at most {max_bytes} are read here.")
        try:
            data: bytes = self._call("read", path, lambda: self._fs.cat_file(path))
        except (FileNotFoundError, IsADirectoryError):
            return None
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptBlob(
                f"{path} does not hold the bytes with SHA-256 {sha256}; it was changed or damaged."
            )
        return data

    def fetch(self, key: str, target: Path, sha256: str | None = None) -> bool:
        """Copy an object to a local file; see the port."""
        path = self._path(key)
        if self.head(key) is None:
            return False
        temporary = target.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._call("copy", path, lambda: self._fs.get_file(path, str(temporary)))
            if sha256 is not None and _digest(temporary) != sha256:
                raise CorruptBlob(f"{path} does not hold the bytes with SHA-256 {sha256}; it was damaged.")
            temporary.replace(target)
        except FileNotFoundError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def put_file(self, path: Path, *, give: bool = False) -> StoredFile:
        """Store a local file under its digest; one that is there is not sent again.

        It is read twice, because only its digest tells whether it has to be sent.
        """
        del give
        sha256 = _digest(path)
        size = path.stat().st_size
        key = keys.blob(sha256)
        stored = self.head(key)
        if stored is None or stored.size != size:
            self.put(key, path)
        patience.wrote()
        return StoredFile(key=key, sha256=sha256, size=size)

    def settle(self) -> None:
        """Do nothing: files that were given away were copied."""

    def create(self) -> RemoteWriter:
        """Begin an object that is written in pieces; see the port."""
        return RemoteWriter(self)

    def open(self, key: str, sha256: str | None = None) -> IO[bytes] | None:
        """Open an object for reading; see the port."""
        del sha256
        path = self._path(key)
        if self.head(key) is None:  # s3fs opens a folder too, and tells only when it is read
            return None
        try:
            opened: IO[bytes] = self._call("open", path, lambda: self._fs.open(path, "rb"))
        except (FileNotFoundError, IsADirectoryError):
            return None
        return opened

    def head(self, key: str) -> BlobInfo | None:
        """Return size and key of an object, or None."""
        path = self._path(key)
        try:
            size = self._call("look at", path, lambda: self._cloud.head(path))
        except (FileNotFoundError, IsADirectoryError):
            return None
        return BlobInfo(key=key, size=size) if size is not None else None

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        path = self._path(key)
        try:
            self._call("delete", path, lambda: self._fs.rm_file(path))
        except FileNotFoundError:
            return

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield the objects below a prefix in order of keys."""
        path = self._path(prefix.rstrip("/")) if prefix else self._root
        try:
            found = self._call("list", path, lambda: self._fs.find(path, detail=True))
        except FileNotFoundError:
            return
        start = len(self._fs._strip_protocol(self._root)) + 1  # noqa: SLF001 - fsspec has no public name for it
        for name in sorted(found):
            if found[name]["type"] == "file":
                yield BlobInfo(key=name[start:], size=int(found[name]["size"]))

    def uri(self, key: str) -> str:
        """Return the address of a key."""
        return self._path(key)

    def key(self, uri: str) -> str | None:
        """Return the key of an address below the root, or None."""
        prefix = f"{self._root}/"
        return checked_key(uri[len(prefix) :]) if uri.startswith(prefix) and uri != prefix else None

    def presign(self, key: str, request: UploadRequest) -> Upload | None:
        """Return an address for one upload, signed by this process's credentials; see the port."""
        path = self._path(key)
        return self._call("sign an address of", path, lambda: self._cloud.presign(path, request))

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(key)}"

    def _create(self, path: str, data: bytes | Path) -> None:
        if isinstance(data, Path):
            self._fs.put_file(str(data), path, mode="create")
        else:
            # A chunk size of its own, so that the object is always one request (see SINGLE_PUT_BYTES).
            self._fs.pipe_file(path, data, mode="create", chunksize=max(SINGLE_PUT_BYTES, len(data)) + 1)

    def _compare(self, key: str, stored: BlobInfo, data: bytes | Path, sha256: str | None) -> Put:
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if stored.size != size:
            return Put.CONFLICT
        if isinstance(data, bytes):
            return Put.SAME if self.get(key) == data else Put.CONFLICT
        wanted = sha256 or _digest(data)
        path = self._path(key)
        return (
            Put.SAME
            if self._call("read", path, lambda: self._stored_digest(path)) == wanted
            else Put.CONFLICT
        )

    def _stored_digest(self, path: str) -> str:
        found = hashlib.sha256()
        with self._fs.open(path, "rb") as file:
            while chunk := file.read(8 * 1024 * 1024):
                found.update(chunk)
        return found.hexdigest()

    def _call(self, what: str, path: str, action: Callable[[], T]) -> T:
        tries = self._tries()
        while True:
            try:
                return action()
            except _ANSWERS:
                raise
            except Exception as error:  # backends raise their own trees (botocore, aiohttp, gcsfs)
                if self._cloud.refuses(error) or not tries.again(error):
                    raise _failed(what, path, error) from error

    def _tries(self) -> _Tries:
        return _Tries(self._cloud, self._pause_s)


class _Tries:
    """The tries of one call: when the next one comes, and whether it is worth it."""

    def __init__(self, cloud: Cloud, pause_s: float) -> None:
        self._cloud = cloud
        self._pause_s = pause_s
        self._begun = time.monotonic()
        self._number = 1

    def again(self, error: Exception) -> bool:
        """Wait and return True if the call is to be made again after an error."""
        spent = time.monotonic() - self._begun
        few = self._number < _TRIES and spent <= _RETRY_S
        # A reason that passes: 500, 503, SlowDown, a broken connection. A wrong request does not become right.
        if not few and not (self._cloud.passes(error) and patience.lasts()):
            return False
        pause = min(_LONGEST_PAUSE_S, self._pause_s * 2 ** min(self._number - 1, 16))
        time.sleep(pause * (1 + random.random()))  # noqa: S311 - only spreads retries
        self._number += 1
        return True


class RemoteWriter:
    """An object of a remote store: written to a name of its own, then copied to its digest inside of the store.

    The copy moves no bytes over the network. What a killed process leaves below `uploads/` is for the bucket's rule
    (docs/files.md).
    """

    def __init__(self, store: RemoteBlobStore) -> None:
        self._store = store
        self._path = store._path(f"uploads/{secrets.token_hex(16)}")  # noqa: SLF001 - the two are one thing
        self._digest = Digest()
        self._over = False
        self._file: Any = store._call("write", self._path, lambda: store._fs.open(self._path, "wb"))  # noqa: SLF001

    def write(self, data: bytes) -> None:
        """Add bytes; see the port."""
        self._digest.update(data)
        try:
            self._file.write(data)
        except Exception as error:  # backends raise their own trees
            raise _failed("write", self._path, error) from error

    def commit(self) -> StoredFile:
        """Store it under its digest; see the port."""
        store = self._store
        try:
            sha256 = self._digest.hexdigest()
            self._finish()
            key = keys.blob(sha256)
            if store.head(key) is None:
                target = store._path(key)  # noqa: SLF001 - as above
                store._call("copy", target, lambda: store._fs.cp_file(self._path, target))  # noqa: SLF001
        except StorageError:
            raise
        except Exception as error:
            raise _failed("write", self._path, error) from error
        finally:
            self.abort()
        return StoredFile(key=key, sha256=sha256, size=self._digest.size)

    def _finish(self) -> None:
        """Send the last piece. One that was sent again, because its answer was lost, must not be there twice, nor be missing.

        The name is this object's alone. So if the library fails because a second last piece meets an upload that is over, and
        all is there, then it was only the answer that was lost.
        """
        try:
            self._file.close()
        except Exception:
            with suppress(FileNotFoundError):
                if self._arrived() == self._digest.size:
                    return
            raise
        size = self._arrived()
        if size != self._digest.size:
            raise StorageError(
                f"Could not write {self._path}: {size} bytes arrived instead of {self._digest.size}."
            )

    def _arrived(self) -> int | None:
        store = self._store
        return store._call("look at", self._path, lambda: store._cloud.head(self._path))  # noqa: SLF001 - as above

    def abort(self) -> None:
        """Throw away what was written."""
        if self._over:
            return
        self._over = True
        self._digest.close()
        with suppress(Exception):  # an upload that cannot be ended is left to the bucket's rule
            if not self._file.closed:
                self._file.discard()
                self._file.closed = True
        with suppress(Exception):
            self._store._fs.rm_file(self._path)  # noqa: SLF001 - as above


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(what: str, path: str, error: Exception | None) -> StorageError:
    reason = f"{type(error).__name__}: {error}" if error is not None else "unknown"
    return StorageError(f"Could not {what} {path}: {reason}")
