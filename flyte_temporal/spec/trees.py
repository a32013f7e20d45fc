"""The manifest of a directory that we stored: what stands behind a `DirectoryValue` with a digest.

The files are content-addressed blobs; the manifest names them, and is one itself. So equal trees have equal digests, a
file that is in two trees is stored once, and a part of a tree is fetched without the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Self

from pydantic import model_validator

from flyte_temporal.spec.document import Document, Stored

_SHA256 = re.compile(r"[0-9a-f]{64}")


class TreeFile(Document):
    """A file of a tree.

    Args:
        path: Its path below the tree, with `/`.
        sha256: Digest of its bytes, by which it is stored.
        size: Their number.
        executable: Whether its owner may execute it; other permissions are not kept.
    """

    path: str
    sha256: str
    size: int
    executable: bool = False


class Tree(Stored):
    """A directory.

    Args:
        files: Its files, sorted by path.
        folders: The folders in which there is nothing, sorted; others are known by their files.

    Raises:
        ValueError: If a path is absolute, has empty parts, `.` or `..`, stands twice, or is both a file and a folder; or
            if a digest is none. A manifest may come from anywhere.
    """

    files: tuple[TreeFile, ...] = ()
    folders: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        files = [file.path for file in self.files]
        for path in (*files, *self.folders):
            check_path(path)
        if files != sorted(set(files)) or list(self.folders) != sorted(set(self.folders)):
            raise ValueError("a path stands twice, or the paths are not sorted")
        taken = set(files)
        for path in (*files, *self.folders):
            if (path in taken and path in self.folders) or not taken.isdisjoint(_parents(path)):
                raise ValueError(f"{path!r} is a file and a folder")
        for file in self.files:
            if not _SHA256.fullmatch(file.sha256) or file.size < 0:
                raise ValueError(f"{file.path!r} has no valid digest and size")
        return self

    @classmethod
    def of(cls, files: Iterable[TreeFile], folders: Iterable[str] = ()) -> Tree:
        """Return the tree of some files, in whatever order.

        Args:
            files: Its files.
            folders: Folders that must exist; those that hold something are left out.
        """
        ordered = tuple(sorted(files, key=lambda file: file.path))
        named = set(folders)
        filled = {parent for path in (*(f.path for f in ordered), *named) for parent in _parents(path)}
        return cls(files=ordered, folders=tuple(sorted(named - filled)))

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)

    def below(self, folder: str) -> Tree | None:
        """Return a part of the tree as a tree of its own, or None if it has no such folder; "" is the tree itself."""
        if not folder:
            return self
        start = f"{folder}/"
        files = [
            file.model_copy(update={"path": file.path[len(start) :]})
            for file in self.files
            if file.path.startswith(start)
        ]
        folders = [path[len(start) :] for path in self.folders if path.startswith(start)]
        if not files and not folders and folder not in self.folders:
            return None
        return Tree(files=tuple(files), folders=tuple(folders))


def check_path(path: str) -> None:
    """Refuse a path that does not lead to a place below the tree.

    Raises:
        ValueError: If it is absolute, or has empty parts, `.`, `..` or a NUL.
    """
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise ValueError(f"{path!r} is not a path inside of a directory")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]
