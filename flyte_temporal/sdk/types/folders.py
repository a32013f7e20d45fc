"""Folders of the user's own (`s3://bucket/folder`, `file:///folder`): listed, fetched and written.

Used by `directory` for what is passed by reference; what we stored ourselves is `trees`' business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types import sinks, transfer, trees
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.spec.trees import check_path


class Entry(NamedTuple):
    """Something in a folder.

    Args:
        path: Its path below the folder, with `/`.
        folder: Whether it is a folder itself.
        size: Bytes of a file, if known.
    """

    path: str
    folder: bool
    size: int | None = None


def at(uri: str, path: str) -> str:
    """Return the address of something below a folder."""
    local = transfer.local_path(uri)
    if not path:
        return uri
    return (local / path).as_uri() if local is not None else f"{uri.rstrip('/')}/{path}"


def children(uri: str) -> list[Entry]:
    """Return what stands directly in a folder, sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder.
        StorageError: If it cannot be listed, or has names that lead elsewhere.
    """
    local = transfer.local_path(uri)
    if local is not None:
        with transfer.address_errors(uri):
            found = [Entry(p.name, p.is_dir(), None) for p in local.iterdir()]
        return sorted(found)
    system, root = _system(uri)
    with transfer.address_errors(uri):
        return sorted(_entries(uri, root, system.ls(root, detail=True)))


def files(uri: str) -> list[Entry]:
    """Return all files below a folder, sorted by path; raises as `children`."""
    local = transfer.local_path(uri)
    if local is not None:
        with transfer.address_errors(uri):
            local.stat()
            return sorted(Entry(f.path, folder=False, size=f.size) for f in trees.listing(local).files)
    system, root = _system(uri)
    with transfer.address_errors(uri):
        found = system.find(root, detail=True)
        if not found and not system.exists(root):
            raise FileNotFoundError(uri)
        return sorted(entry for entry in _entries(uri, root, found.values()) if not entry.folder)


def fetch(uri: str, target: Path, at_once: int = 0) -> None:
    """Copy a folder of an object store to a local one, which must not exist.

    Args:
        uri: The folder.
        target: The local one.
        at_once: How many files are downloaded side by side; 0 for the usual number.

    Raises:
        FileNotFoundError: If there is no such folder.
        StorageError: If it cannot be read.
    """
    found = files(uri)
    target.mkdir(parents=True)

    def download(entry: Entry) -> None:
        value = FileValue(uri=at(uri, entry.path), size=entry.size)
        transfer.download(value, target / entry.path, None)

    trees.each(download, found, at_once or trees.AT_ONCE)


def send(root: Path, uri: str) -> tuple[int, int]:
    """Copy a local directory to a folder of the user's own; return the number of files and their bytes.

    Raises:
        Misfit: As `trees.listing`.
        StorageError: If it cannot be written.
    """
    sinks.check_target(uri)
    found = trees.listing(root)
    local = transfer.local_path(uri)
    if local is not None:
        with transfer.address_errors(uri, "written"):
            for folder in ("", *found.folders):
                (local / folder).mkdir(parents=True, exist_ok=True)
    for file in found.files:
        sinks.send(file.real, at(uri, file.path))
    return len(found.files), sum(file.size for file in found.files)


def _system(uri: str) -> tuple[Any, str]:
    if urlsplit(uri).scheme in {"http", "https"}:
        raise StorageError(f"{uri} cannot be listed: the web has no folders. Give the files one by one.")
    import fsspec

    with transfer.address_errors(uri):
        system, root = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return system, root.rstrip("/")


def _entries(uri: str, root: str, found: Any) -> list[Entry]:
    entries = []
    for info in found:
        path = info["name"].rstrip("/")[len(root) + 1 :]
        if not path or (info["name"].endswith("/") and not info["size"] and info["type"] == "file"):
            continue  # the mark of an empty folder
        try:
            check_path(path)
        except ValueError as error:
            raise StorageError(f"{uri} cannot be listed: {error}") from None
        entries.append(Entry(path, info["type"] == "directory", info.get("size")))
    return entries
