"""Dataframes of three libraries, as parquet and CSV, whole and by columns."""

# mypy: disable-error-code="arg-type, no-any-return"

from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import polars as pl
import pyarrow as pa

from flyte_temporal import StructuredDataset, kwtypes, task, workflow


@task
def make(n: int) -> pd.DataFrame:
    return pd.DataFrame({"a": range(n), "b": [f"0{i}" for i in range(n)], "c": [i / 2 for i in range(n)]})


@task
def in_polars(frame: pl.DataFrame) -> Annotated[pl.DataFrame, kwtypes(b=str, c=float), "csv"]:
    return frame.filter(pl.col("a") > 0)


@task
def in_arrow(table: Annotated[pa.Table, kwtypes(b=str)]) -> list[str]:
    assert table.column_names == ["b"]
    return table["b"].to_pylist()


@task
def on_demand(data: StructuredDataset) -> tuple[StructuredDataset, int]:
    rows = sum(len(part) for part in data.open(pd.DataFrame).iter())
    return StructuredDataset(data.open(pa.Table).all().slice(0, 1)), rows


@dataclass
class Split:
    train: StructuredDataset
    rest: Annotated[pl.DataFrame, kwtypes(a=int)]


@task
def split(frame: Annotated[pl.DataFrame, kwtypes(a=int, b=str)]) -> Split:
    return Split(StructuredDataset(frame.head(1)), frame.tail(1))


@task
def told(parts: Split) -> list[str]:
    train: pl.DataFrame = parts.train.open(pl.DataFrame).all()
    return [repr(train.rows()), repr(parts.rest.rows())]


@workflow
def wf(n: int) -> tuple[pd.DataFrame, pl.DataFrame, list[str], StructuredDataset, int, list[str]]:
    frame = make(n=n)
    some = in_polars(frame=frame)
    first, count = on_demand(data=frame)
    return frame, some, in_arrow(table=some), first, count, told(parts=split(frame=frame))


@task
def total(frame: Annotated[pd.DataFrame, kwtypes(a=int)]) -> int:
    return int(frame["a"].sum())


@task
def lacks() -> pd.DataFrame:
    return pd.DataFrame({"b": [1]})


@workflow
def missing() -> int:
    return total(frame=lacks())
