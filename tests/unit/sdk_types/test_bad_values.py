"""Values that do not fit, each with its exact message."""

# ruff: noqa: UP007, UP045 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import pytest

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.spec.types import INTEGER

FILE: Any = FlyteFile  # type checkers take the brackets for a generic's


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Score(NamedTuple):
    name: str
    points: float


@dataclass
class Inner:
    b: list[int] = field(default_factory=list)


@dataclass
class Outer:
    a: Inner
    by_name: dict[str, list[int]] = field(default_factory=dict)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


_PLAIN = (
    "expected plain data (None, bool, int, float, str, bytes, dates, Decimal, UUID, list, tuple, dict), got "
)

GIVEN: list[tuple[Any, Any, str]] = [
    (1, None, "expected None, got int 1"),
    (None, int, "expected int, got None"),
    ("x", int, "expected int, got str 'x'"),
    (1.0, int, "expected int, got float 1.0"),
    (True, int, "expected int, got bool True"),
    (Decimal(1), int, "expected int, got Decimal Decimal('1')"),
    ("1", float, "expected float, got str '1'"),
    (True, float, "expected float, got bool True"),
    (Fraction(1, 3), float, "expected float, got Fraction Fraction(1, 3)"),
    (10**400, float, "expected float, got an int of 1329 bits, which is too large"),
    (1, bool, "expected bool, got int 1"),
    ("true", bool, "expected bool, got str 'true'"),
    (b"x", str, "expected str, got bytes b'x'"),
    (5, str, "expected str, got int 5"),
    (
        "a\ud800",
        str,
        (
            "the str has a lone surrogate ('\\ud800') at position 1, which UTF-8 cannot hold; pass bytes, or decode it "
            "with errors='replace'"
        ),
    ),
    ("x", bytes, "expected bytes, got str 'x'"),
    (1.5, Decimal, "expected Decimal, got float 1.5"),
    ("2026-01-01", date, "expected date, got str '2026-01-01'"),
    (
        datetime(2026, 1, 1, tzinfo=UTC),
        date,
        "expected date, got datetime datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)",
    ),
    (date(2026, 1, 1), datetime, "expected datetime, got date datetime.date(2026, 1, 1)"),
    (5, timedelta, "expected timedelta, got int 5"),
    ({1}, list[int], "expected list[int], got set {1}"),
    ("ab", list[str], "expected list[str], got str 'ab'"),
    ([1, 2, "x"], list[int], "item [2]: expected int, got str 'x'"),
    ([[1], [2.5]], list[list[int]], "item [1][0]: expected int, got float 2.5"),
    ([1], tuple[int], "expected tuple[int], got list [1]"),
    ((1,), tuple[int, str], "expected tuple[int, str], got a tuple of 1 elements"),
    ((1, 2), tuple[int, str], "item [1]: expected str, got int 2"),
    (Score("a", None), Score, "field .points: expected float, got None"),  # type: ignore[arg-type]
    ({"a": "x"}, dict[str, int], "item ['a']: expected int, got str 'x'"),
    ({1: 2}, dict[str, int], "as a key, expected str, got int 1"),
    ([1], dict[str, int], "expected dict[str, int], got list [1]"),
    ("x", Optional[int], "expected int, got str 'x'"),
    (1.5, Union[int, str], "expected int | str, got float 1.5"),
    ("green", Color, "expected Color (one of 'red', 'blue'), got str 'green'"),
    ("RED", Color, "expected Color (one of 'red', 'blue'), got str 'RED'"),
    (2, Literal["a", 1], "expected Literal['a', 1], got int 2"),
    (True, Literal["a", 1], "expected Literal['a', 1], got bool True"),
    ("x", Outer, "expected Outer, got str 'x'"),
    (Outer(Inner([1, 2, 3, "x"])), Outer, "field .a.b[3]: expected int, got str 'x'"),  # type: ignore[list-item]
    (
        Outer(Inner(), {"k": [1.5]}),  # type: ignore[list-item]
        Outer,
        "field .by_name['k'][0]: expected int, got float 1.5",
    ),
    ([Outer(None)], list[Outer], "item [0].a: expected Inner, got None"),  # type: ignore[arg-type]
    ({"a": {"c": 1}}, Outer, "field .a: Inner has no field 'c'; it has: b"),
    ({}, Outer, "Outer lacks the field 'a'"),
    ({1, 2}, dict, "expected dict, got set {1, 2}"),
    ({"a": [{1}]}, dict, f"item ['a'][0]: {_PLAIN}set {{1}}"),
    (Unprintable(), int, "expected int, got Unprintable (its repr() raised RuntimeError)"),
    (list(range(30)), int, "expected int, got list with 30 items"),
    ("x" * 200, int, f"expected int, got str '{'x' * 76}…"),
    (5, FlyteFile, "expected FlyteFile, got int 5"),
    ("/no/such/file", FlyteFile, "the file '/no/such/file' does not exist"),
    ("/", FlyteFile, "the file '/' is a directory, not a file"),
    ("a\0b", FlyteFile, "the file 'a\\x00b' does not exist"),
    (
        "zip::http://x/y",
        FlyteFile,
        (
            "the address 'zip::http://x/y' cannot be read: allowed are local paths and the schemes file, s3, gs, gcs, "
            "http, https"
        ),
    ),
    (
        FILE["txt"]("/a"),
        FILE["csv"],
        "expected FlyteFile[csv], got FlyteFile[txt] FlyteFile[txt]('/a')",
    ),
]


@pytest.mark.parametrize(("value", "python_type", "message"), GIVEN)
def test_values_given_to_a_call(
    value: Any, python_type: Any, message: str, engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(TypeMismatch) as written:
        engine.to_json(value, python_type, context)
    with pytest.raises(TypeMismatch) as called:
        engine.coerce(value, python_type)
    assert written.value.message == called.value.message == message


READ: list[tuple[Any, Any, str]] = [
    ("1", int, "expected int, got str '1'"),
    ("0xzz", int, "expected int, got str '0xzz'"),
    (1.5, int, "expected int, got float 1.5"),
    ("nan", float, "expected float, got str 'nan'"),
    ("0x1" + "0" * 400, float, "expected float, got an int that is too large for one"),
    (0, bool, "expected bool, got int 0"),
    (None, str, "expected str, got None"),
    ("%%", bytes, "expected bytes as base64, got str '%%'"),
    ("x", Decimal, "expected Decimal, got str 'x'"),
    ("tomorrow", date, "expected date, got 'tomorrow': Invalid isoformat string: 'tomorrow'"),
    ({}, list[int], "expected list[int], got dict {}"),
    ([[1, 2, 3]], dict[int, int], "expected dict[int, int], got list [[1, 2, 3]]"),
    ([1, 2], dict[str, int], "expected dict[str, int], got list [1, 2]"),
    ([1], tuple[int, int], "expected tuple[int, int], got list [1]"),
    ("green", Color, "expected Color (one of 'red', 'blue'), got str 'green'"),
    ([], Outer, "expected Outer, got list []"),
    ({"a": {"b": [None]}}, Outer, "field .a.b[0]: expected int, got None"),
    ({"uri": 5}, FlyteFile, "expected a file's address, got {'uri': 5}"),
    (
        {"uri": "github://a:b@c/d"},
        FlyteFile,
        (
            "the address 'github://a:b@c/d' cannot be read: allowed are local paths and the schemes file, s3, gs, gcs, "
            "http, https"
        ),
    ),
]


@pytest.mark.parametrize(("value", "python_type", "message"), READ)
def test_json_that_is_read(
    value: Any, python_type: Any, message: str, engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(InvalidInputs) as caught:
        engine.to_python(value, engine.literal_type(python_type), python_type, context)
    assert caught.value.message == message


def test_a_value_that_contains_itself(engine: TypeEngine, context: ValueContext) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeMismatch, match="nested deeper than 64 levels, or it contains itself"):
        engine.to_json(loop, list, context)


@pytest.mark.parametrize(
    "python_type",
    [
        Callable[[int], int],
        Annotated[Callable[[int], int], []],
        list[Callable[[int], int]],
        Generator[int, None, None],
    ],
    ids=str,
)
def test_annotations_that_cannot_be_hashed_are_refused_like_others(
    python_type: Any, engine: TypeEngine
) -> None:
    with pytest.raises(UnsupportedType, match="No type transformer for"):
        engine.literal_type(python_type)


def test_metadata_that_cannot_be_hashed_is_no_hindrance(engine: TypeEngine) -> None:
    assert engine.literal_type(Annotated[int, []]) == INTEGER
    with pytest.raises(UnsupportedType, match="has the value list"):
        engine.literal_type(Literal[[]])


class Odd:
    """Shown by its address."""


def test_a_message_holds_no_memory_address(engine: TypeEngine) -> None:
    with pytest.raises(TypeMismatch, match=r"^expected int, got Odd <.*Odd object>$"):
        engine.to_json(Odd(), int, ValueContext(None, Path()))
