"""Dataframes and `StructuredDataset` as datasets in the blob store: parquet or CSV, all columns or the declared ones.

What storing a frame and reading it as another class gives, a plain run gives as well: a frame of the same class is copied,
any other way goes through a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types import dataset_handlers, transfer
from flyte_temporal.sdk.types.annotations import options
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Held,
    InProcess,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
    shown,
)
from flyte_temporal.sdk.types.dataset_registry import (
    StructuredDatasetDecoder,
    StructuredDatasetEncoder,
    StructuredDatasetTransformerEngine,
    format_of,
    protocol_of,
)
from flyte_temporal.sdk.types.frames import FORMATS, kind_of, type_name
from flyte_temporal.sdk.types.structured_dataset import (
    StructuredDataset,
    converted,
    decode,
    full_address,
    narrowed,
)
from flyte_temporal.sdk.types.wrappers import metadata, unwrapped
from flyte_temporal.spec.literals import DatasetValue
from flyte_temporal.spec.types import Column, DatasetType

__all__ = [
    "Datasets",
    "StructuredDataset",
    "StructuredDatasetDecoder",
    "StructuredDatasetEncoder",
    "StructuredDatasetTransformerEngine",
    "dataset_handlers",
    "format_of",
]


class Datasets(TypeFamily):
    """Classes of dataframes that have a handler, and `StructuredDataset`, also with columns and a format.

    `Annotated[pd.DataFrame, kwtypes(age=int, name=str), "csv"]` declares both.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is such a class, without importing its library."""
        inner = unwrapped(python_type)
        if not isinstance(inner, type):
            return False
        return inner is StructuredDataset or StructuredDatasetTransformerEngine.knows(inner)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one class, its declared columns and format."""
        cls = unwrapped(python_type)
        type_ = _declared(python_type, engine)

        def write(value: Any, context: ValueContext) -> Any:
            if isinstance(value, StructuredDataset):
                if cls is not StructuredDataset:
                    raise misfit(cls.__name__, value)
                return _written(value, type_, context)
            is_frame = StructuredDatasetTransformerEngine.knows(type(value))
            if not (is_frame if cls is StructuredDataset else isinstance(value, cls)):
                raise misfit(cls.__name__, value)
            return _written(StructuredDataset(value), type_, context)

        def read(value: Any, context: ValueContext) -> Any:
            if isinstance(value, Held):
                if cls is StructuredDataset:
                    return StructuredDataset.held(value.value, type_, context)
                return converted(value.value, type_, cls, context)
            stored_as = _dataset_value(value)
            if cls is StructuredDataset:
                return StructuredDataset.of(stored_as, type_, context)
            found = decode(stored_as, type_, cls, context, in_batches=False)
            if not isinstance(found, cls):
                raise Misfit(
                    f"the decoder gave {type(found).__name__} for {cls.__name__}; read it with iter()"
                )
            return found

        return Converter(type_, write, read, lambda value: type(value) is cls)


def _declared(python_type: Any, engine: Converters) -> DatasetType:
    columns = [
        Column(name=name, type=engine.converter(kind).type) for name, kind in options(python_type).items()
    ]
    formats = [item.lower() for item in metadata(python_type) if isinstance(item, str)]
    if len(formats) > 1:
        raise UnsupportedType(f"A dataset has one format, not {', '.join(map(repr, formats))}.")
    for item in metadata(python_type):
        if type(item).__name__ == "Schema" and type(item).__module__.partition(".")[0] == "pyarrow":
            raise UnsupportedType(
                "A pyarrow schema is no declaration of columns here; write kwtypes(name=type, …)."
            )
    return DatasetType(columns=tuple(columns), format=FORMATS.get(formats[0], formats[0]) if formats else "")


def _written(dataset: StructuredDataset, type_: DatasetType, context: ValueContext) -> Any:
    if dataset.dataframe is None:
        return _passed_on(dataset, type_, context)
    frame, name = dataset.dataframe, type_name(type(dataset.dataframe))
    kind = kind_of(type(frame))
    format_ = _format(dataset.file_format, type_) or StructuredDatasetTransformerEngine.default_format(name)
    if isinstance(context, InProcess) and kind is not None and format_ == "parquet" and not dataset.uri:
        return Held(kind.copy(narrowed(kind, frame, type_)))
    protocol = protocol_of(dataset.uri) if dataset.uri else "file"
    encoder = StructuredDatasetTransformerEngine.encoder(name, protocol, format_)
    if encoder is None:
        known = ", ".join(StructuredDatasetTransformerEngine.formats(name)) or "none"
        where = f" to {dataset.uri!r}" if dataset.uri else ""
        raise Misfit(
            f"a {type(frame).__name__} cannot be written as {format_!r}{where}: there is no encoder. Known formats are: "
            f"{known}"
        )
    in_files = ValueContext(None, context.scratch) if isinstance(context, InProcess) else context
    try:
        value = encoder.encode(in_files, dataset, type_.model_copy(update={"format": format_}))
    except (TypeError, ValueError) as error:
        raise Misfit(f"this {type(frame).__name__} cannot be written: {error}") from error
    return value.model_dump(mode="json")


def _format(given: str, type_: DatasetType) -> str:
    if given and type_.format and given != type_.format:
        raise Misfit(f"expected a dataset in the format {type_.format!r}, got one with file_format={given!r}")
    return given or type_.format


def _passed_on(dataset: StructuredDataset, type_: DatasetType, context: ValueContext) -> Any:
    """Return a dataset that is only passed on; it is read and stored anew if other columns or formats are declared."""
    if dataset.uri is None:
        raise Misfit("a StructuredDataset needs a dataframe or an address: StructuredDataset(dataframe=df)")
    value = dataset.literal or _of_address(dataset, context)
    names = tuple(column.name for column in type_.columns)
    if names and value.columns and names != value.columns:
        same = False
    else:
        same = not type_.format or type_.format == (value.format or format_of(value.uri))
    if same:
        return value.model_dump(mode="json")
    for kind in ("pyarrow.Table", "polars.DataFrame"):
        try:
            frame = dataset.open(_class_of(kind)).all()
        except ImportError:
            continue
        return _written(StructuredDataset(frame), type_, context)
    raise Misfit("to store it with other columns or in another format, install pyarrow or polars")


def _class_of(name: str) -> Any:
    if name == "pyarrow.Table":
        import pyarrow as pa

        return pa.Table
    import polars as pl

    return pl.DataFrame


def _of_address(dataset: StructuredDataset, context: ValueContext) -> DatasetValue:
    uri = full_address(str(dataset.uri))
    format_ = dataset.file_format or format_of(uri)
    local = transfer.local_path(uri)
    if local is None:
        return DatasetValue(uri=uri, format=format_)
    file = transfer.upload(Path(local), context, name=local.name)
    return DatasetValue(uri=file.uri, format=format_, sha256=file.sha256, size=file.size)


def _dataset_value(value: Any) -> DatasetValue:
    try:
        return DatasetValue.model_validate(value)
    except ValueError:
        raise Misfit(f"expected a dataset's address, got {shown(value)}") from None
