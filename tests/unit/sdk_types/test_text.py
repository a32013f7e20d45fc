"""What people type and write: command-line text and JSON files."""

# ruff: noqa: UP007, UP045, PYI061 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, Union
from uuid import UUID

import pytest

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.text import parse_json, read_json, read_text
from flyte_temporal.spec.types import BlobType, DatasetType, OpaqueType, Simple, SimpleType
from flyte_temporal.testing.blobs import MemoryBlobStore


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Score(NamedTuple):
    name: str
    points: float


@dataclass
class Config:
    rate: float
    layers: list[int] = field(default_factory=list)
    color: Color | None = None


TYPED: list[tuple[str, Any, Any]] = [
    ("5", int, 5),
    (" +1_000 ", int, 1000),
    ("-0x1F", int, -31),
    (str(2**70), int, 2**70),
    ("5", float, 5.0),
    ("1e-3", float, 0.001),
    ("inf", float, float("inf")),
    ("true", bool, True),
    ("Yes", bool, True),
    ("0", bool, False),
    ("no", bool, False),
    ("", str, ""),
    ("null", str, "null"),
    ("5", str, "5"),
    ("AP8=", bytes, b"\0\xff"),
    ("2026-01-31", datetime, datetime(2026, 1, 31, tzinfo=UTC)),
    ("2026-01-31T12:00:00Z", datetime, datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ("2026-01-31", date, date(2026, 1, 31)),
    ("12:30", time, time(12, 30)),
    ("5m", timedelta, timedelta(minutes=5)),
    ("1h30m", timedelta, timedelta(hours=1, minutes=30)),
    ("-1.5h", timedelta, -timedelta(hours=1.5)),
    ("90", timedelta, timedelta(seconds=90)),
    ("0.000001", timedelta, timedelta(microseconds=1)),
    ("PT1H", timedelta, timedelta(hours=1)),
    ("250ms", timedelta, timedelta(milliseconds=250)),
    ("1.10", Decimal, Decimal("1.10")),
    ("00000000-0000-0000-0000-000000000007", UUID, UUID(int=7)),
    ("a/b", Path, Path("a/b")),
    ("none", None, None),
    ("RED", Color, Color.RED),
    ("b", Color, Color.BLUE),
    ("2", Level, Level.HIGH),
    ("LOW", Level, Level.LOW),
    ("x", Literal["x", 1, True, None], "x"),
    ("1", Literal["x", 1], 1),
    ("true", Literal[True, "x"], True),
    ("null", Literal["x", None], None),
    ("null", Optional[int], None),
    ("None", Optional[str], None),
    ("5", Optional[int], 5),
    ("5", Union[str, int], 5),
    ("five", Union[str, int], "five"),
    ("5.5", Union[int, float, None], 5.5),
    ("[1, 2]", list[int], [1, 2]),
    ("[1, 2]", list[float], [1.0, 2.0]),
    ('["NaN"]', list[str], ["NaN"]),
    ('["-Infinity", 1]', list[float], [float("-inf"), 1.0]),
    ('{"a": [1]}', dict[str, list[int]], {"a": [1]}),
    ('{"1": "x"}', dict[int, str], {1: "x"}),
    ('[[1, "x"]]', dict[int, str], {1: "x"}),
    ('{"RED": 1}', dict[Color, int], {Color.RED: 1}),
    ('{"2": 1}', dict[Level, int], {Level.HIGH: 1}),
    ("[[[1, 2], 3]]", dict[tuple[int, int], int], {(1, 2): 3}),
    ('[1, "x"]', tuple[int, str], (1, "x")),
    ('["a", 1]', Score, Score("a", 1.0)),
    ('{"name": "a", "points": 1}', Score, Score("a", 1.0)),
    ('{"rate": 1}', Config, Config(1.0)),
    ('{"rate": 0.5, "layers": [1], "color": "BLUE"}', Config, Config(0.5, [1], Color.BLUE)),
    ('{"rate": 1}', Optional[Config], Config(1.0)),
    ('[1, "a", null]', list[int | str | None], [1, "a", None]),
    ("[1]", Union[list[float], list[int]], [1]),
    ("[1.5]", Union[list[int], list[float]], [1.5]),
    ('{"a": [1, "NaN", null], "$float": 2}', dict, {"a": [1, "NaN", None], "$float": 2}),
    ('{"$float": "NaN"}', dict, {"$float": "NaN"}),
    ("[90, 1.5]", list[timedelta], [timedelta(seconds=90), timedelta(seconds=1.5)]),
    ("[1, 1.5]", list[Decimal], [Decimal(1), Decimal("1.5")]),
    ('["0x1f"]', list[int], [31]),
    ("[[]]", list[list[int]], [[]]),
]


@pytest.mark.parametrize(("text", "python_type", "expected"), TYPED)
def test_text_of_flags(
    text: str, python_type: Any, expected: Any, engine: TypeEngine, context: ValueContext
) -> None:
    type_ = engine.literal_type(python_type)
    written = read_text(text, type_, context)
    conform(written, type_)
    back = engine.to_python(written, type_, python_type, context)
    assert back == expected
    assert repr(back) == repr(expected)


@pytest.mark.parametrize(("text", "python_type", "expected"), TYPED)
def test_what_is_shown_can_be_given_again(
    text: str, python_type: Any, expected: Any, engine: TypeEngine, context: ValueContext
) -> None:
    type_ = engine.literal_type(python_type)
    shown = json.loads(json.dumps(show(read_text(text, type_, context), type_)))
    assert engine.to_python(read_json(shown, type_, context), type_, python_type, context) == expected


REFUSED: list[tuple[str, Any, str]] = [
    ("5.0", int, "expected int, got '5.0'"),
    ("", int, "expected int, got ''"),
    ("٣", int, "expected int, got '٣'"),
    ("9" * 5000, int, f"expected int, got '{'9' * 77}…' (too many digits; write it in hexadecimal, 0x…)"),
    ("x", float, "expected float, got 'x'"),
    ("1e400", float, "expected float, got '1e400' (too large for a float; write inf if infinity is meant)"),
    ("maybe", bool, "expected bool (true, false, yes, no, 1 or 0), got 'maybe'"),
    ("%", bytes, "expected bytes as base64, got '%'"),
    ("soon", datetime, "expected datetime (such as 2026-01-31T12:00:00+01:00, or now), got 'soon'"),
    ("31.01.2026", date, "expected date (such as 2026-01-31), got '31.01.2026'"),
    ("5 minutes", timedelta, "expected duration (such as 90s, 1h30m or PT90S), got '5 minutes'"),
    ("P1M", timedelta, "expected duration (such as 90s, 1h30m or PT90S), got 'P1M'"),
    ("99999999999d", timedelta, "expected duration (such as 90s, 1h30m or PT90S), got '99999999999d'"),
    (
        "0.1us",
        timedelta,
        "expected duration (such as 90s, 1h30m or PT90S), got '0.1us' (finer than a microsecond)",
    ),
    ("nan", timedelta, "expected duration (such as 90s, 1h30m or PT90S), got 'nan'"),
    ("green", Color, "expected one of RED, BLUE, got 'green'"),
    ("3", Literal["x", 1], "expected one of \"x\", 1, got '3'"),
    ("x", Optional[int], "expected int, got 'x'"),
    ("x", Union[int, bool], "expected int | bool, got str 'x'"),
    (
        "1,2",
        list[int],
        "expected list[int] as JSON, got '1,2' (Extra data: line 1 column 2 (char 1))",
    ),
    ("[1.0]", list[int], "item [0]: expected int, got float 1.0"),
    ("[true]", list[int], "item [0]: expected int, got bool True"),
    ('["1"]', list[int], "item [0]: expected int, got str '1'"),
    ("[NaN]", list[float], 'expected list[float] as JSON: NaN is not JSON; write it as a string, "NaN"'),
    ("[1e400]", list[float], "expected list[float] as JSON: the number '1e400' is too large for a float"),
    (
        '{"a": 1, "a": 2}',
        dict[str, int],
        "expected dict[str, int] as JSON: the key 'a' stands twice in one JSON object",
    ),
    ("[" * 65 + "]" * 65, list, "expected Any as JSON: the JSON is nested deeper than 64 levels"),
    ("[" * 100_000, list, "expected Any as JSON: the JSON is nested deeper than 64 levels"),
    ('["\\ud800"]', list[str], "item [0]: the str has a lone surrogate"),
    ('{"x": 1}', dict[int, int], "item ['x']: expected int, got 'x'"),
    ("[[1]]", dict[int, int], "expected dict[int, int], got list [[1]]"),
    (
        '{"a": 1}',
        dict[tuple[int, int], int],
        "item ['a']: expected tuple[int, int] as JSON for a key, or an array of [key, value] pairs",
    ),
    ("[1]", tuple[int, int], "expected tuple[int, int], got an array of 1 elements"),
    ('{"name": "a"}', Score, "expected an object with the keys name, points, got ['name']"),
    ("{}", Config, "Config lacks the field 'rate'"),
    ('{"rate": 1, "size": 2}', Config, "Config has no field 'size'; it has: rate, layers, color"),
    ('{"rate": 1, "layers": ["x"]}', Config, "field .layers[0]: expected int, got str 'x'"),
    ('{"rate": 1, "color": 5}', Config, "field .color: expected one of RED, BLUE, got 5"),
    ("/no/such.csv", FlyteFile, "the file '/no/such.csv' does not exist"),
    ("github://a/b", FlyteFile, "the address 'github://a/b' cannot be read"),
    ("[5]", list[FlyteFile], "item [0]: expected FlyteFile as a path or address, got int 5"),
    ('{"uri": "/etc/passwd"}', FlyteFile, "expected an address such as s3://…, got '/etc/passwd'"),
    (
        '{"url": "s3://b/k"}',
        FlyteFile,
        "expected FlyteFile as a path, an address, or an object with 'uri', got dict",
    ),
]


@pytest.mark.parametrize(("text", "python_type", "message"), REFUSED)
def test_text_that_does_not_fit(
    text: str, python_type: Any, message: str, engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(InvalidInputs) as caught:
        read_text(text, engine.literal_type(python_type), context)
    assert caught.value.message.startswith(message)


def test_now(engine: TypeEngine, context: ValueContext) -> None:
    type_ = engine.literal_type(datetime)
    for text, distance in [
        ("now", timedelta()),
        ("now-1d", -timedelta(days=1)),
        ("NOW+1h", timedelta(hours=1)),
    ]:
        before = datetime.now(UTC)
        value = engine.to_python(read_text(text, type_, context), type_, datetime, context)
        assert before + distance <= value <= datetime.now(UTC) + distance


def test_local_files_are_uploaded_and_addresses_are_not(
    context: ValueContext, store: MemoryBlobStore, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    for given in (str(path), path.as_uri()):
        file = read_text(given, BlobType(format="csv"), context)
        assert (store.key(file["uri"]), file["name"], file["format"]) == (
            next(iter(store.objects)),
            "a.csv",
            "csv",
        )
    dataset = read_text(str(path), DatasetType(), context)
    assert (dataset["format"], dataset["size"]) == ("csv", 4)
    assert len(store.objects) == 1
    assert read_text("s3://b/a.csv", DatasetType(), context) == {"uri": "s3://b/a.csv", "format": "csv"}
    assert read_text("s3://b/a.txt", BlobType(), context) == {"uri": "s3://b/a.txt", "name": "a.txt"}
    again = read_text(json.dumps(show(dataset, DatasetType())), DatasetType(), context)
    assert again == {"uri": dataset["uri"], "format": "csv"}


def test_without_a_store_local_files_stay_local(tmp_path: Path) -> None:
    plain = ValueContext(blobs=None, scratch=tmp_path)
    (tmp_path / "a.txt").write_text("x")
    assert read_text(str(tmp_path / "a.txt"), BlobType(), plain)["uri"] == (tmp_path / "a.txt").as_uri()


def test_types_that_cannot_be_given(context: ValueContext) -> None:
    opaque = OpaqueType(codec="pickle", python="x.Y")
    with pytest.raises(InvalidInputs, match=r"a value of type x\.Y can only come from a task"):
        read_json("x", opaque, context)


def test_directories(context: ValueContext, store: MemoryBlobStore, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.csv").write_text("a\n1\n")
    type_ = BlobType(shape="multipart", format="csv")
    stored = read_text(str(root), type_, context)
    assert stored["uri"].startswith("memory://test/blobs/sha256/")
    assert (stored["name"], stored["format"], stored["files"], stored["size"]) == ("tree", "csv", 1, 4)
    assert read_json(str(root), type_, context) == stored
    again = read_text(show(stored, type_), type_, context)  # what a run has printed
    assert {**again, "name": "tree"} == stored
    assert read_json({"uri": stored["uri"]}, type_, context)["sha256"] == stored["sha256"]
    assert read_text("s3://b/folder/", type_, context) == {
        "uri": "s3://b/folder/",
        "name": "folder",
    }
    assert len(store.objects) == 2
    plain = ValueContext(blobs=None, scratch=tmp_path / "scratch")
    assert read_text(str(root), type_, plain)["uri"] == root.as_uri()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no/such/folder", "the directory 'no/such/folder' does not exist"),
        ("{file}", "is a file, not a directory"),
        ("{stored}", "is a file, not a directory"),
        ("ftp://h/folder", "the address 'ftp://h/folder' cannot be read: allowed are"),
        ("", "expected FlyteDirectory as a path or address, got str ''"),
    ],
)
def test_what_is_no_directory(text: str, message: str, context: ValueContext, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    stored = read_text(str(file), BlobType(), context)["uri"]
    given = text.format(file=file, stored=stored)
    with pytest.raises(InvalidInputs, match=message):
        read_json(given, BlobType(shape="multipart"), context)


def test_errors_of_failure_handlers(context: ValueContext) -> None:
    type_ = SimpleType(simple=Simple.ERROR)
    assert read_json({"message": "m"}, type_, context) == {"message": "m"}
    with pytest.raises(InvalidInputs, match="expected error, got int 5"):
        read_json(5, type_, context)


def test_json_texts() -> None:
    assert parse_json('{"a": [1, 2.5, "é", null]}') == {"a": [1, 2.5, "é", None]}
    assert parse_json("[" * 64 + "]" * 64)
    with pytest.raises(InvalidInputs, match="too many digits"):
        parse_json("9" * 5000)
