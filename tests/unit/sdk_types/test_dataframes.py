from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from flyte_temporal.errors import CorruptBlob, InvalidInputs, StorageError, TypeMismatch
from flyte_temporal.sdk.types.converter import InProcess
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.spec.literals import DatasetValue
from flyte_temporal.spec.types import DatasetType, ListType
from flyte_temporal.testing.blobs import MemoryBlobStore

pytest.importorskip("pyarrow")


@dataclass
class Split:
    train: pd.DataFrame
    test: pd.DataFrame | None = None


def _back(engine: TypeEngine, frame: Any, context: ValueContext) -> Any:
    written = engine.to_json(frame, pd.DataFrame, context)
    return engine.to_python(written, DatasetType(), pd.DataFrame, context)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": [0.5, float("nan")], "c": ["x", None]}),
        pd.DataFrame({"t": pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin")}),
        pd.DataFrame({"c": pd.Categorical(["x", "y"], categories=["y", "x"], ordered=True)}),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["é", "b"], name="key")),
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", "y"])),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}),
        pd.DataFrame({"d": [pd.Timedelta("1s")], "raw": [b"\0"]}),
        pd.DataFrame({"a": pd.Series([], dtype="int32")}),
        pd.DataFrame(),
    ],
    ids=["plain", "zone", "category", "index", "multi", "nullable", "odd", "empty", "nothing"],
)
def test_survives(frame: Any, engine: TypeEngine, context: ValueContext) -> None:
    pd.testing.assert_frame_equal(_back(engine, frame, context), frame, check_freq=False)


def test_the_literal_says_what_it_is(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore
) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    value = DatasetValue.model_validate(engine.to_json(frame, pd.DataFrame, context))
    ((key, data),) = store.objects.items()
    assert value == DatasetValue(
        uri=store.uri(key),
        format="parquet",
        columns=("a", "b"),
        rows=2,
        sha256=key.rpartition("/")[2],
        size=len(data),
    )
    assert list(context.scratch.rglob("*.parquet")) == []


def test_inside_of_other_types(engine: TypeEngine, context: ValueContext) -> None:
    frame = pd.DataFrame({"a": [1]})
    assert engine.literal_type(list[pd.DataFrame]) == ListType(element=DatasetType())
    split = engine.to_json(Split(frame), Split, context)
    back = engine.to_python(split, engine.literal_type(Split), Split, context)
    pd.testing.assert_frame_equal(back.train, frame)
    assert back.test is None
    with pytest.raises(TypeMismatch, match=r"field .train: expected DataFrame, got int 5"):
        engine.to_json(Split(cast("Any", 5)), Split, context)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_of_the_users_own(
    suffix: str, engine: TypeEngine, context: ValueContext, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    path = tmp_path / f"own.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    written = {"uri": path.as_uri(), "format": suffix}
    pd.testing.assert_frame_equal(engine.to_python(written, DatasetType(), pd.DataFrame, context), frame)
    assert path.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"uri": "file:///no/such.csv", "format": "csv"}, "the dataset 'file:///no/such.csv' does not exist"),
        (
            {"uri": "s3://b/x.orc", "format": "orc"},
            "has the format 'orc', which cannot be read as DataFrame; known are: csv, parquet",
        ),
        ({"uri": "github://a/b.csv", "format": "csv"}, "the address 'github://a/b.csv' cannot be read"),
        ({"format": "csv"}, "expected a dataset's address, got"),
    ],
)
def test_datasets_that_cannot_be_read(
    value: Any, message: str, engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(InvalidInputs, match=message):
        engine.to_python(value, DatasetType(), pd.DataFrame, context)


def test_what_is_no_parquet_file(engine: TypeEngine, context: ValueContext, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    value = {"uri": (tmp_path / "x.parquet").as_uri(), "format": "parquet"}
    with pytest.raises(InvalidInputs, match="cannot be read as parquet"):
        engine.to_python(value, DatasetType(), pd.DataFrame, context)


def test_damage_is_noticed(engine: TypeEngine, context: ValueContext, store: MemoryBlobStore) -> None:
    written = engine.to_json(pd.DataFrame({"a": [1]}), pd.DataFrame, context)
    (key,) = store.objects
    store.objects[key] = b"PAR1"
    with pytest.raises(CorruptBlob):
        engine.to_python(written, DatasetType(), pd.DataFrame, context)


def test_columns_of_mixed_types_are_refused_with_a_reason(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(TypeMismatch, match=r"cannot be written as parquet: .*Give each column one type"):
        engine.to_json(pd.DataFrame({"a": [1, "x"]}), pd.DataFrame, context)
    assert list(context.scratch.rglob("*.parquet")) == []


def test_a_plain_call_does_not_share_changes(engine: TypeEngine, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    received = engine.coerce(frame, pd.DataFrame)
    received.loc[0, "a"] = 99
    assert frame["a"].tolist() == [1, 2]
    plain = InProcess(blobs=None, scratch=tmp_path)
    written = engine.to_json(frame, pd.DataFrame, plain)
    frame.loc[0, "a"] = 99
    assert engine.to_python(written, DatasetType(), pd.DataFrame, plain)["a"].tolist() == [1, 2]


def test_a_missing_package_is_named(
    engine: TypeEngine, context: ValueContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StorageError, match="pip install pyarrow"):
        engine.to_json(pd.DataFrame({"a": [1]}), pd.DataFrame, context)
