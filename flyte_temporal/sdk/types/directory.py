"""`FlyteDirectory`: a directory that travels between tasks by reference; its parts are fetched when they are used.

flytekit's class of the same name is the model. A local directory is stored when it leaves a task, as a tree of which only
what is new is uploaded; a folder of the user's own (`s3://…`) is passed on as it is; a directory that only passes through
a task is not read at all.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types import folders, transfer, trees
from flyte_temporal.sdk.types.brackets import F, Parameterized
from flyte_temporal.sdk.types.contents import Folder, StoredTree, content_of
from flyte_temporal.sdk.types.converter import Compiling, InProcess, Misfit, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile, checked, format_name, path_schema, pinned
from flyte_temporal.sdk.types.place import working_directory
from flyte_temporal.spec.literals import DirectoryValue, FileValue
from flyte_temporal.spec.trees import Tree, TreeFile, check_path


class FlyteDirectory(os.PathLike[str], Parameterized[F]):
    """A directory on this machine or elsewhere.

    `os.fspath(directory)`, `os.listdir(directory)` and `directory.download()` fetch all of it once, into a folder of the
    attempt. `FlyteDirectory.listdir(directory)`, `crawl` and `part` tell what is in it and give its files without that.
    Digests of what we stored ourselves are checked.

    Args:
        path: A local path, or an address with one of the schemes `file`, `s3`, `gs`, `gcs`.
        remote_directory: Where a local directory is uploaded to when it leaves its task: an address, or a local path. Files
            of the same names are replaced there, by every attempt. False: nowhere; its local path is passed on.

    Raises:
        InvalidInputs: If an address has another scheme, or `remote_directory` is nothing to write to.
    """

    format: str = ""
    at_once: int = 0

    _content: StoredTree | Folder | None
    """What it holds where it comes from; None if it was made here."""
    _local: Path | None
    _context: ValueContext | None
    _copied: dict[str, object] | None
    """What stamp each file had when all was fetched."""
    _new: dict[str, FlyteFile | FlyteDirectory] | None
    """What `new_file` and `new_dir` have made of a `new_remote` directory."""
    _pinned: str | Literal[False] | None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        remote_directory: str | os.PathLike[str] | Literal[False] | None = None,
    ) -> None:
        text = os.fspath(path)
        local = transfer.local_path(text) if transfer.is_uri(text) else Path(text)
        if local is not None:
            self._begin(None, local)
        else:
            checked(text)
            value = DirectoryValue(uri=text, name=transfer.name_of(text.rstrip("/")))
            self._begin(Folder(None, value), None)
        self._pinned = (
            remote_directory if remote_directory is False else pinned(remote_directory, "remote_directory")
        )

    def _begin(self, content: StoredTree | Folder | None, local: Path | None) -> None:
        self._content, self._local = content, local
        self._context = None
        self._copied = None
        self._new = None
        self._pinned = None

    def __class_getitem__(cls, item: Any) -> type[FlyteDirectory]:
        """Return the class of directories of a format: `FlyteDirectory["csv"]`, or with a `TypeVar` as in flytekit."""
        return variant(format_name(item), 0)

    @classmethod
    def from_source(cls, source: str | os.PathLike[str]) -> FlyteDirectory:
        """Return a directory that stands at a path or address; the same as `FlyteDirectory(source)`."""
        return cls(source)

    @classmethod
    def extension(cls) -> str:
        """Return the declared format of its files; empty if there is none."""
        return cls.format

    @classmethod
    def new(cls, dirname: str | os.PathLike[str]) -> FlyteDirectory:
        """Make a directory below the working directory of the running task and return it.

        Raises:
            ValueError: If the name is an absolute path.
            FileExistsError: If it is there already.
        """
        if Path(dirname).is_absolute():
            raise ValueError(f"FlyteDirectory.new({os.fspath(dirname)!r}): give a relative path.")
        path = working_directory() / dirname
        path.mkdir(parents=True)
        return cls(path)

    @classmethod
    def new_remote(cls, stem: str | None = None, alt: str | None = None) -> FlyteDirectory:
        """Return a new directory whose files go to the store as they are written: `with d.new_file("a").open("w") as f`.

        Args:
            stem: Its name.
            alt: An address below which it is put instead, in a new folder, as `s3://bucket/prefix`.

        Raises:
            InvalidInputs: If the name is a path, or `alt` has a scheme that is not allowed.
        """
        name = _child(stem, "new_remote")
        if alt is not None:
            return cls(f"{alt.rstrip('/')}/{uuid.uuid4().hex}/{name}")
        return cls._fresh(working_directory() / "new" / uuid.uuid4().hex / name)

    @classmethod
    def _fresh(cls, path: Path) -> FlyteDirectory:
        made = cls(path)
        made._new = {}
        return made

    @classmethod
    def of(cls, value: DirectoryValue, context: ValueContext) -> FlyteDirectory:
        """Return the directory of a literal.

        Args:
            value: What the literal says of it.
            context: Where it is downloaded from and to.

        Raises:
            Misfit: If its address has a scheme that is not allowed.
        """
        content = content_of(value, context)
        return cls._with(content, context, transfer.local_path(value.uri) if content is None else None)

    @classmethod
    def _with(
        cls, content: StoredTree | Folder | None, context: ValueContext | None, local: Path | None = None
    ) -> FlyteDirectory:
        made = cls.__new__(cls)
        made._begin(content, local)  # noqa: SLF001 - its own class
        made._context = context  # noqa: SLF001 - its own class
        return made

    @property
    def path(self) -> str:
        """The local path: of the directory itself, or where its copy is put by the first use.

        In a plain run the copy is made at once, since there is nothing to wait for.
        """
        near = isinstance(self._content, Folder) and transfer.local_path(self._content.uri) is not None
        return self.download() if near else str(self._target())

    def _target(self) -> Path:
        if self._local is None:
            self._local = transfer.target_for(FileValue(uri="", name=self.name or "directory"), self._context)
        return self._local

    @property
    def name(self) -> str:
        """The directory's name, as it had when it was made."""
        if self._content is not None:
            return self._content.name
        return self._local.name if self._local is not None else ""

    @property
    def remote_source(self) -> str | None:
        """The address from which it is fetched; None for one that was made here, and for parts of a stored one."""
        return self._content.uri or None if self._content is not None else None

    @property
    def remote_directory(self) -> str | Literal[False] | None:
        """Where it is uploaded to, if its author has chosen."""
        return self._pinned

    @property
    def sep(self) -> str:
        """What separates the parts of paths, for users of flytekit."""
        return "/"

    @property
    def downloaded(self) -> bool:
        """Whether all of it is on this machine."""
        return self._content is None or self._copied is not None

    def download(self) -> str:
        """Fetch the directory if it is remote, and return its local path.

        Raises:
            CorruptBlob: If a file does not have the digest that was recorded when it was stored.
            FileNotFoundError: If an address of the user's own leads nowhere.
            StorageError: If the store does not have it, or it could not be read.
        """
        target = self._target()
        if self._new is not None:
            target.mkdir(parents=True, exist_ok=True)
        if self._content is not None and self._copied is None:
            self._content.fetch(target, self.at_once)
            self._copied = _stamps(trees.listing(target))
        return str(target)

    @classmethod
    def listdir(cls, directory: FlyteDirectory) -> list[FlyteFile | FlyteDirectory]:
        """Return what stands directly in a directory, sorted by name, without fetching it.

        Raises:
            FileNotFoundError: If it is not there.
            StorageError: If it cannot be read.
        """
        return [directory.part(name) for name in directory._names()]

    def _names(self) -> list[str]:
        if self._content is not None and self._copied is None:
            return self._content.names()
        here = os.listdir(self._target()) if self._new is None or self._target().exists() else []  # noqa: PTH208
        return sorted({*(self._new or {}), *here})

    def crawl(
        self,
        maxdepth: int | None = None,
        topdown: bool = True,  # noqa: FBT001, FBT002 - flytekit's signature
    ) -> Iterator[tuple[str, str]]:
        """Yield, for each file at any depth, the address of the directory and the file's path below it.

        `directory.part(path)` is the file, which is fetched when it is used.

        Args:
            maxdepth: How many levels; 1 for the files directly in the directory.
            topdown: Whether folders come before what is in them.

        Raises:
            FileNotFoundError: If it is not there.
            StorageError: If it cannot be read.
        """
        paths = [path for path in self._paths() if maxdepth is None or path.count("/") < maxdepth]
        for path in paths if topdown else reversed(paths):
            yield str(self), path

    def _paths(self) -> list[str]:
        if self._content is not None and self._copied is None:
            return self._content.paths()
        here = self._new is None or self._target().exists()
        found = {file.path for file in trees.listing(self._target()).files} if here else set()
        for name, made in (self._new or {}).items():
            inner = [""] if isinstance(made, FlyteFile) else made._paths()  # noqa: SLF001 - its own class
            found.update(f"{name}/{path}".rstrip("/") for path in inner)
        return sorted(found)

    def part(self, path: str) -> FlyteFile | FlyteDirectory:
        """Return a file or folder of the directory; nothing is fetched before it is used.

        Args:
            path: Its path below the directory, such as `train/0.csv`.

        Raises:
            FileNotFoundError: If there is nothing of that path; for folders of object stores that shows when it is used.
            ValueError: If the path leads out of the directory.
        """
        check_path(path)
        first, _, rest = path.partition("/")
        made = (self._new or {}).get(first)
        if made is not None:
            return made.part(rest) if rest and isinstance(made, FlyteDirectory) else made
        if self._content is None or self._copied is not None:
            return _local_part(self._target() / path)
        found = self._content.part(path)
        return found if isinstance(found, FlyteFile) else FlyteDirectory._with(found, self._context)

    def new_file(self, name: str | None = None) -> FlyteFile:
        """Return a new file directly in the directory; write it by `open("w")`.

        Args:
            name: Its name; by default a random one.

        Raises:
            InvalidInputs: If the name is a path.
        """
        name = _child(name, "new_file")
        if self._new is not None:
            made = FlyteFile.unwritten(self._target() / name)
            self._new[name] = made
            return made
        return FlyteFile(self._child_address(name))

    def new_dir(self, name: str | None = None) -> FlyteDirectory:
        """Return a new folder directly in the directory; arguments and errors as for `new_file`."""
        name = _child(name, "new_dir")
        if self._new is not None:
            made = FlyteDirectory._fresh(self._target() / name)
            self._new[name] = made
            return made
        address = self._child_address(name)
        if not transfer.is_uri(address):
            Path(address).mkdir(parents=True, exist_ok=True)
        return FlyteDirectory(address)

    def _child_address(self, name: str) -> str:
        if self._context is None and isinstance(self._content, Folder):
            return folders.at(self._content.uri, name)
        return str(Path(self.download()) / name)

    def leave(self, context: ValueContext, format_: str, at_once: int = 0) -> DirectoryValue:
        """Return the directory as it is passed on; what is only here is uploaded.

        Args:
            context: Where to upload to.
            format_: The declared format, if there is one.
            at_once: How many files are uploaded side by side; 0 leaves that to the store.

        Raises:
            Misfit: If it cannot be read, or a file of it is still being written.
            StorageError: If it could not be uploaded.
        """
        if self._content is not None and self._copied is None:
            return self._content.value(format_)
        root, format_ = self._target(), format_ or self.format
        if isinstance(context, Compiling):
            return DirectoryValue(uri=root.absolute().as_uri(), name=self.name, format=format_)
        if self._new is not None:
            self._check_new()
            root.mkdir(parents=True, exist_ok=True)
        found = trees.listing(root)
        if self._content is not None and _stamps(found) == self._copied:
            return self._content.value(format_)
        if self._pinned is not None and (context.blobs is not None or isinstance(context, InProcess)):
            return self._leave_pinned(root, context, format_)
        if context.blobs is not None:
            tree = trees.store(found, self._known(), context, at_once or self.at_once)
            return trees.value_of(self._with_new(tree), context, self.name, format_)
        if isinstance(context, InProcess):
            copy = transfer.target_for(FileValue(uri="", name=self.name or "directory"), context)
            trees.duplicate(root, copy)
            root = copy
        return _referenced(root.absolute().as_uri(), self.name, format_, found)

    def _leave_pinned(self, root: Path, context: ValueContext, format_: str) -> DirectoryValue:
        if self._pinned is False or self._pinned is None:
            return _referenced(root.absolute().as_uri(), self.name, format_, trees.listing(root))
        if transfer.is_stored(self._pinned, context):
            raise Misfit(
                f"remote_directory={self._pinned!r} lies in the platform's own store; choose an address of your own, "
                "or leave remote_directory out"
            )
        count, size = folders.send(root, self._pinned)
        return DirectoryValue(uri=self._pinned, name=self.name, format=format_, size=size, files=count)

    def _known(self) -> dict[str, tuple[object, TreeFile]]:
        if not isinstance(self._content, StoredTree):
            return {}
        stamps = self._copied or {}
        return {file.path: (stamps.get(file.path), file) for file in self._content.tree.files}

    def _check_new(self) -> None:
        for made in (self._new or {}).values():
            if isinstance(made, FlyteDirectory):
                made._target().mkdir(parents=True, exist_ok=True)  # noqa: SLF001 - its own class
                made._check_new()  # noqa: SLF001 - its own class
            else:
                made.reference()

    def _with_new(self, tree: Tree) -> Tree:
        """Add the files that were streamed to the store, which are not in the local folder."""
        if self._new is None:
            return tree
        files, empty = {file.path: file for file in tree.files}, set(tree.folders)
        for name, made in self._new.items():
            if isinstance(made, FlyteDirectory):
                inner = made._with_new(Tree())  # noqa: SLF001 - its own class
                empty.update(f"{name}/{path}" for path in inner.folders)
                empty.add(name)
                added = [file.model_copy(update={"path": f"{name}/{file.path}"}) for file in inner.files]
            else:
                value = made.reference()
                if value is None or value.sha256 is None or value.size is None:
                    continue  # it was written under its local path, or never
                added = [TreeFile(path=name, sha256=value.sha256, size=value.size)]
            files.update({file.path: file for file in added})
        return Tree.of(files.values(), empty)

    def __fspath__(self) -> str:
        return self.download()

    def __str__(self) -> str:
        return self.remote_source or (str(self._local) if self._local is not None else self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlyteDirectory):
            return NotImplemented
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Let pydantic models have directories as fields; a path or an address is taken too."""
        return path_schema(cls, FlyteDirectory)


def _stamps(found: trees.Listing) -> dict[str, object]:
    return {file.path: file.stamp for file in found.files} | dict.fromkeys(found.folders)


def _referenced(uri: str, name: str, format_: str, found: trees.Listing) -> DirectoryValue:
    size = sum(file.size for file in found.files)
    return DirectoryValue(uri=uri, name=name, format=format_, size=size, files=len(found.files))


def _local_part(path: Path) -> FlyteFile | FlyteDirectory:
    if not path.exists():
        raise FileNotFoundError(f"there is no {str(path)!r}")
    return FlyteDirectory(path) if path.is_dir() else FlyteFile(path)


def _child(name: str | None, caller: str) -> str:
    name = name or uuid.uuid4().hex
    try:
        check_path(name)
    except ValueError:
        valid = False
    else:
        valid = "/" not in name
    if not valid:
        raise InvalidInputs(f"FlyteDirectory.{caller}({name!r}): give a name without folders.")
    return name


_VARIANTS: dict[tuple[str, int], type[FlyteDirectory]] = {}


def variant(format_: str, at_once: int) -> type[FlyteDirectory]:
    """Return the class of directories of a format (empty for any) whose files are transferred so many at once."""
    if not format_ and not at_once:
        return FlyteDirectory
    if (format_, at_once) not in _VARIANTS:
        name = f"FlyteDirectory[{format_}]" if format_ else "FlyteDirectory"
        body = {"format": format_, "at_once": at_once, "__module__": __name__}
        _VARIANTS[format_, at_once] = type(name, (FlyteDirectory,), body)
    return _VARIANTS[format_, at_once]
