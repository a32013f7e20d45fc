"""Datasets of pandas, polars and pyarrow, with columns and formats, and handlers of other packages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

from flyte_temporal import (
    StructuredDataset,
    StructuredDatasetDecoder,
    StructuredDatasetEncoder,
    StructuredDatasetTransformerEngine,
    kwtypes,
)
from flyte_temporal.errors import CompileError, InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types import frames
from flyte_temporal.sdk.types.converter import InProcess, ValueContext
from flyte_temporal.sdk.types.engine import TypeEngine
from flyte_temporal.sdk.types.text import read_text
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.literals import DatasetValue
from flyte_temporal.spec.types import INTEGER, STRING, Column, DatasetType

ROWS = {"a": [1, 2, 3], "b": ["x", "007", "é"], "c": [0.5, 1.5, -2.0]}
MAKERS: dict[Any, Any] = {
    pd.DataFrame: pd.DataFrame,
    pl.DataFrame: pl.DataFrame,
    pl.LazyFrame: pl.LazyFrame,
    pa.Table: pa.table,
}
KINDS = list(MAKERS)


def rows(frame: Any) -> dict[str, list[Any]]:
    match frame:
        case pd.DataFrame():
            return {str(name): list(values) for name, values in frame.to_dict("list").items()}
        case pl.LazyFrame():
            return frame.collect().to_dict(as_series=False)
        case pl.DataFrame():
            return frame.to_dict(as_series=False)
        case pa.Table():
            found: dict[str, list[Any]] = frame.to_pydict()
            return found
    raise AssertionError(type(frame))


def pass_on(engine: TypeEngine, value: Any, source: Any, target: Any, context: ValueContext) -> Any:
    """One task returns it, the next takes it."""
    assert accepts(engine.literal_type(target), engine.literal_type(source))
    written = engine.to_json(value, source, context)
    return engine.to_python(written, engine.literal_type(source), target, context)


@pytest.fixture(params=["durable", "plain"])
def way(request: pytest.FixtureRequest, context: ValueContext) -> ValueContext:
    return context if request.param == "durable" else InProcess(None, context.scratch)


@pytest.mark.parametrize("target", KINDS, ids=lambda k: f"to-{k.__module__.partition('.')[0]}-{k.__name__}")
@pytest.mark.parametrize("source", KINDS, ids=lambda k: f"{k.__module__.partition('.')[0]}-{k.__name__}")
@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_any_kind_to_any_kind(
    source: Any, target: Any, format_: str, engine: TypeEngine, way: ValueContext
) -> None:
    written_as = Annotated[source, kwtypes(a=int, b=str, c=float), format_]
    read_as = Annotated[target, kwtypes(a=int, b=str, c=float)]
    back = pass_on(engine, MAKERS[source](ROWS), written_as, read_as, way)
    assert isinstance(back, target)
    assert rows(back) == ROWS
    assert [path for path in way.scratch.rglob("*") if path.is_file() and "frames" in path.parts] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__module__)
def test_only_the_declared_columns_are_stored(kind: Any, engine: TypeEngine, context: ValueContext) -> None:
    written_as = Annotated[kind, kwtypes(c=float, a=int)]
    written = DatasetValue.model_validate(engine.to_json(MAKERS[kind](ROWS), written_as, context))
    assert written.columns == ("c", "a")
    back = engine.to_python(written.model_dump(), DatasetType(), pl.DataFrame, context)
    assert rows(back) == {"c": ROWS["c"], "a": ROWS["a"]}


@pytest.mark.parametrize("format_", ["parquet", "csv"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__module__)
def test_only_the_declared_columns_are_read(
    kind: Any, format_: str, engine: TypeEngine, way: ValueContext
) -> None:
    back = pass_on(
        engine, pd.DataFrame(ROWS), Annotated[pd.DataFrame, format_], Annotated[kind, kwtypes(b=str)], way
    )
    assert rows(back) == {"b": ROWS["b"]}


@pytest.mark.parametrize("format_", ["parquet", "csv"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__module__)
def test_a_missing_column_is_named(
    kind: Any, format_: str, engine: TypeEngine, way: ValueContext, tmp_path: Path
) -> None:
    wanted = Annotated[kind, kwtypes(a=int, zip=str)]
    with pytest.raises(TypeMismatch, match=r"lacks the declared column 'zip'; it has: a, b, c"):
        engine.to_json(MAKERS[kind](ROWS), wanted, way)
    with pytest.raises(InvalidInputs, match=r"lacks the declared column 'zip'; it has: a, b, c"):
        pass_on(engine, pd.DataFrame(ROWS), Annotated[pd.DataFrame, format_], wanted, way)
    file = tmp_path / f"mine.{format_}"
    frames.KINDS["polars.DataFrame"].write(pl.DataFrame(ROWS), file, format_)
    mine = {"uri": file.as_uri(), "format": format_}
    with pytest.raises(InvalidInputs, match=r"mine\.\w+' lacks the declared column 'zip'; it has: a, b, c"):
        engine.to_python(mine, engine.literal_type(wanted), wanted, way)


def test_what_the_type_says(engine: TypeEngine) -> None:
    type_ = engine.literal_type(Annotated[StructuredDataset, kwtypes(a=int, b=str), "CSV"])
    columns = (Column(name="a", type=INTEGER), Column(name="b", type=STRING))
    assert type_ == DatasetType(columns=columns, format="csv")
    assert engine.literal_type(pl.DataFrame) == DatasetType()
    with pytest.raises(UnsupportedType, match="A dataset has one format, not 'csv', 'parquet'"):
        engine.literal_type(Annotated[pd.DataFrame, "csv", "parquet"])
    with pytest.raises(UnsupportedType, match="write kwtypes"):
        engine.literal_type(Annotated[pd.DataFrame, pa.schema([("a", pa.int64())])])


def test_a_structured_dataset_is_read_on_demand(engine: TypeEngine, way: ValueContext) -> None:
    back = pass_on(engine, StructuredDataset(pd.DataFrame(ROWS)), StructuredDataset, StructuredDataset, way)
    for kind in KINDS:
        found = back.open(kind).all()
        assert isinstance(found, kind)
        assert rows(found) == ROWS
    assert back.metadata.format == "parquet"
    chosen = Annotated[StructuredDataset, kwtypes(a=int)]
    narrow = pass_on(engine, StructuredDataset(pl.DataFrame(ROWS)), StructuredDataset, chosen, way)
    assert narrow.metadata.columns == (Column(name="a", type=INTEGER),)
    assert rows(narrow.open(pl.DataFrame).all()) == {"a": ROWS["a"]}


def test_a_frame_may_be_given_for_a_dataset(engine: TypeEngine, way: ValueContext) -> None:
    back = pass_on(engine, pl.DataFrame(ROWS), StructuredDataset, pa.Table, way)
    assert rows(back) == ROWS


def test_where_it_is(engine: TypeEngine, context: ValueContext) -> None:
    back = pass_on(
        engine, StructuredDataset(pl.DataFrame(ROWS)), StructuredDataset, StructuredDataset, context
    )
    assert back.literal is not None
    assert back.remote_location == back.uri == back.literal.uri
    assert (back.literal.columns, back.literal.rows) == (("a", "b", "c"), 3)
    again = engine.to_json(back, StructuredDataset, context)
    assert again == back.literal.model_dump(mode="json")


def test_a_dataset_that_is_passed_on_is_narrowed(engine: TypeEngine, context: ValueContext) -> None:
    back = pass_on(
        engine, StructuredDataset(pl.DataFrame(ROWS)), StructuredDataset, StructuredDataset, context
    )
    narrow = Annotated[StructuredDataset, kwtypes(b=str), "csv"]
    written = DatasetValue.model_validate(engine.to_json(back, narrow, context))
    assert (written.columns, written.format) == (("b",), "csv")


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_in_pieces(
    format_: str, engine: TypeEngine, context: ValueContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BATCH_ROWS", 4)
    frame = pl.DataFrame({"n": range(10)})
    back = pass_on(
        engine, StructuredDataset(frame, file_format=format_), StructuredDataset, StructuredDataset, context
    )
    for kind in (pd.DataFrame, pl.DataFrame, pa.Table):
        parts = list(back.open(kind).iter())
        assert [len(rows(part)["n"]) for part in parts] == [4, 4, 2]
        assert [n for part in parts for n in rows(part)["n"]] == list(range(10))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_at_an_address_of_the_users_own(
    suffix: str, engine: TypeEngine, way: ValueContext, tmp_path: Path
) -> None:
    target = tmp_path / "out" / f"data.{suffix}"
    given = StructuredDataset(pl.DataFrame(ROWS), uri=str(target), file_format=suffix)
    back = pass_on(engine, given, StructuredDataset, StructuredDataset, way)
    assert back.remote_location == target.as_uri()
    assert rows(back.open(pl.DataFrame).all()) == ROWS
    # By its address alone: outside of any run, and as an input.
    assert rows(StructuredDataset(uri=str(target)).open(pa.Table).all()) == ROWS
    passed = pass_on(engine, StructuredDataset(uri=str(target)), StructuredDataset, pd.DataFrame, way)
    assert rows(passed)["a"] == ROWS["a"]


def test_errors_of_a_dataset(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(InvalidInputs, match=r"Call open\(\) with a class of dataframes first"):
        StructuredDataset(pd.DataFrame(ROWS)).all()
    with pytest.raises(InvalidInputs, match="No decoder for int: open"):
        StructuredDataset(pd.DataFrame(ROWS)).open(int)
    with pytest.raises(InvalidInputs, match="has neither a dataframe nor an address"):
        StructuredDataset().open(pd.DataFrame).all()
    with pytest.raises(InvalidInputs, match="does not exist"):
        StructuredDataset(uri="/no/such.csv").open(pd.DataFrame).all()
    for value, message in [
        (StructuredDataset(), "needs a dataframe or an address"),
        (5, "expected StructuredDataset, got int 5"),
        (
            StructuredDataset(pd.DataFrame(ROWS), file_format="orc"),
            "as 'orc': there is no encoder.*csv, parquet",
        ),
        (StructuredDataset(pd.DataFrame(ROWS), uri="bq://p/t"), "to 'bq://p/t': there is no encoder"),
        (StructuredDataset(pd.DataFrame(ROWS), uri="http://x/y.csv"), "nothing can be written to 'http"),
        (StructuredDataset(pd.DataFrame(ROWS, index=[5, 6, 7]), file_format="csv"), "would be lost as CSV"),
        (StructuredDataset(pl.DataFrame({"l": [[1]]}), file_format="csv"), "cannot be written as csv"),
    ]:
        with pytest.raises(TypeMismatch, match=message):
            engine.to_json(value, StructuredDataset, context)
    csv = Annotated[StructuredDataset, "csv"]
    with pytest.raises(TypeMismatch, match="in the format 'csv', got one with file_format='parquet'"):
        engine.to_json(StructuredDataset(pd.DataFrame(ROWS), file_format="parquet"), csv, context)
    with pytest.raises(TypeMismatch, match="expected DataFrame, got StructuredDataset"):
        engine.to_json(StructuredDataset(pd.DataFrame(ROWS)), pd.DataFrame, context)


@dataclass
class Split:
    train: pl.DataFrame
    rest: StructuredDataset
    small: Annotated[pd.DataFrame, kwtypes(a=int)] | None = None


class Report(pydantic.BaseModel):
    data: StructuredDataset


def test_inside_of_records(engine: TypeEngine, way: ValueContext) -> None:
    value = Split(pl.DataFrame(ROWS), StructuredDataset(pa.table(ROWS)), pd.DataFrame(ROWS))
    back = pass_on(engine, value, Split, Split, way)
    assert rows(back.train) == ROWS
    assert rows(back.rest.open(pl.DataFrame).all()) == ROWS
    assert rows(back.small) == {"a": ROWS["a"]}
    report = pass_on(engine, Report(data=StructuredDataset(pl.DataFrame(ROWS))), Report, Report, way)
    assert rows(report.data.open(pl.DataFrame).all()) == ROWS
    several = pass_on(
        engine, {"x": [pa.table(ROWS)]}, dict[str, list[pa.Table]], dict[str, list[pl.DataFrame]], way
    )
    assert rows(several["x"][0]) == ROWS


def test_as_people_give_them(engine: TypeEngine, context: ValueContext, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("a,b\n1,007\n")
    wanted = Annotated[pl.DataFrame, kwtypes(b=str)]
    type_ = engine.literal_type(wanted)
    written = read_text(str(file), type_, context)
    assert rows(engine.to_python(written, type_, wanted, context)) == {"b": ["007"]}
    parquet = engine.literal_type(Annotated[pl.DataFrame, "parquet"])
    with pytest.raises(InvalidInputs, match=r"expected a dataset in the format 'parquet', got '.*in.csv'"):
        read_text(str(file), parquet, context)


class Readings:
    """A class of dataframes of another package."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines


class ReadingsEncoder(StructuredDatasetEncoder[Readings]):
    def encode(
        self,
        context: ValueContext,
        structured_dataset: StructuredDataset,
        structured_dataset_type: DatasetType,
    ) -> DatasetValue:
        if not structured_dataset.dataframe.lines:
            raise ValueError("no lines")
        names = ",".join(column.name for column in structured_dataset_type.columns)
        uri = f"memory://{names}/{'|'.join(structured_dataset.dataframe.lines)}"
        return DatasetValue(uri=uri, format=structured_dataset_type.format)


class ReadingsDecoder(StructuredDatasetDecoder[Readings]):
    def decode(
        self, context: ValueContext, flyte_value: DatasetValue, structured_dataset_type: DatasetType
    ) -> Iterator[Readings]:
        return (Readings([line]) for line in flyte_value.uri.rpartition("/")[2].split("|"))


def test_handlers_of_others(engine: TypeEngine, way: ValueContext, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = StructuredDatasetTransformerEngine
    for name in ("_encoders", "_decoders", "_formats"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    registry.register(ReadingsEncoder(Readings, supported_format="lines"), default_for_type=True)
    registry.register(ReadingsDecoder(Readings, "memory://", "lines"))
    own = TypeEngine()
    assert own.literal_type(list[Readings]) is not None
    written = own.to_json(Readings(["a", "b"]), Annotated[Readings, kwtypes(n=int)], way)
    assert written["uri"] == "memory://n/a|b"
    back = own.to_python(written, DatasetType(), StructuredDataset, way).open(Readings)
    assert [part.lines for part in back.iter()] == [["a"], ["b"]]
    with pytest.raises(InvalidInputs, match=r"several frames; call iter\(\)"):
        back.all()
    with pytest.raises(TypeMismatch, match="this Readings cannot be written: no lines"):
        own.to_json(Readings([]), Readings, way)
    with pytest.raises(
        CompileError, match=r"There is a handler for .*Readings, protocol 'any', format 'lines'"
    ):
        registry.register(ReadingsEncoder(Readings, supported_format="lines"))
    registry.register(ReadingsEncoder(Readings, supported_format="lines"), override=True)
    with pytest.raises(CompileError, match="int is neither a StructuredDatasetEncoder nor"):
        registry.register(5)  # type: ignore[arg-type]


def test_dates_and_zones_between_kinds(engine: TypeEngine, way: ValueContext) -> None:
    moment = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    frame = pl.DataFrame({"t": [moment], "d": [dt.date(2026, 1, 2)]})
    assert rows(pass_on(engine, frame, pl.DataFrame, pa.Table, way)) == {
        "t": [moment],
        "d": [dt.date(2026, 1, 2)],
    }
