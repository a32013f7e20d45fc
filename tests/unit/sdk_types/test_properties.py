"""Any value of any supported type, nested three deep, survives Python → JSON → text → JSON → Python."""

# ruff: noqa: PYI061 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import enum
import json
import math
import tempfile
import zoneinfo
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Optional, Union, cast
from uuid import UUID

import pydantic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.sdk.types.display import show
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.text import read_json
from flyte_temporal.sdk.types.values import decode, encode
from flyte_temporal.spec.document import canonical_json
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
KEYS = [entry for entry in LEAVES if entry[0] in {int, str, bool, date, Color, bytes, UUID}]


def _union(members: list[Typed]) -> Typed:
    kinds: list[Any] = []
    for kind, _ in members:
        if default_engine().literal_type(kind) not in [default_engine().literal_type(k) for k in kinds]:
            kinds.append(kind)
    values = [values for kind, values in members if kind in kinds]
    return _UNION[tuple(kinds)], st.one_of(values)


_MODELS = {"dataclass": 0, "model": 0}


def _dataclass(members: list[Typed]) -> Typed:
    _MODELS["dataclass"] += 1
    made = make_dataclass(
        f"Made{_MODELS['dataclass']}", [(f"f{i}", kind) for i, (kind, _) in enumerate(members)]
    )
    return made, st.builds(made, *[values for _, values in members])


def _model(members: list[Typed]) -> Typed:
    _MODELS["model"] += 1
    fields: dict[str, Any] = {f"f{i}": (kind, ...) for i, (kind, _) in enumerate(members)}
    made = pydantic.create_model(f"Model{_MODELS['model']}", **fields)
    names = [f"f{i}" for i in range(len(members))]
    return made, st.builds(
        lambda *values: made.model_construct(**dict(zip(names, values, strict=True))),
        *[values for _, values in members],
    )


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


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_of_any_type_survives(data: st.DataObject) -> None:
    python_type, values = data.draw(TYPES)
    value = data.draw(values)
    context = ValueContext(blobs=MemoryBlobStore(), scratch=Path(tempfile.gettempdir()), inline_bytes=40)
    type_ = ENGINE.literal_type(python_type)
    written = json.loads(canonical_json(ENGINE.to_json(value, python_type, context)))
    conform(written, type_)
    assert same(ENGINE.to_python(written, type_, python_type, context), value)
    assert same(ENGINE.coerce(value, python_type), value)
    assert same(decode(encode(value, python_type, context), type_, python_type, context), value)


def _shows_all(python_type: Any) -> bool:
    """Return whether plain JSON tells all values of a type apart: not so for unions and data of no declared shape."""
    text = str(ENGINE.literal_type(python_type))
    return "'union'" not in text and "Simple.ANY" not in text


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_shown_to_people_can_be_given_back(data: st.DataObject) -> None:
    python_type, values = data.draw(TYPES.filter(lambda typed: _shows_all(typed[0])))
    value = data.draw(values)
    context = ValueContext(blobs=None, scratch=Path(tempfile.gettempdir()))
    type_ = ENGINE.literal_type(python_type)
    shown = json.loads(json.dumps(show(ENGINE.to_json(value, python_type, context), type_), allow_nan=False))
    assert same(ENGINE.to_python(read_json(shown, type_, context), type_, python_type, context), value)
