"""Code bundles: the user's source root as one archive, addressed by the digest of its bytes.

Packed where an execution is requested (`pack`, `store_bundle`), unpacked once per machine and digest where attempts
run (`unpack`). The archive is the same for the same files, so an unchanged tree is stored once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import BadRequest, CorruptBlob, LimitExceeded, StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.execution import BundleRef
from flyte_temporal.storage.extraction import extract
from flyte_temporal.storage.sealing import remove, seal
from flyte_temporal.storage.source_files import (
    BundleLimits,
    SourceFile,
    source_files,
    too_large,
    unreadable,
)
from flyte_temporal.storage.unpacked import TEMPORARY, hold

_SETTLED_NS = 50_000_000
"""A file changed this shortly before it was read may change again without a new time stamp; so the digest of a tree
with such a file is not remembered."""


class _Vanished(Exception):
    """A file was removed between listing and reading; its argument is the path."""


@dataclass(frozen=True)
class PackedBundle:
    """An archive on this machine.

    Args:
        path: The archive; it stays in the caller's cache folder.
        sha256: Digest of its bytes.
        size: Their number.
    """

    path: Path
    sha256: str
    size: int


def pack(root: Path, cache: Path, limits: BundleLimits | None = None) -> PackedBundle:
    """Archive a source root, or return the archive made of the same files before.

    Args:
        root: The source root.
        cache: Folder for archives and for what was known of trees; it may be removed at any time.
        limits: What a bundle may hold.

    Raises:
        LimitExceeded: If the tree is too large; the message names the largest files.
        BadRequest: If a file cannot be read, or files vanish while they are read.
        StorageError: If the cache cannot be written.
    """
    limits = limits or BundleLimits()
    root = root.resolve()
    try:
        return _pack(root, cache, limits)
    except _Vanished:
        pass  # an editor's or a tool's temporary file: what is there now?
    try:
        return _pack(root, cache, limits)
    except _Vanished as error:
        raise BadRequest(
            f"{error} vanished while the code was packed, and so did another file just before. Stop what changes "
            f"files below {root}, or list them in a .flyteignore file (same syntax as .gitignore)."
        ) from error


def _pack(root: Path, cache: Path, limits: BundleLimits) -> PackedBundle:
    begun_ns = time.time_ns()
    files = source_files(root, limits)
    note = cache / "trees" / f"{sha256_hex(os.fsencode(root))[:32]}.json"
    fingerprint = _fingerprint(files)
    known = _remembered(note, fingerprint, cache)
    if known is not None:
        return known
    try:
        packed = _store_archive(cache, _archive(root, files))
        if packed.size > limits.compressed_bytes:
            packed.path.unlink(missing_ok=True)
            raise too_large(root, files, sum(f.size for f in files), limits, packed.size)
        if all(file.modified_ns < begun_ns - _SETTLED_NS for file in files):
            _remember(note, fingerprint, packed)
    except OSError as error:
        raise StorageError(f"Could not archive the code below {root}: {error}.") from error
    return packed


def store_bundle(store: BlobStore, packed: PackedBundle) -> BundleRef:
    """Put an archive into the blob store, unless it is there.

    Raises:
        CorruptBlob: If other bytes stand under its digest.
        StorageError: If the store refused or did not answer.
    """
    key = keys.bundle(packed.sha256)
    stored = store.head(key)
    if stored is None or stored.size != packed.size:
        outcome = store.put_new(key, packed.path, packed.sha256)
        if outcome is Put.CONFLICT:
            raise CorruptBlob(
                f"{store.uri(key)} holds other bytes than its name says. Delete it and try again."
            )
    return BundleRef(sha256=packed.sha256, key=key, size=packed.size)


def unpack(store: BlobStore, ref: BundleRef, cache: Path, limits: BundleLimits | None = None) -> Path:
    """Return the folder with a bundle's files; they are unpacked by the first who asks on this machine.

    All executions of this code share the folder, so it is made read-only, and held as long as this process lives.

    Args:
        store: Where the archive is.
        ref: Which one.
        cache: Folder of unpacked bundles.
        limits: What a bundle may hold.

    Raises:
        CorruptBlob: If the archive is damaged, or holds what no bundle holds (links, `..`, devices, a bomb).
        StorageError: If it is not there, or could not be unpacked.
    """
    final = cache / ref.sha256
    if hold(final):
        return final
    temporary = cache / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
    archive = temporary.with_suffix(".tar.gz")
    try:
        temporary.mkdir(parents=True)
        if not store.fetch(ref.key, archive, ref.sha256):
            raise StorageError(
                f"The code bundle {store.uri(ref.key)} is missing; it was deleted by somebody."
            )
        extract(archive, temporary, limits or BundleLimits())
        seal(temporary)
        _settle(temporary, final)
        hold(final)
    except OSError as error:
        raise StorageError(
            f"Could not unpack the code bundle {ref.sha256[:12]} into {cache}: {error}."
        ) from error
    finally:
        archive.unlink(missing_ok=True)
        remove(temporary)
    return final


def _settle(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError:
        # Another process was first; what it unpacked has the same digest.
        if not final.is_dir():
            raise


def _fingerprint(files: Iterable[SourceFile]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(
            f"{file.name}\0{file.size}\0{file.executable}\0{file.modified_ns}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
    return found.hexdigest()


def _remembered(note: Path, fingerprint: str, cache: Path) -> PackedBundle | None:
    try:
        known = json.loads(note.read_bytes())
        path = _archive_path(cache, known["sha256"])
        if known["fingerprint"] == fingerprint and path.stat().st_size == known["size"]:
            return PackedBundle(path, known["sha256"], known["size"])
    except (OSError, ValueError, KeyError, TypeError):
        # A missing or damaged note costs one packing.
        return None
    return None


def _remember(note: Path, fingerprint: str, packed: PackedBundle) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    temporary = note.with_name(f".tmp-{secrets.token_hex(8)}")
    temporary.write_text(
        json.dumps({"fingerprint": fingerprint, "sha256": packed.sha256, "size": packed.size}),
        encoding="utf-8",
    )
    temporary.replace(note)


def _archive_path(cache: Path, sha256: str) -> Path:
    return cache / "archives" / f"{sha256}.tar.gz"


def _store_archive(cache: Path, data: bytes) -> PackedBundle:
    sha256 = sha256_hex(data)
    path = _archive_path(cache, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    temporary.write_bytes(data)
    temporary.replace(path)
    return PackedBundle(path, sha256, len(data))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise _Vanished(file) from error
    except OSError as error:
        raise unreadable(file, error) from error


def _archive(root: Path, files: Iterable[SourceFile]) -> bytes:
    """Return the archive: names sorted, no times, no owners, so that equal files give equal bytes."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive,
    ):
        for file in files:
            data = _read(root / file.name)
            entry = tarfile.TarInfo(file.name)
            entry.size = len(data)
            entry.mode = 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


__all__ = ["BundleLimits", "LimitExceeded", "PackedBundle", "pack", "store_bundle", "unpack"]
