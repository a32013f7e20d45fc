"""`StructuredDataset`: a dataset that is read when somebody asks for it, as whatever class of dataframes they like.

flytekit's name. Reading is here too, for `datasets`, which does it at once for a task that declares a class of dataframes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.sdk.types.dataset_registry import (
    StructuredDatasetTransformerEngine,
    format_of,
    known_frame,
    protocol_of,
    require_columns,
)
from flyte_temporal.sdk.types.frames import FORMATS, FrameKind, kind_of, type_name
from flyte_temporal.spec.literals import DatasetValue
from flyte_temporal.spec.types import DatasetType


class StructuredDataset:
    """A dataset that is read when somebody asks for it, as whatever class of dataframes they like.

    Args:
        dataframe: A frame to return from a task: pandas, polars, pyarrow, or of a class with an encoder.
        uri: Where the dataset is; with a frame, where to put it instead of the blob store.
        file_format: `parquet`, `csv`, or a format with an encoder; empty = as declared, or by the address, or parquet.
    """

    def __init__(self, dataframe: Any = None, uri: str | None = None, file_format: str = "") -> None:
        self.dataframe = dataframe
        self.uri = uri
        self.file_format = FORMATS.get(file_format.lower(), file_format.lower())
        self._value: DatasetValue | None = None
        self._type = DatasetType()
        self._context: ValueContext | None = None
        self._wanted: Any = None

    @classmethod
    def of(cls, value: DatasetValue, type_: DatasetType, context: ValueContext) -> StructuredDataset:
        """Return the dataset of a literal.

        Args:
            value: Where it is.
            type_: The columns that are read; none = all.
            context: Where it comes from.
        """
        made = cls(uri=value.uri, file_format=value.format)
        made._value, made._type, made._context = value, type_, context
        return made

    @classmethod
    def held(cls, frame: Any, type_: DatasetType, context: ValueContext) -> StructuredDataset:
        """Return the dataset of a frame that a plain run hands on in memory."""
        made = cls(dataframe=frame, file_format="parquet")
        made._type, made._context = type_, context
        return made

    @property
    def metadata(self) -> DatasetType:
        """Return the declared columns (none = all) and the format."""
        return self._type.model_copy(update={"format": self.file_format or self._type.format})

    @property
    def literal(self) -> DatasetValue | None:
        """Return what is known of the stored dataset; None for one that was made here."""
        return self._value

    @property
    def remote_location(self) -> str | None:
        """Return where the stored dataset is; None for one that was made here."""
        return self._value.uri if self._value is not None else self.uri

    def open(self, dataframe_type: type[Any]) -> StructuredDataset:
        """Say as what it is to be read, and return itself: `dataset.open(pd.DataFrame).all()`.

        Args:
            dataframe_type: A class of dataframes.

        Raises:
            InvalidInputs: If it has no decoder.
        """
        if not known_frame(dataframe_type):
            raise InvalidInputs(
                f"No decoder for {getattr(dataframe_type, '__name__', dataframe_type)}: open() takes pandas.DataFrame, "
                "polars.DataFrame, pyarrow.Table, or a class with a registered StructuredDatasetDecoder."
            )
        self._wanted = dataframe_type
        return self

    def all(self) -> Any:
        """Return the whole dataset as one frame.

        Raises:
            InvalidInputs: If `open` was not called, a declared column is missing, or it cannot be read.
            CorruptBlob: If it has not the recorded digest.
            StorageError: If it is not there.
        """
        with _for_people():
            found = _decoded(self, self._opened(), in_batches=False)
        if isinstance(found, Iterator):
            raise InvalidInputs("This dataset is read in several frames; call iter() instead of all().")
        return found

    def iter(self) -> Iterator[Any]:
        """Return frames of some rows each (65,536 for the built-in classes); raises as `all`."""
        with _for_people():
            found = _decoded(self, self._opened(), in_batches=True)
            yield from found if isinstance(found, Iterator) else [found]

    def _opened(self) -> Any:
        if self._wanted is None:
            raise InvalidInputs(
                "Call open() with a class of dataframes first: dataset.open(pd.DataFrame).all()."
            )
        return self._wanted

    def __repr__(self) -> str:
        shown = self.remote_location or type(self.dataframe).__name__
        return f"StructuredDataset({shown!r}, file_format={self.file_format!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Let pydantic models have datasets as fields."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


def decode(
    value: DatasetValue, type_: DatasetType, cls: type[Any], context: ValueContext, *, in_batches: bool
) -> Any:
    """Return a stored dataset as a frame of a class, or as an iterator over frames.

    Args:
        value: Where it is.
        type_: The columns that are read; none = all.
        cls: The class of frames.
        context: Where it comes from.
        in_batches: Whether it is wanted in frames of some rows each.

    Raises:
        Misfit: If there is no decoder, a declared column is missing, or it cannot be read.
    """
    format_ = value.format or format_of(value.uri)
    protocol = "file" if transfer.is_stored(value.uri, context) else protocol_of(value.uri)
    name = type_name(cls)
    decoder = StructuredDatasetTransformerEngine.decoder(name, protocol, format_)
    if decoder is None:
        transfer.check_scheme(value.uri, context)
        known = ", ".join(StructuredDatasetTransformerEngine.formats(name))
        raise Misfit(
            f"the dataset {value.uri!r} has the format {format_!r}, which cannot be read as {cls.__name__}; known are: "
            f"{known or 'none'}"
        )
    if value.columns and type_.columns:
        require_columns(
            [column.name for column in type_.columns], value.columns, f"the dataset {value.uri!r}"
        )
    stream = getattr(decoder, "stream", None)
    if in_batches and stream is not None:
        return stream(context, value, type_)
    try:
        return decoder.decode(context, value, type_)
    except (TypeError, ValueError) as error:
        raise Misfit(f"the dataset {value.uri!r} cannot be read: {error}") from error


def _decoded(dataset: StructuredDataset, cls: type[Any], *, in_batches: bool) -> Any:
    context = dataset._context or ValueContext(None, transfer.own_scratch())  # noqa: SLF001 - of this module
    type_ = dataset._type  # noqa: SLF001
    if dataset.dataframe is not None:
        return converted(dataset.dataframe, type_, cls, context)
    if dataset.uri is None:
        raise Misfit("the dataset has neither a dataframe nor an address")
    value = dataset.literal or DatasetValue(uri=full_address(dataset.uri), format=dataset.file_format)
    return decode(value, type_, cls, context, in_batches=in_batches)


def converted(frame: Any, type_: DatasetType, cls: type[Any], context: ValueContext) -> Any:
    """Return a frame in memory as one of a class with the declared columns: what storing and reading it would give.

    Raises:
        Misfit: If it lacks a column, or its class is not known.
    """
    kind = kind_of(type(frame))
    if kind is None:
        raise Misfit(f"expected {cls.__name__}, got {type(frame).__name__}")
    frame = narrowed(kind, frame, type_)
    if isinstance(frame, cls):
        return kind.copy(frame)
    encoder = StructuredDatasetTransformerEngine.encoder(kind.python, "file", "parquet")
    if encoder is None:
        raise Misfit(f"there is no encoder for {kind.python}")
    in_files = ValueContext(None, context.scratch)
    value = encoder.encode(in_files, StructuredDataset(frame), DatasetType(format="parquet"))
    try:
        return decode(value, DatasetType(), cls, in_files, in_batches=False)
    finally:
        if (path := transfer.local_path(value.uri)) is not None:
            transfer.discard(path)


def narrowed(kind: FrameKind, frame: Any, type_: DatasetType) -> Any:
    """Return a frame with the declared columns only; with none declared, as it is.

    Raises:
        Misfit: If it lacks one.
    """
    if not type_.columns:
        return frame
    names = [column.name for column in type_.columns]
    have = kind.columns(frame)
    require_columns(names, have, f"the {kind.python.partition('.')[2]}")
    return frame if tuple(names) == have else kind.select(frame, names)


def full_address(uri: str) -> str:
    """Return a path as an address; an address as it is."""
    return uri if transfer.is_uri(uri) else Path(uri).expanduser().absolute().as_uri()


@contextmanager
def _for_people() -> Iterator[None]:
    """Turn a misfit, which comes up while the user's code reads the dataset, into an error for people."""
    try:
        yield
    except Misfit as error:
        raise InvalidInputs(error.message) from error.__cause__
