"""`FlyteFile`: a file that travels between tasks by reference, and is read when it is opened.

flytekit's class of the same name is the model. A local path is uploaded when the file leaves a task; a remote address
(`s3://…`, `https://…`) is passed on as it is; a file that only passes through a task is not read at all.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import IO, Annotated, Any, Literal, cast, get_origin

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types import sinks, streaming, transfer
from flyte_temporal.sdk.types.brackets import F, Parameterized
from flyte_temporal.sdk.types.converter import InProcess, Misfit, ValueContext
from flyte_temporal.sdk.types.place import current_place, working_directory
from flyte_temporal.spec.literals import FileValue


class FlyteFile(os.PathLike[str], Parameterized[F]):
    """A file on this machine or elsewhere.

    `file.open()` reads a remote file where it is; `open(file)`, `os.fspath(file)` and `file.download()` fetch it once, into
    a folder of the attempt. Either way the digest of what we stored ourselves is checked.

    Args:
        path: A local path, or an address with one of the schemes `file`, `s3`, `gs`, `gcs`, `http`, `https`.
        remote_path: Where a local file is uploaded to when it leaves its task: an address, or a local path. What stands there
            is replaced, by every attempt. False: nowhere; its local path is passed on, for readers on this machine.

    Raises:
        InvalidInputs: If an address has another scheme, or `remote_path` is nothing to write to.
    """

    format: str = ""

    _source: FileValue | None
    _context: ValueContext | None
    _local: Path | None
    _downloaded: tuple[int, int] | None
    _writes_to: str
    """Where `open("w")` writes to: "" a local path, "store" the blob store, else an address."""
    _writing: streaming.Writing | None
    _pinned: str | Literal[False] | None

    def __init__(
        self, path: str | os.PathLike[str], remote_path: str | os.PathLike[str] | Literal[False] | None = None
    ) -> None:
        text = os.fspath(path)
        self._begin(None, None)
        if not transfer.is_uri(text):
            self._local = Path(text)
        elif (local := transfer.local_path(text)) is not None:
            self._local = local
        else:
            checked(text)
            self._source = FileValue(uri=text, name=transfer.name_of(text))
            self._writes_to = text
        self._pinned = remote_path if remote_path is False else pinned(remote_path, "remote_path")

    def _begin(self, source: FileValue | None, context: ValueContext | None) -> None:
        self._source, self._context = source, context
        self._downloaded = None
        self._writes_to = ""
        self._writing = None
        self._pinned = None
        # A file of a plain run is copied for each reader, as if it came from a store; one whose digest is known is
        # verified, which a file that others may write is not.
        direct = source is not None and source.sha256 is None and not isinstance(context, InProcess)
        self._local = transfer.local_path(source.uri) if source is not None and direct else None

    def __class_getitem__(cls, item: Any) -> type[FlyteFile]:
        """Return the class of files of a format: `FlyteFile["csv"]`, or with a `TypeVar("csv")` as in flytekit."""
        return _of_format(format_name(item))

    @classmethod
    def from_source(cls, source: str | os.PathLike[str]) -> FlyteFile:
        """Return a file that stands at a path or address; the same as `FlyteFile(source)`, for users of flytekit."""
        return cls(source)

    @classmethod
    def extension(cls) -> str:
        """Return the declared format, such as `csv`; empty if there is none."""
        return cls.format

    @classmethod
    def new(cls, filename: str | os.PathLike[str]) -> FlyteFile:
        """Return a file below the working directory of the running task; it is for you to write.

        Raises:
            ValueError: If the name is an absolute path.
        """
        if Path(filename).is_absolute():
            raise ValueError(f"FlyteFile.new({os.fspath(filename)!r}): give a relative path.")
        return cls(working_directory() / filename)

    @classmethod
    def new_remote_file(cls, name: str | None = None, alt: str | None = None) -> FlyteFile:
        """Return a new file that is written to the store as its bytes come: `with file.open("w") as stream`.

        It is hashed on the way, needs no room on the local disk, and is not read again when it leaves the task. It has its
        content when the stream is closed without an error, and has no address before.

        Args:
            name: Its name; by default a random one with the extension of the format.
            alt: An address below which it is put instead, in a new folder, as `s3://bucket/prefix`.

        Raises:
            InvalidInputs: If the name is a path, or `alt` has a scheme that is not allowed.
        """
        name = name or uuid.uuid4().hex + (f".{cls.format}" if cls.format else "")
        if Path(name).name != name or name in {".", ".."}:
            raise InvalidInputs(
                f"FlyteFile.new_remote_file(name={name!r}): give a file name without folders."
            )
        if alt is not None:
            return cls(f"{alt.rstrip('/')}/{uuid.uuid4().hex}/{name}")
        return cls.unwritten(working_directory() / "new" / uuid.uuid4().hex / name)

    @classmethod
    def unwritten(cls, path: Path) -> FlyteFile:
        """Return a new file that `open("w")` writes to the store, and whoever wants a path to this one; see above."""
        made = cls(path)
        made._writes_to = "store"
        return made

    @classmethod
    def of(cls, value: FileValue, context: ValueContext) -> FlyteFile:
        """Return the file of a literal.

        Args:
            value: What the literal says of it.
            context: Where it is downloaded from and to.

        Raises:
            Misfit: If its address has a scheme that is not allowed.
        """
        made = cls.__new__(cls)
        made._begin(value, context)  # noqa: SLF001 - its own class
        if transfer.local_path(value.uri) is None:
            transfer.check_scheme(value.uri, context)
        return made

    @property
    def path(self) -> str:
        """The local path: of the file itself, or where its copy is put by the first use.

        In a plain run the copy is made at once, since there is nothing to wait for.
        """
        source = self._source
        if isinstance(self._context, InProcess) and source is not None and transfer.local_path(source.uri):
            return self.download()
        return str(self._target())

    def _target(self) -> Path:
        if self._local is None:
            self._local = transfer.target_for(cast("FileValue", self._source), self._context)
        return self._local

    @property
    def remote_source(self) -> str | None:
        """The address from which it is downloaded; None for a file that was made here."""
        return self._source.uri if self._source is not None else None

    @property
    def remote_path(self) -> str | Literal[False] | None:
        """Where it is uploaded to, if its author has chosen."""
        return self._pinned

    @property
    def name(self) -> str:
        """The file's name, with its extension, as it had when it was made."""
        if self._source is not None and self._source.name:
            return self._source.name
        return self._target().name

    @property
    def downloaded(self) -> bool:
        """Whether the content is on this machine."""
        return self._source is None or self._downloaded is not None or self._is_direct()

    def _is_direct(self) -> bool:
        local = transfer.local_path(self._source.uri) if self._source is not None else None
        return local is not None and local == self._local

    def download(self) -> str:
        """Fetch the file if it is remote, and return its local path.

        Raises:
            CorruptBlob: If the content does not have the digest that was recorded when it was stored.
            FileNotFoundError: If an address of the user's own leads nowhere.
            StorageError: If the store does not have it, or it could not be read.
        """
        path = self._target()
        if self._writes_to == "store" and self._source is None:
            path.parent.mkdir(parents=True, exist_ok=True)  # for whoever writes to the path
        if not self.downloaded:
            source = cast("FileValue", self._source)
            transfer.download(source, path, self._context)
            self._downloaded = _stamp(path)
        return str(path)

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open the file as the built-in `open` does.

        A remote file is read where it is, in pieces; if all of it is read, its digest is checked at the end. One that was
        downloaded before is read from its copy. A new remote file, and an address that your own code has given, are written
        where they will be, from start to end.

        Args:
            mode: As for `open`. The folder of a local file is made if it is missing.
            options: `encoding`, `newline` and the other options of `open`; `cache_type` and `cache_options` of fsspec.

        Raises:
            CorruptBlob: While reading, if the content does not have the recorded digest.
            FileNotFoundError: If an address of the user's own leads nowhere.
            StorageError: If it could not be read or written.
            ValueError: If an input is opened for writing, or a remote file for anything but reading or writing as a whole.
        """
        fsspecs = {name: options.pop(name) for name in ("cache_type", "cache_options") if name in options}
        if set(mode) & set("wax+"):
            return self._open_to_write(mode, options)
        if self.downloaded:
            return open(self.download(), mode, **options)  # noqa: PTH123 - the caller closes it
        fsspecs = {name: value for name, value in fsspecs.items() if value is not None}
        source, known = transfer.stream(cast("FileValue", self._source), self._context, **fsspecs)
        try:
            return streaming.reader(source, known, mode, **options)
        except BaseException:
            source.close()
            raise

    def _open_to_write(self, mode: str, options: dict[str, Any]) -> IO[Any]:
        if self._writes_to:
            if set(mode) & set("a+"):
                raise ValueError(
                    f"{self} is written from start to end and cannot be opened with mode {mode!r}. Use 'w' or 'wb'."
                )
            sink = self._sink()
            self._writing = streaming.Writing(sink, str(self), lambda: self._written(sink.value))
            return streaming.writer(self._writing, mode, **options)
        if self._source is not None and not self._is_direct():
            raise ValueError(
                f"{self._source.uri} is an input and cannot be opened with mode {mode!r}. Write a new file and "
                "return FlyteFile(its path)."
            )
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        return open(self.download(), mode, **options)  # noqa: PTH123 - the caller closes it

    def _sink(self) -> sinks.FileSink:
        if self._writes_to != "store":
            return sinks.address_sink(self._writes_to)
        blobs = current_place().blobs
        return sinks.LocalSink(self._target()) if blobs is None else sinks.StoreSink(blobs, self.name)

    def _written(self, value: FileValue) -> None:
        """Take note of the content that a stream has left."""
        self._downloaded = None
        if self._local is not None and transfer.local_path(value.uri) == self._local:
            return
        self._source = value
        self._context, self._local = current_place(), None

    def reference(self) -> FileValue | None:
        """Return where the content already is, or None if there is none but the local one.

        A downloaded copy that was changed afterwards is a new file.

        Raises:
            Misfit: If a stream that writes it is still open.
        """
        if self._writing is not None and not self._writing.closed:
            raise Misfit(
                f"the file {self.name!r} is still being written; close its stream before you return it, best by "
                '`with file.open("w") as stream:`'
            )
        if self._source is None or self._is_direct():
            return None
        if self._downloaded is not None and _stamp(Path(self.path)) != self._downloaded:
            return None
        return self._source

    def leave(self, context: ValueContext, format_: str) -> FileValue:
        """Return the file as it is passed on, uploaded if its content is only here.

        Args:
            context: Where to upload to.
            format_: The declared format, if there is one.

        Raises:
            Misfit: If it cannot be read, or is still being written.
            StorageError: If it could not be uploaded.
        """
        found = self.reference()
        if found is not None:
            return found
        path, format_ = self._target(), format_ or self.format
        if self._writes_to == "store" and not path.exists():
            raise Misfit(
                f'nothing was written to the new file {self.name!r}; write it by `with file.open("w") as stream:`'
            )
        if self._pinned is None or (context.blobs is None and not isinstance(context, InProcess)):
            return transfer.upload(path, context, format_, self.name)
        transfer.check_file(path)
        if self._pinned is False:
            uri, size = path.absolute().as_uri(), path.stat().st_size
            return FileValue(uri=uri, name=self.name, format=format_, size=size)
        if transfer.is_stored(self._pinned, context):
            raise Misfit(
                f"remote_path={self._pinned!r} lies in the platform's own store; choose an address of your own, or leave "
                "remote_path out"
            )
        try:
            sent = sinks.send(path, self._pinned)
        except OSError as error:
            raise Misfit(f"the file {str(path)!r} cannot be read: {error.strerror or error}") from error
        return sent.model_copy(update={"format": format_})

    def __fspath__(self) -> str:
        return self.download()

    def __str__(self) -> str:
        return self._source.uri if self._source is not None else str(self._local)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlyteFile):
            return NotImplemented
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Let pydantic models have files as fields; a path or an address is taken too."""
        return path_schema(cls, FlyteFile)


def path_schema(cls: type[Any], base: type[Any]) -> Any:
    """Return pydantic's schema of a class that is made of a path: instances of `base`, a text or a path."""
    from pydantic_core import core_schema

    def validate(value: Any) -> Any:
        if isinstance(value, base):
            return value
        if isinstance(value, str | os.PathLike):
            try:
                return cls(value)
            except InvalidInputs as error:
                raise ValueError(error.message) from error
        raise ValueError(f"expected a {base.__name__} or a path, got {type(value).__name__}")

    return core_schema.no_info_plain_validator_function(
        validate, serialization=core_schema.to_string_ser_schema()
    )


def format_name(item: Any) -> str:
    """Return the format that stands in brackets: a text, a `TypeVar`, or flytekit's `Annotated[str, FileExt("tar.gz")]`."""
    if get_origin(item) is Annotated:
        item = item.__metadata__[0]
    found = getattr(item, "__forward_arg__", None) or getattr(item, "__name__", None) or item
    return str(found).strip().lstrip("~.").lower()


def checked(uri: str) -> None:
    """Refuse addresses with a scheme that is not allowed.

    Raises:
        InvalidInputs: If it has one.
    """
    try:
        transfer.check_scheme(uri)
    except Misfit as error:
        raise InvalidInputs(error.message) from None


def pinned(target: str | os.PathLike[str] | None, parameter: str) -> str | None:
    """Return the address that an author has chosen for what is uploaded.

    Args:
        target: A path or an address.
        parameter: Where it was given, for messages.

    Raises:
        InvalidInputs: If nothing can be written there.
    """
    if target is None:
        return None
    text = os.fspath(target)
    if not transfer.is_uri(text):
        return Path(text).absolute().as_uri()
    checked(text)
    if text.startswith(("http:", "https:")):
        raise InvalidInputs(
            f"{parameter}={text!r}: nothing can be uploaded to a web address. Give a path, or an address of the "
            "schemes file, s3, gs or gcs."
        )
    return text


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


_FORMATS: dict[str, type[FlyteFile]] = {}


def _of_format(format_: str) -> type[FlyteFile]:
    if not format_:
        return FlyteFile
    if format_ not in _FORMATS:
        _FORMATS[format_] = type(
            f"FlyteFile[{format_}]", (FlyteFile,), {"format": format_, "__module__": __name__}
        )
    return _FORMATS[format_]
