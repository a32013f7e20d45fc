"""What `frames` needs of pyarrow, whichever kind of frames is read: header, tables, tables in pieces."""

from __future__ import annotations

import csv
import importlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flyte_temporal.errors import StorageError


def header(path: Path, format_: str) -> tuple[str, ...]:
    """Return the names of a file's columns, the index of pandas among them."""
    if format_ == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple(next(csv.reader(file), ()))
    try:
        from pyarrow import parquet
    except ImportError:
        import polars as pl

        return tuple(pl.read_parquet_schema(path))
    return tuple(parquet.read_schema(path).names)


def require_pyarrow() -> None:
    """Refuse to go on without pyarrow.

    Raises:
        StorageError: If it is not installed.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise StorageError(
            "DataFrames travel as parquet, for which the package 'pyarrow' is needed: pip install pyarrow"
        ) from error


def read_table(path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
    """Return a `pyarrow.Table`; see `FrameKind.read`."""
    import pyarrow as pa

    chosen = None if columns is None else list(columns)
    if format_ == "csv":
        from pyarrow import csv as arrow_csv

        options = arrow_csv.ConvertOptions(
            include_columns=chosen or [], column_types={name: pa.string() for name in texts}
        )
        return arrow_csv.read_csv(path, convert_options=options)
    from pyarrow import parquet

    # Of the file itself: a path would be searched for names of partitions.
    with parquet.ParquetFile(path) as file:
        return file.read(columns=chosen)


def table_batches(
    path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str], rows: int
) -> Iterator[Any]:
    """Return tables of some rows each; a CSV is read as a whole."""
    require_pyarrow()
    import pyarrow as pa

    if format_ == "csv":
        table = read_table(path, format_, columns, texts)
        for start in itertools.count(0, rows):
            if start >= table.num_rows:
                return
            yield table.slice(start, rows)
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            yield pa.Table.from_batches([batch])
