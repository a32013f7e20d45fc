"""`BlobStore`: bytes under keys. Synchronous, because task processes are; platform code calls it in threads."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Protocol

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.uploads import Upload, UploadRequest


class Put(StrEnum):
    """Outcome of a conditional create."""

    CREATED = "created"
    SAME = "same"
    CONFLICT = "conflict"


class BlobInfo(Document):
    """What is known about an object without reading it."""

    key: str
    size: int


class StoredFile(Document):
    """A file that stands under the key of its digest (`spec.keys.blob`).

    Args:
        key: Where.
        sha256: Digest of its bytes.
        size: Their number.
    """

    key: str
    sha256: str
    size: int


class BlobWriter(Protocol):
    """An object on its way into the store; it exists when `commit` has returned, whole, and never otherwise."""

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            StorageError: If the store refused or did not answer.
        """

    def commit(self) -> StoredFile:
        """Store what was written under its digest. Call it once, and nothing after it.

        Raises:
            StorageError: If the store refused or did not answer.
        """

    def abort(self) -> None:
        """Throw away what was written; nothing happens after `commit`, or a second time."""


class BlobStore(Protocol):
    """Keys are relative paths of safe ids (`spec.keys`); `..`, absolute paths and control characters are refused."""

    quick: bool
    """Whether small objects are read within microseconds (a local disk), so that an event loop may do it itself."""

    def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
        """Create an object unless one exists, atomically, also when an answer is lost and the call is repeated.

        Args:
            key: Where.
            data: The bytes, or a file that holds them.
            sha256: Their digest, if it is known.

        Returns:
            CREATED; SAME if an object with the same bytes was there; CONFLICT if one with other bytes was.

        Raises:
            StorageError: If the store refused or did not answer.
        """

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object under a key that nobody else writes; an older one is replaced as a whole.

        Raises:
            StorageError: If the store refused or did not answer.
        """

    def get(self, key: str, sha256: str | None = None, max_bytes: int | None = None) -> bytes | None:
        """Return an object's bytes, or None if there is no such object.

        Raises:
            CorruptBlob: If the bytes do not have the given digest.
            StorageError: If it is larger than `max_bytes`, or the store did not answer.
        """

    def fetch(self, key: str, target: Path, sha256: str | None = None) -> bool:
        """Copy an object to a local file, complete or not at all; return whether it existed.

        Raises:
            CorruptBlob: If the bytes do not have the given digest.
            StorageError: If the store did not answer.
        """

    def put_file(self, path: Path, *, give: bool = False) -> StoredFile:
        """Store a local file under its digest.

        Args:
            path: A regular file, read once where the store can.
            give: The file is given away: nobody writes to it from now on. A store on the same disk may then take the file
                itself, which is read-only afterwards, instead of a copy.

        Raises:
            OSError: If the file cannot be read.
            StorageError: If the store refused or did not answer.
        """

    def settle(self) -> None:
        """Take the names of the files that were given away, which nobody needs any more; called when all were given."""

    def create(self) -> BlobWriter:
        """Begin an object that is written in pieces and stored under its digest; it is hashed while it is written."""

    def open(self, key: str, sha256: str | None = None) -> IO[bytes] | None:
        """Open an object for reading, without fetching it; None if there is no such object.

        The stream can seek. It is not verified: whoever reads all of it compares the digest (`sdk.types.streaming`). A store
        that knows for sure that the object has the digest `sha256` may return a stream with a method `is_intact`: it says at
        the end whether that still holds, and the bytes need not be hashed.

        Raises:
            StorageError: If the store did not answer.
        """

    def head(self, key: str) -> BlobInfo | None:
        """Return size and key of an object, or None."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """Yield the objects below a prefix, in order of keys.

        For logs, checkpoints and collection only: a listing may be stale and must never decide whether something
        exists.
        """

    def presign(self, key: str, request: UploadRequest) -> Upload | None:
        """Return an address by which somebody without credentials may upload these very bytes to this very key, for a while.

        None if the store has no such addresses (a local folder), or its own credentials cannot sign.

        Raises:
            StorageError: If the store refused or did not answer.
        """

    def uri(self, key: str) -> str:
        """Return the full address of a key, for people and for passing by reference."""

    def key(self, uri: str) -> str | None:
        """Return the key of an address below this store's root, or None if it is elsewhere."""
