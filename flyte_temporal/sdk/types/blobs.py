"""The conversions of files, directories and open streams: what the type engine needs of `FlyteFile` and `FlyteDirectory`.

Apart from the classes, which users import, and which know nothing about annotations.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, BinaryIO, TextIO, TypeVar, cast, get_args, get_origin

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.sdk.types.directory import FlyteDirectory
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.literals import DirectoryValue, FileValue
from flyte_temporal.spec.types import BlobType

P = TypeVar("P", FlyteFile, FlyteDirectory)
D = TypeVar("D", bound=Document)


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
        cls: type[FlyteFile] = python_type

        def write(value: Any, context: ValueContext) -> Any:
            file = _made(value, cls, FlyteFile)
            return file.leave(context, cls.format).model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> FlyteFile:
            return cls.of(_document(value, FileValue, "a file"), context)

        return Converter(
            BlobType(shape="single", format=cls.format),
            write,
            read,
            lambda value: isinstance(value, FlyteFile),
        )


class Directories(TypeFamily):
    """`FlyteDirectory` and `FlyteDirectory["csv"]`. A `str` or a path is taken for a directory too."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is `FlyteDirectory`, of whatever format."""
        return isinstance(python_type, type) and issubclass(python_type, FlyteDirectory)

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one format."""
        cls: type[FlyteDirectory] = python_type

        def write(value: Any, context: ValueContext) -> Any:
            directory = _made(value, cls, FlyteDirectory)
            return directory.leave(context, cls.format, cls.at_once).model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> FlyteDirectory:
            return cls.of(_document(value, DirectoryValue, "a directory"), context)

        type_ = BlobType(shape="multipart", format=cls.format)
        return Converter(type_, write, read, lambda value: isinstance(value, FlyteDirectory))


def _made(value: Any, cls: type[P], base: type[P]) -> P:
    """Return a file or directory for what a person gives, if it has the declared format."""
    if isinstance(value, base):
        made: P = value
        if cls.format and made.format and made.format != cls.format:
            raise misfit(cls.__name__, made)
        return made
    if isinstance(value, FlyteFile | FlyteDirectory) or not isinstance(value, str | os.PathLike):
        raise misfit(cls.__name__, value)
    try:
        return cls(value)
    except InvalidInputs as error:
        raise Misfit(error.message) from None


def _document(value: Any, model: type[D], what: str) -> D:
    try:
        return model.model_validate(value)
    except ValueError:
        raise Misfit(f"expected {what}'s address, got {value!r}") from None


_MODES: dict[Any, str] = {TextIO: "r", IO[str]: "r", BinaryIO: "rb", IO[bytes]: "rb"}


class Handles(TypeFamily):
    """`TextIO` and `BinaryIO` as parameters: a file that is open for reading. Text is UTF-8."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is one of typing's names of open files."""
        return _is_handle(python_type)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for text or bytes."""
        files, mode = engine.converter(FlyteFile), _MODES[python_type]
        options = {} if "b" in mode else {"encoding": "utf-8"}

        def write(value: Any, context: ValueContext) -> Any:
            if hasattr(value, "read"):
                raise Misfit(
                    f"an open stream ({type(value).__name__}) cannot be passed on; give its path, or a FlyteFile"
                )
            return files.write(value, context)

        def read(value: Any, context: ValueContext) -> IO[Any]:
            file: FlyteFile = files.read(value, context)
            try:
                return file.open(mode, **options)
            except OSError as error:
                raise Misfit(f"the file {str(file)!r} cannot be read: {error.strerror or error}") from error

        return Converter(files.type, write, read, lambda value: hasattr(value, "read"))


def _is_handle(python_type: Any) -> bool:
    return any(python_type == known for known in _MODES)


def has_handle(annotation: Any) -> bool:
    """Return whether an annotation is, or has inside, an open stream."""
    return _is_handle(annotation) or any(map(cast("Callable[[Any], bool]", has_handle), get_args(annotation)))
