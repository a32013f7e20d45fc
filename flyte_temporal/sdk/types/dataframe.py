"""pandas DataFrames as parquet files in the blob store. pandas and pyarrow are imported when one is met."""

from __future__ import annotations

import importlib
import uuid
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Held,
    InProcess,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.literals import DatasetValue, FileValue
from flyte_temporal.spec.types import DatasetType

FORMATS = {"parquet": "parquet", "pq": "parquet", "csv": "csv"}
"""Extension of a file → format of a dataset."""


class DataFrames(TypeFamily):
    """`pandas.DataFrame`; index, categories, time zones and other types of columns survive as far as parquet keeps them."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is pandas' class, without importing pandas."""
        named = isinstance(python_type, type) and python_type.__name__ == "DataFrame"
        return named and python_type.__module__.partition(".")[0] == "pandas"

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile; the columns are not declared."""

        def write(value: Any, context: ValueContext) -> Any:
            if not isinstance(value, python_type):
                raise misfit("DataFrame", value)
            if isinstance(context, InProcess):
                return Held(_copy(value))
            return _store(value, context).model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> Any:
            if isinstance(value, Held):
                return _copy(value.value)
            return _load(_dataset_value(value), context)

        return Converter(DatasetType(), write, read, lambda value: type(value) is python_type)


def _copy(frame: Any) -> Any:
    """Return a frame of the same content; neither can change the other's. pandas 3 copies only what is written."""
    import pandas as pd

    return frame.copy(deep=int(pd.__version__.partition(".")[0]) < 3)


def _require_pyarrow() -> None:
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise StorageError(
            "DataFrames travel as parquet, for which the package 'pyarrow' is needed: pip install pyarrow"
        ) from error


def _store(frame: Any, context: ValueContext) -> DatasetValue:
    _require_pyarrow()
    path = context.scratch / "frames" / f"{uuid.uuid4().hex}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        frame.to_parquet(path, engine="pyarrow")
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:  # pyarrow's errors are these
        path.unlink(missing_ok=True)
        raise Misfit(
            f"this DataFrame cannot be written as parquet: {error}. Give each column one type and a text name."
        ) from error
    stored = transfer.upload(path, context)
    if context.blobs is not None:
        path.unlink(missing_ok=True)
    return DatasetValue(
        uri=stored.uri,
        format="parquet",
        columns=tuple(str(column) for column in frame.columns),
        rows=len(frame),
        sha256=stored.sha256,
        size=stored.size,
    )


def _load(value: DatasetValue, context: ValueContext) -> Any:
    import pandas as pd

    format_ = value.format or format_of(value.uri)
    if format_ not in FORMATS.values():
        raise Misfit(f"the dataset {value.uri!r} has the format {format_!r}; parquet and csv can be read")
    transfer.check_scheme(value.uri, context)
    file = FileValue(uri=value.uri, sha256=value.sha256)
    direct = None if transfer.is_stored(value.uri, context) else transfer.local_path(value.uri)
    path = direct or transfer.target_for(file, context)
    try:
        if direct is None:
            transfer.download(file, path, context)
        return _parsed(pd, path, format_, value.uri)
    except FileNotFoundError as error:
        raise Misfit(f"the dataset {value.uri!r} does not exist") from error
    finally:
        if direct is None and path.exists():
            transfer.discard(path)


def _parsed(pd: Any, path: Path, format_: str, uri: str) -> Any:
    try:
        if format_ == "csv":
            return pd.read_csv(path)
        _require_pyarrow()
        return pd.read_parquet(path, engine="pyarrow")
    except ValueError as error:  # also pyarrow's and pandas' own parse errors
        raise Misfit(f"the dataset {uri!r} cannot be read as {format_}: {error}") from error


def format_of(uri: str) -> str:
    """Return the dataset format that the extension of a path or address stands for; parquet if it says nothing."""
    extension = PurePosixPath(urlsplit(uri).path).suffix.lstrip(".").lower()
    return FORMATS.get(extension, extension or "parquet")


def _dataset_value(value: Any) -> DatasetValue:
    try:
        return DatasetValue.model_validate(value)
    except ValueError:
        raise Misfit(f"expected a dataset's address, got {value!r}") from None
