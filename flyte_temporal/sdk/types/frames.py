"""The kinds of dataframes that are built in: pandas, polars, pyarrow. How each is written, read, copied and narrowed.

Called by `dataset_handlers` and `datasets`. Each library is imported when a frame of its kind is met; parquet needs pyarrow
for pandas and for `Table`, polars needs nothing else.
"""

from __future__ import annotations

import csv
import importlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types.converter import Misfit

FORMATS = {"parquet": "parquet", "pq": "parquet", "csv": "csv"}
"""Extension of a file → format of a dataset."""

BATCH_ROWS = 65_536
"""Rows of one frame of `StructuredDataset.open(…).iter()`."""


class FrameKind(ABC):
    """One class of dataframes."""

    python: str
    """Package and name of the class."""
    package: str
    """What to install for it."""

    @abstractmethod
    def columns(self, frame: Any) -> tuple[str, ...]:
        """Return the names of its columns."""

    @abstractmethod
    def rows(self, frame: Any) -> int | None:
        """Return how many rows it has, or None if that is not known before it is computed."""

    @abstractmethod
    def copy(self, frame: Any) -> Any:
        """Return a frame of the same content; neither can change the other's."""

    @abstractmethod
    def select(self, frame: Any, columns: Sequence[str]) -> Any:
        """Return the frame with these columns only, in this order; they are there."""

    @abstractmethod
    def write(self, frame: Any, path: Path, format_: str) -> None:
        """Write it as `parquet` or `csv`; may raise what the library raises."""

    @abstractmethod
    def read(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Read some columns, or all; `texts` are those that a CSV holds as text, whatever they look like."""

    def batches(
        self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]
    ) -> Iterator[Any]:
        """Read it in frames of `BATCH_ROWS` rows."""
        for table in _arrow_batches(path, format_, columns, texts):
            yield self.from_arrow(table)

    @abstractmethod
    def from_arrow(self, table: Any) -> Any:
        """Return a frame of a pyarrow Table."""


class PandasFrames(FrameKind):
    """`pandas.DataFrame`; index, categories and time zones survive as far as parquet keeps them."""

    python, package = "pandas.DataFrame", "pandas"

    def columns(self, frame: Any) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(str(column) for column in frame.columns)

    def rows(self, frame: Any) -> int:
        """Return how many rows it has."""
        return len(frame)

    def copy(self, frame: Any) -> Any:
        """Return a frame of the same content; pandas 3 copies only what is written."""
        import pandas as pd

        return frame.copy(deep=int(pd.__version__.partition(".")[0]) < 3)

    def select(self, frame: Any, columns: Sequence[str]) -> Any:
        """Return the frame with these columns only."""
        return frame[list(columns)]

    def write(self, frame: Any, path: Path, format_: str) -> None:
        """Write it; an index that CSV would lose is refused."""
        if format_ == "csv":
            import pandas as pd

            if not isinstance(frame.index, pd.RangeIndex):
                raise Misfit("the index of this DataFrame would be lost as CSV; call reset_index() before")
            frame.to_csv(path, index=False)
        else:
            require_pyarrow()
            frame.to_parquet(path, engine="pyarrow")

    def read(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Read some columns, or all."""
        import pandas as pd

        chosen = None if columns is None else list(columns)
        if format_ == "csv":
            frame = pd.read_csv(path, usecols=chosen, dtype=dict.fromkeys(texts, "str"))
            return frame if chosen is None else frame[chosen]
        require_pyarrow()
        return pd.read_parquet(path, engine="pyarrow", columns=chosen)

    def from_arrow(self, table: Any) -> Any:
        """Return a frame of a pyarrow Table."""
        return table.to_pandas()


class PolarsFrames(FrameKind):
    """`polars.DataFrame`, whose content never changes."""

    python, package = "polars.DataFrame", "polars"

    def columns(self, frame: Any) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(frame.columns)

    def rows(self, frame: Any) -> int | None:
        """Return how many rows it has."""
        return int(frame.height)

    def copy(self, frame: Any) -> Any:
        """Return a frame of the same content."""
        return frame.clone()

    def select(self, frame: Any, columns: Sequence[str]) -> Any:
        """Return the frame with these columns only."""
        return frame.select(list(columns))

    def write(self, frame: Any, path: Path, format_: str) -> None:
        """Write it."""
        if format_ == "csv":
            frame.write_csv(path)
        else:
            frame.write_parquet(path)

    def read(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Read some columns, or all."""
        return self.scan(path, format_, columns, texts).collect()

    def scan(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Return a lazy frame of a file."""
        import polars as pl

        if format_ == "csv":
            lazy = pl.scan_csv(path, schema_overrides=dict.fromkeys(texts, pl.String), try_parse_dates=True)
        else:
            lazy = pl.scan_parquet(path)
        return lazy if columns is None else lazy.select(list(columns))

    def from_arrow(self, table: Any) -> Any:
        """Return a frame of a pyarrow Table."""
        import polars as pl

        return pl.from_arrow(table)


class LazyPolarsFrames(PolarsFrames):
    """`polars.LazyFrame`: computed when it is written; what is read is lazy again."""

    python, package = "polars.LazyFrame", "polars"

    def columns(self, frame: Any) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(frame.collect_schema().names())

    def rows(self, frame: Any) -> int | None:  # noqa: ARG002 - a count would compute the frame
        """Return None."""
        return None

    def write(self, frame: Any, path: Path, format_: str) -> None:
        """Compute it and write it."""
        super().write(frame.collect(), path, format_)

    def read(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Read it and make it lazy; the file is not there for ever."""
        return super().read(path, format_, columns, texts).lazy()

    def from_arrow(self, table: Any) -> Any:
        """Return a lazy frame of a pyarrow Table."""
        return super().from_arrow(table).lazy()


class ArrowTables(FrameKind):
    """`pyarrow.Table`, whose content never changes."""

    python, package = "pyarrow.Table", "pyarrow"

    def columns(self, frame: Any) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(frame.column_names)

    def rows(self, frame: Any) -> int:
        """Return how many rows it has."""
        return int(frame.num_rows)

    def copy(self, frame: Any) -> Any:
        """Return the table itself."""
        return frame

    def select(self, frame: Any, columns: Sequence[str]) -> Any:
        """Return the table with these columns only."""
        return frame.select(list(columns))

    def write(self, frame: Any, path: Path, format_: str) -> None:
        """Write it."""
        if format_ == "csv":
            from pyarrow import csv as arrow_csv

            arrow_csv.write_csv(frame, path)
        else:
            from pyarrow import parquet

            parquet.write_table(frame, path)

    def read(self, path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]) -> Any:
        """Read some columns, or all."""
        import pyarrow as pa

        if format_ == "csv":
            from pyarrow import csv as arrow_csv

            options = arrow_csv.ConvertOptions(
                include_columns=list(columns) if columns is not None else [],
                column_types={name: pa.string() for name in texts},
            )
            return arrow_csv.read_csv(path, convert_options=options)
        from pyarrow import parquet

        # Of the file itself: a path would be searched for names of partitions.
        return parquet.ParquetFile(path).read(columns=list(columns) if columns is not None else None)

    def from_arrow(self, table: Any) -> Any:
        """Return the table."""
        return table


KINDS: dict[str, FrameKind] = {
    kind.python: kind for kind in (PandasFrames(), PolarsFrames(), LazyPolarsFrames(), ArrowTables())
}
"""By package and name of the class."""


def type_name(python_type: Any) -> str:
    """Return the package and the name of a class, wherever in the package it is defined."""
    return f"{python_type.__module__.partition('.')[0]}.{python_type.__qualname__}"


def kind_of(python_type: Any) -> FrameKind | None:
    """Return the built-in kind of a class of dataframes, without importing anything."""
    return KINDS.get(type_name(python_type)) if isinstance(python_type, type) else None


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


def _arrow_batches(
    path: Path, format_: str, columns: Sequence[str] | None, texts: Sequence[str]
) -> Iterator[Any]:
    require_pyarrow()
    import pyarrow as pa

    if format_ == "csv":
        table = KINDS["pyarrow.Table"].read(path, format_, columns, texts)
        for start in itertools.count(0, BATCH_ROWS):
            if start >= table.num_rows:
                return
            yield table.slice(start, BATCH_ROWS)
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    for batch in file.iter_batches(BATCH_ROWS, columns=None if columns is None else list(columns)):
        yield pa.Table.from_batches([batch])
