"""`FlyteFile`: a file that travels between tasks by reference and is downloaded when it is opened.

flytekit's class of the same name is the model. A local path is uploaded when the file leaves a task; a remote address
(`s3://…`, `https://…`) is passed on as it is; a file that only passes through a task is not read at all.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Generic, cast, get_origin
from urllib.parse import unquote, urlsplit

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    InProcess,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.spec.types import BlobType

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    F = TypeVar("F", default=Any)

    class _Parameterized(Generic[F]):
        """Lets type checkers read `FlyteFile[...]`; at run time `FlyteFile` itself handles the brackets."""

else:
    F = None

    class _Parameterized:
        """See above."""

        def __class_getitem__(cls, _item: object) -> type:
            return cls


class FlyteFile(os.PathLike[str], _Parameterized[F]):
    """A file on this machine or elsewhere.

    `open(file)`, `file.open()`, `os.fspath(file)` and `file.download()` fetch a remote file once, into a folder of the
    attempt; the digest of what we stored ourselves is checked.

    Args:
        path: A local path, or an address with one of the schemes `file`, `s3`, `gs`, `gcs`, `http`, `https`.
    """

    format: str = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fspath(path)
        self._source: FileValue | None = None
        self._local: Path | None = None
        self._context: ValueContext | None = None
        self._downloaded: tuple[int, int] | None = None
        if not transfer.is_uri(text):
            self._local = Path(text)
        elif (local := transfer.local_path(text)) is not None:
            self._local = local
        else:
            try:
                transfer.check_scheme(text)
            except Misfit as error:
                raise InvalidInputs(error.message) from None
            self._source = FileValue(uri=text, name=name_of(text))

    def __class_getitem__(cls, item: Any) -> type[FlyteFile]:
        """Return the class of files of a format: `FlyteFile["csv"]`, or with a `TypeVar("csv")` as in flytekit."""
        format_ = str(getattr(item, "__forward_arg__", None) or getattr(item, "__name__", None) or item)
        return _of_format(format_.lstrip("~.").lower())

    @classmethod
    def from_source(cls, source: str | os.PathLike[str]) -> FlyteFile:
        """Return a file that stands at a path or address; the same as `FlyteFile(source)`, for users of flytekit."""
        return cls(source)

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
        made._source, made._context, made._downloaded = value, context, None  # noqa: SLF001 - its own class
        # A file of a plain run is copied for each reader, as if it came from a store.
        elsewhere = isinstance(context, InProcess) or transfer.is_stored(value.uri, context)
        made._local = None if elsewhere else transfer.local_path(value.uri)  # noqa: SLF001
        if made._local is None:  # noqa: SLF001
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
    def name(self) -> str:
        """The file's name, with its extension, as it had when it was made."""
        if self._source is not None and self._source.name:
            return self._source.name
        return Path(self.path).name

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
        if not self.downloaded:
            source = cast("FileValue", self._source)
            transfer.download(source, path, self._context)
            self._downloaded = _stamp(path)
        return str(path)

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open the file as the built-in `open` does; a remote file is downloaded first.

        Args:
            mode: As for `open`. Writing is for files with a local path; their folder is made if it is missing.
            options: `encoding`, `newline` and the other options of `open`.

        Raises:
            ValueError: If a remote file is opened for writing.
        """
        if set(mode) & set("wax+"):
            if self._source is not None and not self._is_direct():
                raise ValueError(
                    f"{self._source.uri} is an input and cannot be opened with mode {mode!r}. Write a new file and "
                    "return FlyteFile(its path)."
                )
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        return open(self.download(), mode, **options)  # noqa: PTH123 - the caller closes it

    def reference(self) -> FileValue | None:
        """Return where the content already is, or None if there is none but the local one.

        A downloaded copy that was changed afterwards is a new file.
        """
        if self._source is None or self._is_direct():
            return None
        if self._downloaded is not None and _stamp(Path(self.path)) != self._downloaded:
            return None
        return self._source

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
        from pydantic_core import core_schema

        def validate(value: Any) -> FlyteFile:
            if isinstance(value, FlyteFile):
                return value
            if isinstance(value, str | os.PathLike):
                try:
                    return cls(value)
                except InvalidInputs as error:
                    raise ValueError(error.message) from error
            raise ValueError(f"expected a FlyteFile or a path, got {type(value).__name__}")

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.to_string_ser_schema()
        )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def name_of(uri: str) -> str:
    """Return the file name at the end of an address."""
    return unquote(PurePosixPath(urlsplit(uri).path).name)


_FORMATS: dict[str, type[FlyteFile]] = {}


def _of_format(format_: str) -> type[FlyteFile]:
    if format_ not in _FORMATS:
        _FORMATS[format_] = type(
            f"FlyteFile[{format_}]", (FlyteFile,), {"format": format_, "__module__": __name__}
        )
    return _FORMATS[format_]


class Files(TypeFamily):
    """`FlyteFile` and `FlyteFile["csv"]`, and `os.PathLike` as in flytekit. A `str` or a path is taken for a file too."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is `FlyteFile`, of whatever format."""
        if get_origin(python_type) is os.PathLike or python_type is os.PathLike:
            return True
        return isinstance(python_type, type) and issubclass(python_type, FlyteFile)

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one format."""
        if not (isinstance(python_type, type) and issubclass(python_type, FlyteFile)):
            python_type = FlyteFile
        declared: str = python_type.format

        def write(value: Any, context: ValueContext) -> Any:
            file = value if isinstance(value, FlyteFile) else _from_path(value, python_type)
            if declared and file.format and file.format != declared:
                raise misfit(python_type.__name__, file)
            reference = file.reference()
            if reference is None:
                reference = transfer.upload(Path(file.path), context, declared or file.format, file.name)
            return reference.model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> FlyteFile:
            return cast("type[FlyteFile]", python_type).of(_file_value(value), context)

        return Converter(
            BlobType(shape="single", format=declared), write, read, lambda value: isinstance(value, FlyteFile)
        )


def _from_path(value: Any, python_type: type[FlyteFile]) -> FlyteFile:
    if not isinstance(value, str | os.PathLike):
        raise misfit(python_type.__name__, value)
    try:
        return python_type(value)
    except InvalidInputs as error:
        raise Misfit(error.message) from None


def _file_value(value: Any) -> FileValue:
    try:
        return FileValue.model_validate(value)
    except ValueError:
        raise Misfit(f"expected a file's address, got {value!r}") from None
