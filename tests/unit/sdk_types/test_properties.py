"""Any value of any supported type, nested three deep, survives Python → JSON → text → JSON → Python."""

# ruff: noqa: PYI061 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import enum
import itertools
import json
import math
import tempfile
import types
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, Union, cast, get_args, get_origin
from uuid import UUID

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
from google.protobuf import struct_pb2, timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic.errors import PydanticSchemaGenerationError
from typing_extensions import TypedDict  # pydantic asks for this one

from flyte_temporal import FlytePickle, kwtypes
from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.text import read_json, read_text
from flyte_temporal.sdk.types.values import decode, encode
from flyte_temporal.spec.document import canonical_json
from flyte_temporal.spec.types import NONE
from flyte_temporal.testing.blobs import MemoryBlobStore


class Color(enum.Enum):
    RED = "red"
    ONE = 1
    YES = True


@dataclass(frozen=True)
class Leaf:
    """Stands for a class inside of others."""

    n: int
    f: float
    s: str | None


class Sealed:
    """A class that nothing knows."""

    def __init__(self, content: Any) -> None:
        self.content = content


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ZONES = st.sampled_from(
    [zoneinfo.ZoneInfo(key) for key in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")]
) | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
INTS = st.integers() | st.integers(-(2**200), 2**200) | st.sampled_from([2**53, -(2**53), 2**31])
MOMENTS = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(),
    ZONES,
    st.sampled_from([0, 1]),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | st.floats() | TEXT | st.binary() | st.dates() | MOMENTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from(["$float", "$map"]) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)

Typed = tuple[Any, "st.SearchStrategy[Any]"]

LEAVES: list[Typed] = [
    (int, INTS),
    (float, st.floats()),
    (bool, st.booleans()),
    (str, TEXT),
    (bytes, st.binary()),
    (type(None), st.none()),
    (datetime, MOMENTS),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (UUID, st.uuids()),
    (Path, st.text("abc/.", min_size=1).map(Path)),
    (Color, st.sampled_from(Color)),
    (Literal["a", 1, None, True], st.sampled_from(["a", 1, None, True])),
    (Leaf, st.builds(Leaf, INTS, st.floats(), st.none() | TEXT)),
    (dict, st.dictionaries(TEXT, PLAIN, max_size=3)),
    (list, st.lists(PLAIN, max_size=3)),
]
COLUMNS = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), TEXT), max_size=3)


def _pandas(rows: list[tuple[int, str]]) -> pd.DataFrame:
    numbers, texts = [n for n, _ in rows], [s for _, s in rows]
    return pd.DataFrame({"n": pd.Series(numbers, dtype="int64"), "s": pd.Series(texts, dtype="str")})


def _polars(rows: list[tuple[int, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"n": pl.Int64, "s": pl.String}, orient="row")


_SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string())])


def _message(fields: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(fields)
    return made


def _array(values: list[Any], kind: str) -> Any:
    return np.array(values, dtype=kind)


ARRAYS = st.lists(st.floats(), max_size=3).map(lambda v: _array(v, "f8")) | st.lists(
    st.integers(-9, 9), min_size=4, max_size=4
).map(lambda v: _array(v, "i2").reshape(2, 2))
IMAGES = st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda size: st.binary(min_size=size[0] * size[1] * 3, max_size=size[0] * size[1] * 3).map(
        lambda data: Image.frombytes("RGB", size, data)
    )
)
LEAVES += [
    (np.ndarray, ARRAYS),
    (Image.Image, IMAGES),
    (pd.DataFrame, COLUMNS.map(_pandas)),
    (pl.DataFrame, COLUMNS.map(_polars)),
    (pa.Table, COLUMNS.map(lambda rows: _polars(rows).to_arrow().cast(_SCHEMA))),
    (Annotated[pl.DataFrame, kwtypes(s=str)], COLUMNS.map(lambda rows: _polars(rows).select("s"))),
    (FlytePickle[Sealed], st.builds(Sealed, PLAIN)),
    (timestamp_pb2.Timestamp, st.builds(timestamp_pb2.Timestamp, seconds=st.integers(0, 10**9))),
    (struct_pb2.Struct, st.dictionaries(TEXT, st.text("ab") | st.floats(-1, 1), max_size=2).map(_message)),
]
KEYS = [entry for entry in LEAVES if entry[0] in {int, str, bool, date, Color, bytes, UUID}]


def _union(members: list[Typed]) -> Typed:
    """Return a union of those members that can be told apart, with all that they are unions of themselves.

    `list` and `dict` cannot, for example: both are Any in the spec, and such a union is refused.
    """
    kinds: list[Any] = []
    seen: list[Any] = []
    for kind, _ in members:
        flat = get_args(kind) if get_origin(kind) in {Union, types.UnionType} else (kind,)
        own = [default_engine().literal_type(part) for part in flat]
        if not any(type_ in seen and type_ != NONE for type_ in own):
            kinds.append(kind)
            seen += own
    values = [values for kind, values in members if kind in kinds]
    return _UNION[tuple(kinds)], st.one_of(values)


_MODELS = {"dataclass": 0, "model": 0}
_NUMBERS = itertools.count()


def _dataclass(members: list[Typed]) -> Typed:
    _MODELS["dataclass"] += 1
    made = make_dataclass(
        f"Made{_MODELS['dataclass']}", [(f"f{i}", kind) for i, (kind, _) in enumerate(members)]
    )
    return made, st.builds(made, *[values for _, values in members])


def _model(members: list[Typed]) -> Typed:
    _MODELS["model"] += 1
    fields: dict[str, Any] = {f"f{i}": (kind, ...) for i, (kind, _) in enumerate(members)}
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        made = pydantic.create_model(f"Model{_MODELS['model']}", __config__=config, **fields)
    except PydanticSchemaGenerationError:  # its setting does not reach into dataclasses
        return _dataclass(members)
    names = [f"f{i}" for i in range(len(members))]
    return made, st.builds(
        lambda *values: made.model_construct(**dict(zip(names, values, strict=True))),
        *[values for _, values in members],
    )


def _attrs_class(members: list[Typed]) -> Typed:
    fields = {f"f{i}": attrs.field(type=kind) for i, (kind, _) in enumerate(members)}
    made = attrs.make_class(f"Attrs{next(_NUMBERS)}", fields)
    return made, st.builds(made, *[values for _, values in members])


def _typed_dict(members: list[Typed]) -> Typed:
    kinds = {f"f{i}": kind for i, (kind, _) in enumerate(members)}
    kinds["f0"] = NotRequired[kinds["f0"]]
    made = TypedDict(f"Keys{next(_NUMBERS)}", kinds)  # type: ignore[misc]
    required = {f"f{i}": values for i, (_, values) in enumerate(members) if i}
    return made, st.fixed_dictionaries(required, optional={"f0": members[0][1]})


# as values, because type checkers read brackets after a type as an annotation
_LIST, _TUPLE, _DICT, _OPTIONAL, _UNION = cast("tuple[Any, ...]", (list, tuple, dict, Optional, Union))


def _wider(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda t: (_LIST[t[0]], st.lists(t[1], max_size=4))),
        inner.map(lambda t: (_OPTIONAL[t[0]], st.none() | t[1])),
        inner.map(lambda t: (_TUPLE[t[0], ...], st.lists(t[1], max_size=3).map(tuple))),
        several.map(lambda ts: (_TUPLE[tuple(t[0] for t in ts)], st.tuples(*[t[1] for t in ts]))),
        st.tuples(st.sampled_from(KEYS), inner).map(
            lambda kv: (_DICT[kv[0][0], kv[1][0]], st.dictionaries(kv[0][1], kv[1][1], max_size=3))
        ),
        several.map(_union),
        several.map(_dataclass),
        several.map(_model),
        several.map(_attrs_class),
        several.map(_typed_dict),
    )


TYPES: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(LEAVES), _wider, max_leaves=5)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in depth with their types, NaN equal to itself and -0.0 not to 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (
            math.isnan(one)
            if math.isnan(other)
            else (one, math.copysign(1, one)) == (other, math.copysign(1, other))
        )
    if isinstance(one, np.ndarray):
        return bool((one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()))
    if isinstance(one, Image.Image):
        return bool((one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes()))
    if isinstance(one, pd.DataFrame | pl.DataFrame | pa.Table):
        return bool(one.equals(other))
    if isinstance(one, datetime):
        return _clock(one) == _clock(other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(_keys(one), _keys(other), strict=True)
        )
    if hasattr(one, "__dict__") and not isinstance(one, enum.Enum | Path | UUID):
        return same(vars(one), vars(other))
    return bool(one == other)


def _keys(value: dict[Any, Any]) -> list[Any]:
    return sorted(value, key=lambda key: (type(key).__name__, repr(key)))


def _clock(value: datetime) -> tuple[Any, ...]:
    return value.replace(tzinfo=None), value.fold, value.utcoffset(), getattr(value.tzinfo, "key", None)


ENGINE = default_engine()
SCRATCH = Path(tempfile.gettempdir()) / "flyte-temporal-properties"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_of_any_type_survives(data: st.DataObject) -> None:
    python_type, values = data.draw(TYPES)
    value = data.draw(values)
    context = ValueContext(MemoryBlobStore(), SCRATCH, inline_bytes=40, opens_pickles=True)
    type_ = ENGINE.literal_type(python_type)
    written = json.loads(canonical_json(ENGINE.to_json(value, python_type, context)))
    conform(written, type_)
    assert same(ENGINE.to_python(written, type_, python_type, context), value)
    assert same(ENGINE.coerce(value, python_type), value)
    assert same(decode(encode(value, python_type, context), type_, python_type, context), value)


def _shows_all(python_type: Any) -> bool:
    """Return whether plain JSON tells all values of a type apart.

    Not so for unions and data of no declared shape; and a pickle cannot be given at all.
    """
    text = str(ENGINE.literal_type(python_type))
    return not any(word in text for word in ("'union'", "Simple.ANY", "'opaque'", "open=True"))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_shown_to_people_can_be_given_back(data: st.DataObject) -> None:
    python_type, values = data.draw(TYPES.filter(lambda typed: _shows_all(typed[0])))
    value = data.draw(values)
    context = ValueContext(None, SCRATCH)
    type_ = ENGINE.literal_type(python_type)
    shown = json.loads(json.dumps(show(ENGINE.to_json(value, python_type, context), type_), allow_nan=False))
    assert same(ENGINE.to_python(read_json(shown, type_, context), type_, python_type, context), value)
    typed = shown if isinstance(shown, str) else json.dumps(shown)
    assert same(ENGINE.to_python(read_text(typed, type_, context), type_, python_type, context), value)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(INTS | st.none(), max_size=20), inline_bytes=st.sampled_from([0, 10**6]))
def test_an_iterator_is_the_list(values: list[int | None], inline_bytes: int) -> None:
    context = ValueContext(MemoryBlobStore(), SCRATCH, inline_bytes)
    lines: Any = Iterator[int | None]
    literal = encode(iter(values), lines, context)
    assert list(decode(literal, ENGINE.literal_type(lines), lines, context)) == values
