from __future__ import annotations

import math
import struct
import uuid
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.spec.types import INTEGER, Simple, SimpleType

from .conftest import Trip

EXACT: list[tuple[Any, Any]] = [
    (None, None),
    (None, type(None)),
    (0, int),
    (-(2**53) + 1, int),
    (2**53, int),
    (-(2**200), int),
    (0.1, float),
    (5e-324, float),
    (math.inf, float),
    (-math.inf, float),
    (True, bool),
    (False, bool),
    ("", str),
    ("\0 é 漢字 \U0001f600", str),
    (b"", bytes),
    (b"\0\xff", bytes),
    (Decimal("1.10E+30"), Decimal),
    (Decimal("-0"), Decimal),
    (uuid.UUID(int=7), uuid.UUID),
    (Path("a/ü.txt"), Path),
    (PurePosixPath("/x"), PurePosixPath),
]


@pytest.mark.parametrize(("value", "python_type"), EXACT, ids=lambda v: repr(v)[:30])
def test_survives_exactly(value: Any, python_type: Any, trip: Trip) -> None:
    back = trip(value, python_type)
    assert back == value
    assert type(back) is type(value)


def test_negative_zero_and_nan_keep_their_bits(trip: Trip) -> None:
    assert struct.pack("d", trip(-0.0, float)) == struct.pack("d", -0.0)
    assert math.isnan(trip(math.nan, float))
    assert trip(Decimal("NaN"), Decimal).is_nan()


def test_an_int_beyond_pythons_digit_limit(trip: Trip) -> None:
    value = 10**5000 + 1
    assert trip(value, int) == value
    assert trip([1, -value], list[int]) == [1, -value]


@pytest.mark.parametrize("value", [2**53 - 1, 2**53, 2**31, -(2**31) - 1, -(2**53)])
def test_many_ints_are_written_as_single_ones(value: int, engine: TypeEngine, context: ValueContext) -> None:
    one = engine.to_json(value, int, context)
    assert engine.to_json([value, 1], list[int], context) == [one, 1]


def test_many_floats_keep_the_odd_ones(trip: Trip) -> None:
    back = trip([1.5, math.inf, -0.0, math.nan], list[float])
    assert back[:2] == [1.5, math.inf]
    assert math.copysign(1, back[2]) == -1
    assert math.isnan(back[3])


def test_an_int_becomes_a_float_where_one_is_declared(
    engine: TypeEngine, context: ValueContext, trip: Trip
) -> None:
    assert type(trip(3, float)) is float
    assert [type(x) for x in trip([1, 2.5], list[float])] == [float, float]
    assert type(engine.to_python(3, INTEGER, float, context)) is float
    assert engine.to_python(hex(2**60), INTEGER, float, context) == float(2**60)


def test_numbers_of_numpy_are_taken_without_their_type(trip: Trip) -> None:
    numpy = pytest.importorskip("numpy")
    for value, python_type in [(numpy.int64(5), int), (numpy.float32(0.5), float), (numpy.bool_(1), bool)]:
        back = trip(value, python_type)
        assert back == value
        assert type(back) is python_type


def test_what_flows_to_a_str_along_an_edge_may_be_given_to_one(trip: Trip) -> None:
    assert trip(Path("a") / "b", str) == "a/b"
    assert trip("a/b", Path) == Path("a/b")


def test_a_path_is_text_and_not_a_file(engine: TypeEngine) -> None:
    assert engine.literal_type(Path) == SimpleType(simple=Simple.PATH)
