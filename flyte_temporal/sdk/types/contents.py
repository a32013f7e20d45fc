"""What a directory from elsewhere holds: `StoredTree` for one that we stored, `Folder` for one of the user's own.

Used by `directory`, which then need not know where its content is. Each answers the same four questions.
"""

from __future__ import annotations

from pathlib import Path

from flyte_temporal.sdk.types import folders, transfer, trees
from flyte_temporal.sdk.types.converter import InProcess, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.spec import keys
from flyte_temporal.spec.literals import DirectoryValue, FileValue
from flyte_temporal.spec.trees import Tree


class StoredTree:
    """A tree of the blob store.

    Args:
        context: Has the store.
        value: The directory; its manifest is fetched when it is needed.
        tree: The manifest instead, of a part of a stored tree.
        name: Name of the part.
    """

    def __init__(
        self, context: ValueContext, value: DirectoryValue | None, tree: Tree | None = None, name: str = ""
    ) -> None:
        self._context, self._value, self._tree = context, value, tree
        self.name = name if value is None else value.name

    @property
    def tree(self) -> Tree:
        """The manifest.

        Raises:
            CorruptBlob: If it does not have the recorded digest.
            StorageError: If it is not there.
        """
        if self._tree is None:
            assert self._value is not None, "a tree without manifest and address"  # noqa: S101 - a mistake of ours
            self._tree = trees.load(self._value, self._context)
        return self._tree

    @property
    def uri(self) -> str:
        """Its address; empty for a part."""
        return self._value.uri if self._value is not None else ""

    def names(self) -> list[str]:
        """Return the names of what stands directly in it, sorted."""
        paths = (*(file.path for file in self.tree.files), *self.tree.folders)
        return sorted({path.partition("/")[0] for path in paths})

    def paths(self) -> list[str]:
        """Return the paths of all its files, sorted."""
        return [file.path for file in self.tree.files]

    def part(self, path: str) -> FlyteFile | StoredTree:
        """Return a file or folder of it.

        Raises:
            FileNotFoundError: If there is none.
        """
        name = path.rpartition("/")[2]
        for file in self.tree.files:
            if file.path == path:
                uri = trees.store_of(self._context).uri(keys.blob(file.sha256))
                value = FileValue(uri=uri, name=name, sha256=file.sha256, size=file.size)
                return FlyteFile.of(value, self._context)
        below = self.tree.below(path)
        if below is None:
            raise FileNotFoundError(f"the directory {self.name!r} has no {path!r}")
        return StoredTree(self._context, None, below, name)

    def fetch(self, target: Path, at_once: int) -> None:
        """Copy all of it to a local folder; errors as `trees.fetch`."""
        trees.fetch(self.tree, target, self._context, at_once)

    def value(self, format_: str) -> DirectoryValue:
        """Return it as it is passed on; nothing of it is read."""
        return self._value or trees.value_of(self.tree, self._context, self.name, format_)


class Folder:
    """A folder at an address; for plain runs also the copy that one task has left for the next.

    Args:
        context: Where copies of its files are put.
        value: The folder.
    """

    def __init__(self, context: ValueContext | None, value: DirectoryValue) -> None:
        self._context = context or ValueContext(blobs=None, scratch=transfer.own_scratch())
        self._value = value
        self.name = value.name

    @property
    def uri(self) -> str:
        """Its address."""
        return self._value.uri

    def names(self) -> list[str]:
        """Return the names of what stands directly in it, sorted; errors as `folders.children`."""
        return [entry.path for entry in folders.children(self.uri)]

    def paths(self) -> list[str]:
        """Return the paths of all its files, sorted; errors as `folders.files`."""
        return [entry.path for entry in folders.files(self.uri)]

    def part(self, path: str) -> FlyteFile | Folder:
        """Return a file or folder of it.

        Raises:
            FileNotFoundError: If there is none.
            StorageError: If the folder cannot be listed.
        """
        above, _, name = path.rpartition("/")
        known = {entry.path: entry for entry in folders.children(folders.at(self.uri, above))}
        if name not in known:
            raise FileNotFoundError(f"{self.uri} has no {path!r}")
        uri = folders.at(self.uri, path)
        if known[name].folder:
            return Folder(self._context, DirectoryValue(uri=uri, name=name))
        return FlyteFile.of(FileValue(uri=uri, name=name), self._context)

    def fetch(self, target: Path, at_once: int) -> None:
        """Copy all of it to a local folder; errors as `folders.fetch`, and as `trees.duplicate` for one of this machine."""
        near = transfer.local_path(self.uri)
        if near is not None:
            trees.duplicate(near, target)
        else:
            folders.fetch(self.uri, target, at_once)

    def value(self, format_: str) -> DirectoryValue:  # noqa: ARG002 - the same question as to a tree
        """Return it as it is passed on."""
        return self._value


def content_of(value: DirectoryValue, context: ValueContext) -> StoredTree | Folder | None:
    """Return what stands behind a literal; None for a folder of this machine that is used where it is.

    Raises:
        Misfit: If its address has a scheme that is not allowed.
    """
    if value.sha256 is not None:
        return StoredTree(context, value)
    if not isinstance(context, InProcess) and transfer.local_path(value.uri) is not None:
        return None
    transfer.check_scheme(value.uri)
    return Folder(context, value)
