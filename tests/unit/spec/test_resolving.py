"""What a node gets from its bindings."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pydantic import JsonValue

from flyte_temporal.spec.bindings import Constant, InputRef, ListOf, MapEntry, MapOf, OutputRef
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue, Offloaded
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.spec.resolving import resolve
from flyte_temporal.spec.types import (
    INTEGER,
    STRING,
    Field_,
    ListType,
    LiteralType,
    MapType,
    StructType,
    TupleType,
    optional,
)


@dataclass
class Given:
    """Sources with one input `x` and one output `n0.o0`."""

    value: LiteralValue
    type: LiteralType = field(default_factory=lambda: INTEGER)

    def input(self, name: str) -> LiteralValue:
        return self.value

    def output(self, node: str, name: str) -> LiteralValue:
        return self.value

    def input_type(self, name: str) -> LiteralType:
        return self.type

    def output_type(self, node: str, name: str) -> LiteralType:
        return self.type


PERSON = StructType(name="P", fields=(Field_(name="tags", type=ListType(element=STRING)),))


def test_a_constant_is_itself() -> None:
    assert resolve(Constant(value=[1]), Given(Inline(value=0))) == Inline(value=[1])


def test_a_reference_passes_the_literal_on_untouched() -> None:
    big = Offloaded(key="k", sha256="s", size=9, hash="h")
    assert resolve(OutputRef(node="n0", name="o0"), Given(big)) == big


def test_the_written_type_travels_when_it_is_not_the_targets() -> None:
    got = resolve(InputRef(name="x", type=INTEGER), Given(Inline(value=3)))
    assert got == Inline(value=3, type=INTEGER)
    earlier = Inline(value=3, type=INTEGER)
    assert resolve(InputRef(name="x", type=optional(INTEGER)), Given(earlier)) == earlier


@pytest.mark.parametrize(
    ("value", "type_", "path", "expected"),
    [
        ({"tags": ["a", "b"]}, PERSON, ("tags", 1), "b"),
        (
            [1, [2, 3]],
            TupleType(elements=(INTEGER, ListType(element=INTEGER)), names=("a", "b")),
            ("b", -1),
            3,
        ),
        ({"k": 1}, MapType(key=STRING, value=INTEGER), ("k",), 1),
        ([[7, "x"], [8, "y"]], MapType(key=INTEGER, value=STRING), (8,), "y"),
        ({"tags": ["a"]}, optional(PERSON), ("tags", 0), "a"),
    ],
)
def test_paths_lead_into_values(
    value: JsonValue, type_: LiteralType, path: tuple[str | int, ...], expected: JsonValue
) -> None:
    assert resolve(InputRef(name="x", path=path), Given(Inline(value=value), type_)) == Inline(value=expected)


@pytest.mark.parametrize(
    ("value", "type_", "path", "words"),
    [
        ({"tags": []}, PERSON, ("tags", 0), "it has 0 elements"),
        ({"k": 1}, MapType(key=STRING, value=INTEGER), ("z",), "its keys are 'k'"),
        (None, optional(PERSON), ("tags",), "it is None"),
        ([[7, "x"]], MapType(key=INTEGER, value=STRING), (8,), "it has 1 elements"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(
    value: JsonValue, type_: LiteralType, path: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(MissingAttribute, match=words):
        resolve(InputRef(name="x", path=path), Given(Inline(value=value), type_))


def test_a_path_into_a_value_by_reference_is_left_to_the_reader() -> None:
    big = Offloaded(key="k", sha256="s", size=9, count=3)
    got = resolve(InputRef(name="x", path=("tags", 0)), Given(big, PERSON))
    assert got == Offloaded(key="k", sha256="s", size=9, path=("tags", 0), whole=PERSON)


def test_lists_and_maps_of_references_are_put_together_unread() -> None:
    one = Inline(value=1)
    refs = (OutputRef(node="n0", name="o0"), Constant(value=5))
    assert resolve(ListOf(items=refs), Given(one)) == Composite(items=(one, Inline(value=5)))
    entries = MapOf(entries=(MapEntry(key="a", value=refs[0]),))
    assert resolve(entries, Given(one)) == Composite(items=(one,), keys=("a",))


def test_paths_lead_into_composites() -> None:
    made = Composite(items=(Inline(value={"tags": ["q"]}), Inline(value={"tags": []})), keys=("a", "b"))
    type_ = MapType(key=STRING, value=PERSON)
    assert resolve(InputRef(name="x", path=("a", "tags", 0)), Given(made, type_)) == Inline(value="q")
    with pytest.raises(MissingAttribute):
        resolve(InputRef(name="x", path=("c",)), Given(made, type_))
