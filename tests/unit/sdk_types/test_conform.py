from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.sdk.types.display import show
from flyte_temporal.spec.types import (
    ANY,
    BOOLEAN,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    BlobType,
    DatasetType,
    EnumType,
    Field_,
    ListType,
    MapType,
    OpaqueType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    optional,
)


def simple(name: str) -> SimpleType:
    return SimpleType(simple=Simple(name))


STRUCT = StructType(
    name="P", fields=(Field_(name="a", type=INTEGER), Field_(name="b", type=STRING, required=False))
)
OPEN = StructType(name="O", open=True)

FITTING: list[tuple[Any, Any, Any]] = [
    (None, NONE, None),
    (5, INTEGER, 5),
    ("0x20000000000000", INTEGER, 2**53),
    (1, FLOAT, 1),
    ("NaN", FLOAT, "NaN"),
    (True, BOOLEAN, True),
    ("", STRING, ""),
    ("AP8=", simple("bytes"), "AP8="),
    ("2026-01-31T00:00:00+00:00[UTC]", simple("datetime"), "2026-01-31T00:00:00+00:00[UTC]"),
    ("-PT0.000001S", simple("duration"), "-PT0.000001S"),
    ("sNaN", simple("decimal"), "sNaN"),
    ({"message": "m"}, simple("error"), {"message": "m"}),
    ({"a": [{"$float": "NaN"}, {"$int": "0x20000000000000"}]}, ANY, {"a": ["NaN", 2**53]}),
    ({"$map": [[1, {"$tuple": [2]}], [None, 3]]}, ANY, {"1": [2], "null": 3}),
    ("a", EnumType(values=("a", 1)), "a"),
    ([[1]], ListType(element=ListType(element=INTEGER)), [[1]]),
    ([1, "x"], TupleType(elements=(INTEGER, STRING)), [1, "x"]),
    ({"a": 1}, MapType(key=STRING, value=INTEGER), {"a": 1}),
    ([[1, 2]], MapType(key=INTEGER, value=INTEGER), {"1": 2}),
    ([[True, 2]], MapType(key=BOOLEAN, value=INTEGER), {"true": 2}),
    (None, optional(INTEGER), None),
    ({"variant": 1, "value": "x"}, UnionType(variants=(INTEGER, STRING)), "x"),
    ({"a": 1}, STRUCT, {"a": 1}),
    ({"x": {"$date": "2026-01-01"}}, OPEN, {"x": "2026-01-01"}),
    ({"uri": "s3://b/k", "sha256": "0"}, BlobType(), "s3://b/k"),
    ({"uri": "s3://b/d"}, BlobType(shape="multipart"), "s3://b/d"),
    ({"uri": "s3://b/k", "format": "csv", "rows": 1}, DatasetType(), {"uri": "s3://b/k", "format": "csv"}),
    (
        {"uri": "s3://b/k", "codec": "pickle", "sha256": "0", "size": 1},
        OpaqueType(codec="pickle"),
        {"uri": "s3://b/k", "codec": "pickle"},
    ),
]


@pytest.mark.parametrize(("value", "type_", "shown"), FITTING)
def test_fits_and_is_shown(value: Any, type_: Any, shown: Any) -> None:
    conform(value, type_)
    assert show(value, type_) == shown


MISFITS: list[tuple[Any, Any, str]] = [
    (0, NONE, "expected none, got int 0"),
    (True, INTEGER, "expected int, got bool True"),
    (1.0, INTEGER, "expected int, got float 1.0"),
    ("nan", FLOAT, "expected float, got str 'nan'"),
    (float("nan"), ANY, "expected JSON, which has no such number, got float nan"),
    (1, BOOLEAN, "expected bool, got int 1"),
    (None, STRING, "expected str, got None"),
    ("\ud800", STRING, "the str has a lone surrogate"),
    ("now", simple("datetime"), "expected datetime as text, got str 'now'"),
    ("5m", simple("duration"), "expected duration as text, got str '5m'"),
    (5, simple("date"), "expected date as text, got int 5"),
    ({"message": 5}, simple("error"), "expected FlyteError, got dict {'message': 5}"),
    ({"a": [object()]}, ANY, "item ['a'][0]: expected JSON, got object"),
    ({1: 2}, ANY, "expected JSON, whose keys are strings, got dict {1: 2}"),
    (True, EnumType(values=("a", 1)), "expected one of 'a', 1, got bool True"),
    ([1, "x"], ListType(element=INTEGER), "item [1]: expected int, got str 'x'"),
    ({}, ListType(element=INTEGER), "expected list[int], got dict {}"),
    ([1], TupleType(elements=(INTEGER, STRING)), "expected tuple[int, str], an array of 2, got list [1]"),
    ([1], MapType(key=STRING, value=INTEGER), "expected dict[str, int], got list [1]"),
    (
        {"a": 1},
        MapType(key=INTEGER, value=INTEGER),
        "expected dict[int, int], an array of [key, value], got dict",
    ),
    ([["x", 1]], MapType(key=INTEGER, value=INTEGER), "item ['x']: expected int, got str 'x'"),
    ("x", optional(INTEGER), "expected int, got str 'x'"),
    ("x", UnionType(variants=(INTEGER, STRING)), "expected int | str with its variant, got str 'x'"),
    (
        {"variant": -1, "value": 0},
        UnionType(variants=(INTEGER, STRING)),
        "expected a variant below 2, got int -1",
    ),
    ({"variant": 0, "value": "x"}, UnionType(variants=(INTEGER, STRING)), "expected int, got str 'x'"),
    ({}, STRUCT, "P lacks the field 'a'"),
    ({"a": 1, "c": 1}, STRUCT, "P has no field 'c'; it has: a, b"),
    ({"a": 1, "b": 1}, STRUCT, "field .b: expected str, got int 1"),
    ("s3://b/k", BlobType(), "expected FlyteFile, got str 's3://b/k'"),
    ({"uri": "s3://b/k", "evil": 1}, DatasetType(), "expected DataFrame, got dict"),
    ({"uri": "s3://b/k"}, OpaqueType(codec="pickle"), "expected pickle, got dict"),
]


@pytest.mark.parametrize(("value", "type_", "message"), MISFITS)
def test_does_not_fit(value: Any, type_: Any, message: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        conform(value, type_)
    assert caught.value.message.startswith(message)
