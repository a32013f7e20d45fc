"""Encoders and decoders of datasets by Python type, protocol and format, and their registry. flytekit's names.

`dataset_handlers` registers the built-in ones; other packages add theirs by `StructuredDatasetTransformerEngine.register`,
or by an entry point of the group `flyte_temporal.types`, which is looked for when a type, protocol or format is not known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.sdk.types.frames import FORMATS, type_name
from flyte_temporal.sdk.types.plugins import plugged_in
from flyte_temporal.spec.literals import DatasetValue
from flyte_temporal.spec.types import DatasetType

T = TypeVar("T")


class Handler(Generic[T]):
    """What encoders and decoders have in common.

    Args:
        python_type: The class of dataframes.
        protocol: Scheme of the addresses it writes or reads (`bq`, `s3`); None for all.
        supported_format: The format it writes or reads; None for all.
    """

    only_files: ClassVar[bool] = False

    def __init__(
        self, python_type: type[T], protocol: str | None = None, supported_format: str | None = None
    ) -> None:
        self.python_type = python_type
        self.protocol = (protocol or "").removesuffix("://")
        self.supported_format = supported_format or ""

    @property
    def type_name(self) -> str:
        """Package and name of the class of dataframes."""
        return type_name(self.python_type)


class StructuredDatasetEncoder(Handler[T], ABC):
    """Writes dataframes of one class."""

    @abstractmethod
    def encode(
        self,
        context: ValueContext,
        structured_dataset: Any,
        structured_dataset_type: DatasetType,
    ) -> DatasetValue:
        """Store `structured_dataset.dataframe` and say where it is.

        Args:
            context: The blob store, and a folder for files on their way.
            structured_dataset: The frame; its `uri`, if it has one, is where the author wants it.
            structured_dataset_type: Its columns (only these are stored) and its format, which is never empty.

        Raises:
            ValueError: If the frame cannot be written.
        """


class StructuredDatasetDecoder(Handler[T], ABC):
    """Reads dataframes of one class."""

    @abstractmethod
    def decode(
        self, context: ValueContext, flyte_value: DatasetValue, structured_dataset_type: DatasetType
    ) -> T | Iterator[T]:
        """Return the frame, or an iterator over frames.

        Args:
            context: Where files come from, and a folder for copies.
            flyte_value: Where the dataset is.
            structured_dataset_type: The columns to read; none = all.

        Raises:
            ValueError: If it cannot be read.
        """


_Table = dict[tuple[str, str, str], Any]


class StructuredDatasetTransformerEngine:
    """The registry of encoders and decoders of this process."""

    _encoders: ClassVar[_Table] = {}
    _decoders: ClassVar[_Table] = {}
    _formats: ClassVar[dict[str, str]] = {}
    _plugins: ClassVar[set[str]] = set()

    @classmethod
    def register(
        cls,
        handler: StructuredDatasetEncoder[Any] | StructuredDatasetDecoder[Any],
        *,
        default_for_type: bool = False,
        override: bool = False,
    ) -> None:
        """Add an encoder or decoder.

        Args:
            handler: The handler.
            default_for_type: Whether frames of its class are written in its format if nobody says another one.
            override: Whether it takes the place of one for the same type, protocol and format.

        Raises:
            CompileError: If there is one already, or the handler is neither.
        """
        if not isinstance(handler, StructuredDatasetEncoder | StructuredDatasetDecoder):
            raise CompileError(
                f"{type(handler).__name__} is neither a StructuredDatasetEncoder nor a StructuredDatasetDecoder."
            )
        table = cls._encoders if isinstance(handler, StructuredDatasetEncoder) else cls._decoders
        key = (handler.type_name, handler.protocol, handler.supported_format)
        if key in table and not override:
            name, protocol, format_ = key
            raise CompileError(
                f"There is a handler for {name}, protocol {protocol or 'any'!r}, format {format_ or 'any'!r} already. "
                "Pass override=True to replace it."
            )
        table[key] = handler
        if default_for_type and handler.supported_format:
            cls._formats[handler.type_name] = handler.supported_format

    @classmethod
    def knows(cls, python_type: Any) -> bool:
        """Return whether frames of a class can be written or read."""
        name = type_name(python_type)
        return any(key[0] == name for table in (cls._encoders, cls._decoders) for key in table)

    @classmethod
    def default_format(cls, name: str) -> str:
        """Return the format in which frames of a class are written if nobody says another one."""
        return cls._formats.get(name, "parquet")

    @classmethod
    def encoder(cls, name: str, protocol: str, format_: str) -> StructuredDatasetEncoder[Any] | None:
        """Return the encoder that fits best: of this protocol before one of any, of this format before one of any."""
        found = _best(cls._encoders, name, protocol, format_)
        return found or (_best(cls._encoders, name, protocol, format_) if cls._look_around() else None)

    @classmethod
    def decoder(cls, name: str, protocol: str, format_: str) -> StructuredDatasetDecoder[Any] | None:
        """Return the decoder that fits best, as `encoder`."""
        found = _best(cls._decoders, name, protocol, format_)
        return found or (_best(cls._decoders, name, protocol, format_) if cls._look_around() else None)

    @classmethod
    def _look_around(cls) -> bool:
        """Register the handlers of plug-ins; return whether there are new ones."""
        found = [made for _, made in plugged_in(None, cls._plugins)]
        for made in found:
            cls.adopt(made)
        return bool(found)

    @classmethod
    def adopt(cls, made: object) -> bool:
        """Register what a plug-in brings if it is a handler that is not there; return whether it is a handler."""
        if not isinstance(made, StructuredDatasetEncoder | StructuredDatasetDecoder):
            return False
        table = cls._encoders if isinstance(made, StructuredDatasetEncoder) else cls._decoders
        if (made.type_name, made.protocol, made.supported_format) not in table:
            cls.register(made)
        return True

    @classmethod
    def formats(cls, name: str) -> list[str]:
        """Return the formats that can be read or written for a class, for messages."""
        found = {key[2] for table in (cls._encoders, cls._decoders) for key in table if key[0] == name}
        return sorted(found - {""})


def _best(table: _Table, name: str, protocol: str, format_: str) -> Any:
    own_files = protocol in transfer.SCHEMES
    for key in ((protocol, format_), (protocol, ""), ("", format_), ("", "")):
        handler = table.get((name, *key))
        # The built-in ones read and write files: they cannot do anything with a table of a database.
        if handler is not None and (own_files or not handler.only_files):
            return handler
    return None


def require_columns(wanted: list[str], have: tuple[str, ...], what: str) -> None:
    """Refuse a dataset that lacks a declared column.

    Raises:
        Misfit: If it does; the message lists those that it has.
    """
    missing = [name for name in wanted if name not in have]
    if missing:
        raise Misfit(f"{what} lacks the declared column {missing[0]!r}; it has: {', '.join(have) or 'none'}")


def format_of(uri: str) -> str:
    """Return the dataset format that the extension of a path or address stands for; parquet if it says nothing."""
    extension = PurePosixPath(urlsplit(uri).path).suffix.lstrip(".").lower()
    return FORMATS.get(extension, extension or "parquet")


def protocol_of(uri: str) -> str:
    """Return the scheme of an address; `file` for a path."""
    return urlsplit(uri).scheme if transfer.is_uri(uri) else "file"


def known_frame(python_type: Any) -> bool:
    """Return whether a class of dataframes has an encoder or decoder, also if only a plug-in brings it."""
    engine = StructuredDatasetTransformerEngine
    if not isinstance(python_type, type):
        return False
    if engine.knows(python_type):
        return True
    for _, made in plugged_in(python_type, set()):
        engine.adopt(made)
    return engine.knows(python_type)
