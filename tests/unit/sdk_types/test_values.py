# ruff: noqa: UP007, UP045 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from flyte_temporal.errors import CorruptBlob, InvalidInputs, StorageError
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.converter import Misfit
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.values import decode, encode, json_of
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.literals import Composite, Inline, Joined, Offloaded
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.spec.types import (
    ANY,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    Field_,
    ListType,
    MapType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    optional,
)
from flyte_temporal.testing.blobs import MemoryBlobStore


@dataclass
class Pair:
    a: int
    b: list[float]


class Color(Enum):
    RED = "red"


@pytest.fixture
def small(context: ValueContext) -> ValueContext:
    return ValueContext(blobs=context.blobs, scratch=context.scratch, inline_bytes=10)


def test_small_values_travel_inline(context: ValueContext, store: MemoryBlobStore) -> None:
    assert encode([1, 2], list[int], context) == Inline(value=[1, 2])
    assert store.objects == {}


def test_the_limit_is_in_bytes_of_json(small: ValueContext) -> None:
    assert isinstance(encode("12345678", str, small), Inline)
    assert isinstance(encode("123456789", str, small), Offloaded)
    assert isinstance(encode("éééé", str, small), Inline)
    assert isinstance(encode("ééééé", str, small), Offloaded)


def test_large_values_travel_by_reference(small: ValueContext, store: MemoryBlobStore) -> None:
    value = {"ü": [1.5, math.inf], "a": [0.0]}
    literal = encode(value, dict[str, list[float]], small)
    data = canonical_json({"a": [0.0], "ü": [1.5, "Infinity"]})
    sha256 = sha256_hex(data)
    assert literal == Offloaded(key=f"blobs/sha256/{sha256[:2]}/{sha256}", sha256=sha256, size=len(data))
    assert store.objects == {literal.key: data}
    declared = MapType(key=STRING, value=ListType(element=FLOAT))
    assert decode(literal, declared, dict[str, list[float]], small) == value


def test_a_list_by_reference_says_how_long_it_is(small: ValueContext) -> None:
    literal = encode(["a" * 9, "b" * 9], list[str], small)
    assert isinstance(literal, Offloaded)
    assert literal.count == 2
    assert "count" not in encode({"a": "b" * 9}, dict[str, str], small).model_dump(mode="json")


def test_without_a_store_everything_is_inline(tmp_path: Path) -> None:
    plain = ValueContext(blobs=None, scratch=tmp_path, inline_bytes=1)
    assert encode("long text", str, plain) == Inline(value="long text")
    with pytest.raises(StorageError, match="this process has none"):
        decode(Offloaded(key="k", sha256="0", size=1), STRING, str, plain)


def test_damage_and_loss_are_noticed(small: ValueContext, store: MemoryBlobStore) -> None:
    literal = encode("long enough", str, small)
    assert isinstance(literal, Offloaded)
    store.objects[literal.key] = b'"other"'
    with pytest.raises(CorruptBlob):
        decode(literal, STRING, str, small)
    store.objects.clear()
    with pytest.raises(StorageError, match="The blob store has no blobs/sha256/"):
        decode(literal, STRING, str, small)


def test_a_path_into_a_stored_value(engine: TypeEngine, small: ValueContext) -> None:
    whole = engine.literal_type(dict[int, Pair])
    literal = encode({7: Pair(1, [0.5, 2.5])}, dict[int, Pair], small)
    at = literal.model_copy(update={"path": (7, "b", 1), "whole": whole})
    assert decode(at, FLOAT, float, small) == 2.5
    lost = literal.model_copy(update={"path": (8,), "whole": whole})
    with pytest.raises(MissingAttribute, match=r"nothing at \[8\]"):
        decode(lost, engine.literal_type(Pair), Pair, small)


def test_a_literal_written_by_another_type(engine: TypeEngine, context: ValueContext) -> None:
    declared = engine.literal_type(Optional[float])
    assert decode(Inline(value=3, type=INTEGER), declared, Optional[float], context) == 3.0
    assert decode(Inline(value=None, type=NONE), declared, Optional[float], context) is None
    color = engine.literal_type(Color)
    assert decode(Inline(value="red", type=STRING), color, Color, context) is Color.RED
    with pytest.raises(InvalidInputs, match="expected Color"):
        decode(Inline(value="blue", type=STRING), color, Color, context)


def test_a_list_of_parts_is_one_list(engine: TypeEngine, small: ValueContext) -> None:
    far = encode(list(range(20)), list[int], small)
    whole = Joined(
        parts=(far, Inline(value=[20]), Composite(items=(Inline(value=21), Inline(value=None, type=NONE)))),
        counts=(20, 1, 2),
    )
    wanted = [*range(22), None]
    declared = engine.literal_type(list[Optional[int]])
    assert decode(whole, declared, list[Optional[int]], small) == wanted
    # Read one by one, a part is fetched when its first element is asked for.
    lost = whole.model_copy(update={"parts": (*whole.parts[:2], far.model_copy(update={"key": "gone"}))})
    streamed = decode(lost, declared, Iterator[Optional[int]], small)
    assert [next(streamed) for _ in range(21)] == list(range(21))
    with pytest.raises(StorageError, match="has no gone"):
        next(streamed)
    assert list(decode(whole, declared, Iterator[Optional[int]], small)) == wanted
    # As a member of a union, and by another type than it was written by.
    maybe = engine.literal_type(Optional[list[float]])
    numbers = Joined(parts=(far, Inline(value=[1.5])), counts=(20, 1))
    assert decode(numbers, maybe, Optional[list[float]], small)[-1] == 1.5
    typed = numbers.model_copy(update={"type": engine.literal_type(list[int]), "parts": (far, far)})
    assert decode(typed, maybe, Optional[list[float]], small) == [float(x) for x in (*range(20), *range(20))]


def test_values_put_together_from_several_nodes(engine: TypeEngine, small: ValueContext) -> None:
    far = encode(list(range(20)), list[int], small)
    near = Inline(value=[1, 2], type=TupleType(elements=(INTEGER, INTEGER)))
    lists = Composite(items=(far, near))
    declared = engine.literal_type(list[list[int]])
    assert decode(lists, declared, list[list[int]], small) == [list(range(20)), [1, 2]]

    numbers = Composite(items=(Inline(value=1, type=INTEGER), Inline(value=2.5)), keys=("a", "b"))
    assert decode(numbers, engine.literal_type(dict[str, float]), dict[str, float], small) == {
        "a": 1.0,
        "b": 2.5,
    }
    by_number = Composite(items=(Inline(value="x"),), keys=(hex(2**60),))
    assert decode(by_number, engine.literal_type(dict[int, str]), dict[int, str], small) == {2**60: "x"}

    record = Composite(
        items=(Inline(value=1), Composite(items=(Inline(value=2, type=INTEGER),))), keys=("a", "b")
    )
    assert decode(record, engine.literal_type(Pair), Pair, small) == Pair(1, [2.0])

    loose = Composite(items=(Inline(value="NaN", type=FLOAT), far), keys=("a", "b"))
    back = decode(loose, ANY, dict, small)
    assert math.isnan(back["a"])
    assert back["b"] == list(range(20))
    assert decode(Composite(items=(Inline(value=5),)), ANY, list, small) == [5]

    pair = Composite(items=(Inline(value=1), Inline(value="x")))
    python_type = Union[int, tuple[int, str], None]
    assert decode(pair, engine.literal_type(python_type), python_type, small) == (1, "x")
    assert decode(pair, engine.literal_type(Optional[tuple[int, str]]), Optional[tuple[int, str]], small) == (
        1,
        "x",
    )


def test_values_put_together_wrongly(engine: TypeEngine, context: ValueContext) -> None:
    cases: list[tuple[Composite, Any, str]] = [
        (Composite(items=()), int, "expected int, got a list of 0 put together from several nodes"),
        (Composite(items=(), keys=()), int, "expected int, got a dict put together from several nodes"),
        (Composite(items=(Inline(value=1),), keys=("z",)), Pair, "Pair has no field 'z'"),
        (
            Composite(items=(Inline(value=1),)),
            tuple[int, int],
            r"expected tuple\[int, int\], got a list of 1 put together",
        ),
    ]
    for literal, python_type, message in cases:
        with pytest.raises(InvalidInputs, match=message):
            decode(literal, engine.literal_type(python_type), python_type, context)


def _struct(*fields: Field_, open_: bool = False) -> StructType:
    return StructType(fields=fields, open=open_)


_DATE = SimpleType(simple=Simple.DATE)
_ADAPTED: list[tuple[Any, Any, Any, Any]] = [
    (1, INTEGER, FLOAT, 1.0),
    (hex(2**60), INTEGER, FLOAT, float(2**60)),
    ([1, 2], ListType(element=INTEGER), ListType(element=FLOAT), [1.0, 2.0]),
    ([1, 2.5], TupleType(elements=(INTEGER, FLOAT)), ListType(element=FLOAT), [1.0, 2.5]),
    ([1], TupleType(elements=(INTEGER,)), TupleType(name="N", names=("a",), elements=(FLOAT,)), [1.0]),
    ({"a": 1}, MapType(key=STRING, value=INTEGER), MapType(key=STRING, value=FLOAT), {"a": 1.0}),
    ([[1, 1]], MapType(key=INTEGER, value=INTEGER), MapType(key=FLOAT, value=INTEGER), [[1.0, 1]]),
    (1, INTEGER, optional(FLOAT), 1.0),
    (None, NONE, optional(FLOAT), None),
    ("x", STRING, UnionType(variants=(INTEGER, STRING)), {"variant": 1, "value": "x"}),
    (1, INTEGER, UnionType(variants=(FLOAT, STRING)), {"variant": 0, "value": 1.0}),
    (1, INTEGER, UnionType(variants=(FLOAT, INTEGER)), {"variant": 1, "value": 1}),
    (
        {"variant": 1, "value": "x"},
        UnionType(variants=(INTEGER, STRING)),
        UnionType(variants=(STRING, INTEGER, FLOAT)),
        {"variant": 0, "value": "x"},
    ),
    (None, optional(INTEGER), UnionType(variants=(INTEGER, STRING, NONE)), {"variant": 2, "value": None}),
    (5, optional(INTEGER), UnionType(variants=(STRING, INTEGER, NONE)), {"variant": 1, "value": 5}),
    (
        {"a": 1, "more": 2},
        _struct(Field_(name="a", type=INTEGER), open_=True),
        _struct(Field_(name="a", type=FLOAT), Field_(name="b", type=STRING, required=False), open_=True),
        {"a": 1.0, "more": 2},
    ),
    ("Infinity", FLOAT, ANY, {"$float": "Infinity"}),
    (1.5, FLOAT, ANY, 1.5),
    (hex(2**60), INTEGER, ANY, {"$int": hex(2**60)}),
    (["2026-01-01"], ListType(element=_DATE), ANY, [{"$date": "2026-01-01"}]),
    ([1], TupleType(elements=(INTEGER,)), ANY, {"$tuple": [1]}),
    ([[1, "x"]], MapType(key=INTEGER, value=STRING), ANY, {"$map": [[1, "x"]]}),
    ({"$x": 1}, MapType(key=STRING, value=INTEGER), ANY, {"$map": [["$x", 1]]}),
    ({"a": None}, _struct(Field_(name="a", type=optional(INTEGER))), ANY, {"a": None}),
]


@pytest.mark.parametrize(("value", "written", "declared", "expected"), _ADAPTED)
def test_json_moves_from_one_type_to_another(value: Any, written: Any, declared: Any, expected: Any) -> None:
    done = adapt(value, written, declared)
    assert done == expected
    assert repr(done) == repr(expected)


def test_what_has_no_place_in_the_declared_type() -> None:
    refused: list[Callable[[], Any]] = [
        lambda: adapt("x", STRING, UnionType(variants=(INTEGER, FLOAT))),
        lambda: adapt(None, optional(INTEGER), INTEGER),
        lambda: adapt("x", STRING, INTEGER),
        lambda: adapt([1], ListType(element=INTEGER), MapType(key=STRING, value=INTEGER)),
    ]
    for attempt in refused:
        with pytest.raises(Misfit, match="expected"):
            attempt()


def test_none_for_what_may_not_be_none_is_noticed_when_it_is_read(
    engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(InvalidInputs, match="expected int, got none"):
        decode(Inline(value=None, type=optional(INTEGER)), INTEGER, int, context)
    assert json_of(Inline(value=1, type=INTEGER), FLOAT, context) == 1.0
