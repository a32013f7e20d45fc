"""`LocalBlobStore`: the blob store in a folder of this machine.

An object appears under its key complete or not at all: it is written to a temporary file of the same folder first,
then linked (which fails if the key is taken) or renamed over.
"""

# ruff: noqa: PTH105, PTH106, PTH123, PTH113, PTH116, PTH108, PTH103, PTH112, PTH120
# Plain strings as paths: a short task writes one small object; pathlib would double what that costs.
from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote, unquote

from flyte_temporal.errors import CorruptBlob, StorageError
from flyte_temporal.ports.blob_store import BlobInfo, Put, StoredFile
from flyte_temporal.spec import keys
from flyte_temporal.spec.uploads import Upload, UploadRequest
from flyte_temporal.storage import stamps
from flyte_temporal.storage.copying import copy, copy_known, sealed
from flyte_temporal.storage.hashing import Digest
from flyte_temporal.storage.layout import key_of, path_of, scan
from flyte_temporal.storage.markers import keep_out_of_code
from flyte_temporal.storage.object_keys import TEMPORARY, checked_key

_PLAIN = "/@=+[]"
_LARGE = 8 * 1024 * 1024


class Sync(StrEnum):
    """Which objects are on the disk, not only in the machine's memory, before a write returns.

    Content-addressed data is shared by all later executions, so a torn file would poison them: it is always synced
    unless somebody says NONE. What lies below `attempts/` belongs to one attempt; after a power cut a torn manifest
    costs a repetition of that attempt. Checkpoints are what a repetition starts from: unless NONE, the folders above
    them are synced too with the document that ends a save (`put_new`): once reported, it outlives a power cut. Measured on ext4: a manifest costs 0.04 ms without fsync, 0.5 ms with it
    (0.14 ms of it CPU); on spinning disks 10 ms.
    """

    ALL = "all"
    DATA = "data"
    NONE = "none"

    @classmethod
    def of(cls, setting: object) -> Sync:
        """Return the meaning of the storage option `fsync`: true, false, or one of the names.

        Raises:
            StorageError: If it is anything else.
        """
        if isinstance(setting, bool):
            return cls.ALL if setting else cls.NONE
        try:
            return cls(str(setting))
        except ValueError:
            raise StorageError(
                f"The storage option fsync is {setting!r}; allowed are true, false, 'all', 'data' and 'none'."
            ) from None


class LocalBlobStore:
    """A folder as a blob store.

    Args:
        root: The folder; made on the first write.
        sync: Which writes wait for the disk.
    """

    quick = True

    def __init__(self, root: Path, sync: Sync = Sync.DATA) -> None:
        self._root = str(root).rstrip("/")
        self._base = root.as_uri().rstrip("/")
        self._sync = sync
        self._gifts: list[_Gift] = []

    def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
        """Create an object unless one exists; see the port."""
        target = self._path(key)
        if os.path.lexists(target):
            return _compare(target, data, sha256)
        temporary = self._write(key, target, data)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return _compare(target, data, sha256)
        except OSError as error:
            raise _failed("create", target, error) from error
        finally:
            _unlink(temporary)
        self._sync_folder(target, key)
        return Put.CREATED

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, replacing an older one as a whole."""
        target = self._path(key)
        temporary = self._write(key, target, data)
        try:
            os.replace(temporary, target)
        except OSError as error:
            _unlink(temporary)
            raise _failed("write", target, error) from error
        self._sync_folder(target)

    def get(self, key: str, sha256: str | None = None, max_bytes: int | None = None) -> bytes | None:
        """Return an object's bytes, or None; see the port."""
        path = self._path(key)
        try:
            with open(path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if max_bytes is not None and size > max_bytes:
                    raise StorageError(f"{path} has {size} bytes; at most {max_bytes} are read here.")
                data = file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", path, error) from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise CorruptBlob(
                f"{path} does not hold the bytes with SHA-256 {sha256}; it was changed or damaged."
            )
        return data

    def fetch(self, key: str, target: Path, sha256: str | None = None) -> bool:
        """Copy an object to a local file; see the port."""
        path = self._path(key)
        temporary = _temporary(str(target))
        try:
            with open(path, "rb") as source:
                target.parent.mkdir(parents=True, exist_ok=True)
                if not _copied_known(source.fileno(), path, temporary, sha256):
                    _copied_verified(source.fileno(), path, temporary, sha256)
            os.replace(temporary, target)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if self.head(key) is not None:
                raise _failed("copy", path, error) from error
            return False
        except OSError as error:
            raise _failed("copy", path, error) from error
        finally:
            _unlink(temporary)
        return True

    def put_file(self, path: Path, *, give: bool = False) -> StoredFile:
        """Store a local file under its digest: by a link if it is given away, else copied and hashed in one pass."""
        with open(path, "rb", buffering=0) as source:
            temporary = self._unfinished()
            try:
                gift = self._linked(path, temporary) if give else None
                if gift is None:
                    return self._keep(temporary, *copy(source.fileno(), temporary))
                sha256, hashed = gift
                stored = self._keep(temporary, sha256, hashed.st_size, mine=False)
                self._gifts.append(_Gift(str(path), self._path(stored.key), sha256, hashed))
                return stored
            except OSError as error:
                raise _failed("copy to", temporary, error) from error
            finally:
                _unlink(temporary)

    def settle(self) -> None:
        """Remove the old names of files that were given away, and remember their digests; see the port."""
        gifts, self._gifts = self._gifts, []
        for gift in gifts:
            with suppress(OSError):
                if os.path.samestat(os.lstat(gift.name), gift.hashed):
                    os.unlink(gift.name)  # in its folder's time: it would change the stamp
            stamps.remember(gift.path, gift.sha256, gift.hashed)

    def create(self) -> LocalWriter:
        """Begin an object that is written in pieces; see the port."""
        return LocalWriter(self)

    def open(self, key: str, sha256: str | None = None) -> IO[bytes] | None:
        """Open an object for reading; see the port."""
        path = self._path(key)
        try:
            return cast("IO[bytes]", stamps.opened(path, sha256))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("open", path, error) from error

    def head(self, key: str) -> BlobInfo | None:
        """Return size and key of an object, or None."""
        path = self._path(key)
        if not os.path.isfile(path):
            return None
        try:
            return BlobInfo(key=key, size=os.stat(path).st_size)
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        path = self._path(key)
        try:
            os.unlink(path)
            stamps.forget(path)
            if key.startswith(keys.CHECKPOINTS):
                self._remove_empty(os.path.dirname(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _failed("delete", path, error) from error

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield the objects below a prefix in order of keys."""
        found = dict(scan(self._root, checked_key(prefix.rstrip("/")) if prefix else ""))
        for key in sorted(found):
            yield BlobInfo(key=key, size=found[key])

    def presign(self, key: str, request: UploadRequest) -> Upload | None:
        """Return None: a folder has no addresses for others."""
        del key, request
        return None

    def uri(self, key: str) -> str:
        """Return the address of a key."""
        return f"{self._base}/{quote(path_of(checked_key(key)), safe=_PLAIN)}"

    def key(self, uri: str) -> str | None:
        """Return the key of an address below the root, or None."""
        prefix = f"{self._base}/"
        if not uri.startswith(prefix) or uri == prefix:
            return None
        return checked_key(key_of(unquote(uri[len(prefix) :])))

    def _path(self, key: str) -> str:
        return f"{self._root}/{path_of(checked_key(key))}"

    def _write(self, key: str, target: str, data: bytes | Path) -> str:
        temporary = _temporary(target)
        sync = self._sync is Sync.ALL or (self._sync is Sync.DATA and not key.startswith("attempts/"))
        try:
            try:
                _write(temporary, data, sync=sync)
            except FileNotFoundError:
                # Folders are made only when one is missing: most writes go to a folder that is there.
                new = not os.path.lexists(self._root)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if new:
                    keep_out_of_code(self._root)
                _write(temporary, data, sync=sync)
        except OSError as error:
            _unlink(temporary)
            raise _failed("write", target, error) from error
        return temporary

    def _unfinished(self) -> str:
        """Return a name for an object whose key is not known yet, on the disk where it will stand."""
        self._make_folder(f"{self._root}/blobs")
        return _temporary(f"{self._root}/blobs/new")

    def _linked(self, path: Path, temporary: str) -> tuple[str, os.stat_result] | None:
        """Link a file that was given away; None if it must be copied: another disk, or somebody may still write it."""
        if os.stat(path).st_dev != os.stat(os.path.dirname(temporary)).st_dev:
            return None
        flushing = threading.Thread(target=_sync_early, args=(str(path),), daemon=True)
        if self._sync is not Sync.NONE and os.stat(path).st_size >= _LARGE:
            flushing.start()  # the disk works while the digest is found; `_keep` waits for it
        found = sealed(str(path))
        if found is not None:
            try:
                os.link(path, temporary)
            except (
                OSError
            ):  # some file systems have no links, or the kernel allows none here (protected_hardlinks)
                return None
        return found

    def _keep(self, temporary: str, sha256: str, size: int, *, mine: bool = True) -> StoredFile:
        """Move a complete file to the key of its digest. One that is there has the same bytes, or else is healed.

        `mine`: Nobody else knew it while it was written.
        """
        key = keys.blob(sha256)
        target = self._path(key)
        try:
            if self._sync is not Sync.NONE:
                _sync(temporary)
            self._make_folder(os.path.dirname(target))
            hashed = os.stat(temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise _failed("create", target, error) from error
        self._sync_folder(target)
        if mine:
            stamps.remember(target, sha256, hashed)
        return StoredFile(key=key, sha256=sha256, size=size)

    def _make_folder(self, folder: str) -> None:
        if os.path.isdir(folder):
            return
        new = not os.path.lexists(self._root)
        try:
            os.makedirs(folder, exist_ok=True)
            if new:
                keep_out_of_code(self._root)
        except OSError as error:
            raise _failed("write", folder, error) from error

    def _sync_folder(self, target: str, key: str = "") -> None:
        folder = os.path.dirname(target)
        try:
            if self._sync is Sync.ALL:
                _sync(folder)
            elif self._sync is Sync.DATA and key.startswith(keys.CHECKPOINTS):
                while len(folder) > len(self._root):  # one of them may be as new as the object
                    _sync(folder)
                    folder = os.path.dirname(folder)
        except OSError as error:
            raise _failed("write", target, error) from error

    @staticmethod
    def _remove_empty(folder: str) -> None:
        """Remove the folder of a generation after its last object; thousands may follow each other in one attempt."""
        with suppress(OSError):
            os.rmdir(folder)


@dataclass(frozen=True)
class _Gift:
    """A file that was given away and still has the name that its giver knows it by."""

    name: str
    path: str
    sha256: str
    hashed: os.stat_result


class LocalWriter:
    """An object of a local store, written to a file beside its final place."""

    def __init__(self, store: LocalBlobStore) -> None:
        self._store = store
        self._path = store._unfinished()  # noqa: SLF001 - the two are one thing
        self._file: IO[bytes] | None = None
        self._digest = Digest()
        try:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 - closed by commit or abort
        except OSError as error:
            raise _failed("write", self._path, error) from error

    def write(self, data: bytes) -> None:
        """Add bytes; see the port."""
        assert self._file is not None, "written after its end"  # noqa: S101 - a mistake of ours
        self._digest.update(data)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _failed("write", self._path, error) from error

    def commit(self) -> StoredFile:
        """Store it under its digest; see the port."""
        try:
            found = self._digest.hexdigest()
            if self._file is not None:
                self._file.close()
            return self._store._keep(self._path, found, self._digest.size)  # noqa: SLF001 - as above
        finally:
            self.abort()

    def abort(self) -> None:
        """Throw away what was written."""
        self._digest.close()
        if self._file is not None:
            self._file.close()
            self._file = None
            _unlink(self._path)


def _copied_known(source: int, path: str, copy_to: str, sha256: str | None) -> bool:
    """Copy a stored file that is surely the one whose digest was found before; return False if it must be verified."""
    before = os.fstat(source)
    if sha256 is None or not stamps.is_known(path, sha256, before):
        return False
    if copy_known(source, copy_to) == before.st_size and stamps.unchanged(before, os.fstat(source)):
        return True
    _unlink(copy_to)
    os.lseek(source, 0, os.SEEK_SET)
    return False


def _copied_verified(source: int, path: str, copy_to: str, sha256: str | None) -> None:
    before = os.fstat(source)
    settled = stamps.long_unchanged(before)
    found, _ = copy(source, copy_to)
    if sha256 is None:
        return
    if found != sha256:
        raise CorruptBlob(f"{path} does not hold the bytes with SHA-256 {sha256}; it was damaged.")
    if settled and stamps.unchanged(before, os.fstat(source)):
        stamps.remember(path, sha256, before)


def _sync_early(path: str) -> None:
    with suppress(OSError):  # it is tried again, and reported, by `_keep`
        _sync(path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(target: str) -> str:
    return f"{os.path.dirname(target)}/{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"


def _write(path: str, data: bytes | Path, *, sync: bool) -> None:
    if isinstance(data, Path):
        source = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy(source, path, sync=sync)
        finally:
            os.close(source)
        return
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
        if sync:
            os.fsync(target)
    finally:
        os.close(target)


def _compare(path: str, data: bytes | Path, sha256: str | None) -> Put:
    try:
        same = _same(path, data, sha256)
    except OSError as error:
        raise _failed("compare", path, error) from error
    return Put.SAME if same else Put.CONFLICT


def _same(path: str, data: bytes | Path, sha256: str | None) -> bool:
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    if not os.path.isfile(path) or os.stat(path).st_size != size:
        return False
    if isinstance(data, bytes):
        return Path(path).read_bytes() == data
    with open(path, "rb") as mine:
        stored = hashlib.file_digest(mine, "sha256").hexdigest()
    if sha256 is None:
        with data.open("rb") as given:
            sha256 = hashlib.file_digest(given, "sha256").hexdigest()
    return stored == sha256


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return


def _failed(what: str, path: str, error: OSError) -> StorageError:
    return StorageError(f"Could not {what} {path}: {error.strerror or error}.")
