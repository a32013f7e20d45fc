"""Local directories ↔ trees of the blob store.

Used by `directory`. Apart from it because what belongs to a tree (hidden files, links, odd names) is decided here alone,
for plain runs, which copy, and for durable ones, which store.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_bytes, sha256_hex
from flyte_temporal.spec.literals import DirectoryValue
from flyte_temporal.spec.trees import Tree, TreeFile

S = TypeVar("S")
T = TypeVar("T")

MAX_ENTRIES = 1_000_000
"""Files and folders of one directory; links inside of a tree can make it larger without end."""

MAX_MANIFEST_BYTES = 512 * 1024 * 1024

AT_ONCE = 8
"""Files that are transferred side by side from and to remote stores, unless a `BatchSize` says otherwise."""


@dataclass(frozen=True)
class Found:
    """A file of a local directory.

    Args:
        path: Its path below the directory, with `/`.
        real: Where it is, links resolved.
        size: Its size in bytes.
        modified: Time of its last change, in ns.
        executable: Whether its owner may execute it.
    """

    path: str
    real: Path
    size: int
    modified: int
    executable: bool

    @property
    def stamp(self) -> tuple[int, int, bool]:
        """Return what changes when somebody changes the file."""
        return self.size, self.modified, self.executable


@dataclass
class Listing:
    """What a local directory holds.

    Args:
        files: All files at any depth, hidden ones too.
        folders: All folders below it, by their paths.
    """

    files: list[Found] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def listing(root: Path) -> Listing:
    """Return what a local directory holds.

    A link to a file or folder inside of the directory is followed, as if a copy stood in its place.

    Raises:
        Misfit: If it does not exist or is no directory; if a link leaves it, leads nowhere or to a folder above; if there
            is a socket, pipe or device; if a name is not UTF-8; if it is too large.
    """
    try:
        if not root.is_dir():
            problem = "is a file, not a directory" if root.exists() else "does not exist"
            raise Misfit(f"the directory {str(root)!r} {problem}")
        real = root.resolve()
        found = Listing()
        _walk(real, real, "", (real,), found)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise Misfit(f"the directory {str(root)!r} cannot be read: {error}") from error
    return found


def _walk(root: Path, folder: Path, prefix: str, above: tuple[Path, ...], found: Listing) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            try:
                path.encode()
            except UnicodeEncodeError:
                raise Misfit(
                    f"the name {path!r} in the directory {str(root)!r} is not UTF-8; rename it"
                ) from None
            real = Path(entry.path) if not entry.is_symlink() else _followed(root, Path(entry.path), path)
            mode = real.stat()
            if stat.S_ISDIR(mode.st_mode):
                if real in above:
                    raise Misfit(
                        f"the link {path!r} in the directory {str(root)!r} leads to a folder above it"
                    )
                found.folders.append(path)
                _walk(root, real, f"{path}/", (*above, real), found)
            elif stat.S_ISREG(mode.st_mode):
                executable = bool(mode.st_mode & stat.S_IXUSR)
                found.files.append(Found(path, real, mode.st_size, mode.st_mtime_ns, executable))
            else:
                raise Misfit(
                    f"{path!r} in the directory {str(root)!r} is neither a file nor a folder; remove it"
                )
            if len(found.files) + len(found.folders) > MAX_ENTRIES:
                raise Misfit(f"the directory {str(root)!r} has more than {MAX_ENTRIES} files and folders")


def _followed(root: Path, link: Path, path: str) -> Path:
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise Misfit(f"the link {path!r} in the directory {str(root)!r} leads nowhere; remove it") from None
    if not real.is_relative_to(root):
        raise Misfit(
            f"the link {path!r} in the directory {str(root)!r} leads out of it, to {str(real)!r}; copy what it "
            "stands for into the directory"
        )
    return real


def store(
    found: Listing, known: Mapping[str, tuple[object, TreeFile]], context: ValueContext, at_once: int = 0
) -> Tree:
    """Upload what is new of a local directory.

    Args:
        found: What it holds.
        known: Files of which it is known what they held at a stamp; those that still have it are not read.
        context: Has the store.
        at_once: How many files are uploaded side by side; 0 leaves that to the store.

    Raises:
        Misfit: If a file cannot be read.
        StorageError: If the store refused one.
    """
    blobs = store_of(context)

    def upload(file: Found) -> TreeFile:
        stamp, before = known.get(file.path, (None, None))
        if before is not None and stamp == file.stamp:
            return before
        try:
            path, give = transfer.gift(file.real, context)
            stored = blobs.put_file(path, give=give)
        except OSError as error:
            raise Misfit(f"the file {str(file.real)!r} cannot be read: {error.strerror or error}") from error
        return TreeFile(path=file.path, sha256=stored.sha256, size=stored.size, executable=file.executable)

    threads = at_once or (1 if blobs.quick else AT_ONCE)
    return Tree.of(each(upload, found.files, threads), found.folders)


def value_of(tree: Tree, context: ValueContext, name: str, format_: str) -> DirectoryValue:
    """Store the manifest of a tree whose files are stored, and return the directory.

    Raises:
        StorageError: If the store refused it.
    """
    blobs = store_of(context)
    data = canonical_bytes(tree)
    sha256 = sha256_hex(data)
    key = keys.blob(sha256)
    blobs.put_new(key, data, sha256)
    return DirectoryValue(
        uri=blobs.uri(key), name=name, format=format_, sha256=sha256, size=tree.size, files=len(tree.files)
    )


def load(value: DirectoryValue, context: ValueContext | None) -> Tree:
    """Fetch the manifest of a stored directory.

    Raises:
        CorruptBlob: If it does not have the recorded digest.
        StorageError: If it is not in the store, or is no manifest.
    """
    key = context.blobs.key(value.uri) if context is not None and context.blobs is not None else None
    if key is None or context is None or context.blobs is None:
        raise StorageError(f"The directory {value.uri} is not one of this blob store.")
    data = context.blobs.get(key, value.sha256, MAX_MANIFEST_BYTES)
    if data is None:
        raise StorageError(f"The directory {value.uri} is not in the blob store any more.")
    return Tree.read(data)


def fetch(tree: Tree, target: Path, context: ValueContext, at_once: int = 0) -> None:
    """Download a tree to a local folder, complete or not at all.

    Args:
        tree: What to download.
        target: The folder, which must not exist.
        context: Has the store.
        at_once: How many files are downloaded side by side; 0 leaves that to the store.

    Raises:
        CorruptBlob: If a file does not have its recorded digest.
        StorageError: If one is not in the store any more.
    """
    blobs = store_of(context)
    partial = target.with_name(f".{target.name}.part")

    def download(file: TreeFile) -> None:
        path = partial / file.path
        if not blobs.fetch(keys.blob(file.sha256), path, file.sha256):
            where = blobs.uri(keys.blob(file.sha256))
            raise StorageError(
                f"The file {file.path!r} of a directory, {where}, is not in the blob store any more."
            )
        if file.executable:
            path.chmod(path.stat().st_mode | 0o111)

    try:
        partial.mkdir(parents=True)
        for folder in tree.folders:
            (partial / folder).mkdir(parents=True, exist_ok=True)
        each(download, tree.files, at_once or (1 if blobs.quick else AT_ONCE))
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def duplicate(root: Path, target: Path) -> None:
    """Copy a local directory, as it would come out of a store.

    Raises:
        Misfit: As `listing`.
    """
    found = listing(root)
    target.mkdir(parents=True)
    try:
        for folder in found.folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
        for file in found.files:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.real, path)
            path.chmod(0o755 if file.executable else 0o644)
    except OSError as error:
        raise Misfit(f"the directory {str(root)!r} cannot be copied: {error}") from error


def store_of(context: ValueContext) -> BlobStore:
    """Return the store of a context.

    Raises:
        StorageError: If it has none.
    """
    if context.blobs is None:
        raise StorageError("A directory of a blob store is met in a process that has none.")
    return context.blobs


def each(work: Callable[[S], T], items: Iterable[S], threads: int) -> list[T]:
    """Do something with each item, so many at once, and return what came out, in order; the first error ends it."""
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="flyte-temporal-files") as pool:
        done = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in done]
        finally:
            for future in done:
                future.cancel()
