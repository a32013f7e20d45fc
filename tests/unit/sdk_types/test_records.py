# ruff: noqa: UP007, UP045 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import dataclasses
import math
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Optional, TypeVar, Union

import pydantic
import pydantic.dataclasses
import pytest
from pydantic import BaseModel, ConfigDict, RootModel, field_validator

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.spec.paths import value_at
from flyte_temporal.spec.types import ANY, STRING, StructType

from .conftest import Trip

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    x: int
    y: float | None = None
    tags: list[str] = field(default_factory=list)
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x * 2)


@dataclass(slots=True, kw_only=True)
class Everything:
    not_a_number: float = math.nan
    raw: bytes = b"\0\xff"
    when: datetime = datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)
    huge: int = 10**30
    price: Decimal = Decimal("1.10")
    either: int | str | None = "x"
    by_number: dict[int, tuple[int, str]] = field(default_factory=lambda: {1: (2, "b")})
    points: list[Point] = field(default_factory=lambda: [Point(1, 2.0, ["a"])])
    loose: dict = field(default_factory=lambda: {"a": (1, math.inf)})  # type: ignore[type-arg]


@dataclass
class Box(Generic[T]):
    content: T
    label: str = ""


@dataclass
class IntBox(Box[int]):
    extra: bool = False


@dataclass
class Tree:
    children: list[Tree]


@dataclass
class WithInitVar:
    a: InitVar[int]
    b: int = 0


@dataclass(init=False)
class OwnInit:
    a: int
    b: str

    def __init__(self, both: str) -> None:
        self.a, self.b = len(both), both


@dataclass
class Limited:
    rate: Annotated[float, pydantic.Field(gt=0)]


@dataclass
class Derived(Limited):
    more: int = 0


class Item(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str = pydantic.Field(alias="itemName", min_length=1)
    price: float = math.inf
    raw: bytes = b"\0\xff"
    point: Point = Point(1)
    options: dict[int, int | str] = {1: "a"}
    hidden: str = pydantic.Field(default="h", exclude=True)


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    rate: float = pydantic.Field(alias="learningRate")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Names(RootModel[list[str]]):
    pass


class Wrapper(BaseModel, Generic[T]):
    content: T


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("must be even")
        return n


@pydantic.dataclasses.dataclass
class Checked:
    n: pydantic.PositiveInt
    twice: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.twice = self.n * 2


@pytest.mark.parametrize(
    ("value", "python_type"),
    [
        (Point(1), Point),
        (Point(2, 1.5, ["a", "é"]), Point),
        (Box(3), Box[int]),
        (Box([Point(1)]), Box[list[Point]]),
        (IntBox(3, "l", extra=True), IntBox),
        (OwnInit("abc"), OwnInit),
        (Limited(0.5), Limited),
        (Item(itemName="a", price=2), Item),
        (Aliased(learningRate=0.5), Aliased),
        (Open(a=1, b=[1, (2,)], c=math.inf), Open),
        (Names(["a"]), Names),
        (Wrapper[int](content=3), Wrapper[int]),
        (Checked(3), Checked),
        ([Item(itemName="a")], list[Item]),
        ({"k": Point(1)}, dict[str, Point]),
        (None, Optional[Point]),
        (Point(1), Union[Item, Point]),
    ],
    ids=lambda v: str(v)[:40],
)
def test_survives_exactly(value: Any, python_type: Any, trip: Trip, engine: TypeEngine) -> None:
    for back in (trip(value, python_type), engine.coerce(value, python_type)):
        assert back == value
        assert type(back) is type(value)
        assert repr(back) == repr(value)


def test_every_field_survives_exactly(trip: Trip) -> None:
    value = Everything()
    back = trip(value, Everything)
    assert math.isnan(back.not_a_number)
    assert dataclasses.replace(back, not_a_number=0.0) == dataclasses.replace(value, not_a_number=0.0)


def test_fields_follow_the_table_so_that_paths_can_walk_them(
    engine: TypeEngine, context: ValueContext
) -> None:
    type_ = engine.literal_type(Everything)
    written = engine.to_json(Everything(), Everything, context)
    assert value_at(written, type_, ("raw",)) == "AP8="
    assert value_at(written, type_, ("by_number", 1, 1)) == "b"
    assert value_at(written, type_, ("points", 0, "y")) == 2.0
    assert value_at(written, type_, ("not_a_number",)) == "NaN"


def test_a_field_set_later_keeps_its_value(trip: Trip) -> None:
    point = Point(1)
    object.__setattr__(point, "total", 99)
    assert trip(point, Point).total == 99


def test_missing_fields_take_their_defaults(engine: TypeEngine, context: ValueContext) -> None:
    type_ = engine.literal_type(Point)
    assert engine.to_python({"x": 1, "y": 2.0}, type_, Point, context) == Point(1, 2.0)
    with pytest.raises(InvalidInputs, match="Point lacks the field 'x'"):
        engine.to_python({}, type_, Point, context)
    with pytest.raises(InvalidInputs, match="Point has no field 'z'; it has: x, y, tags, total"):
        engine.to_python({"x": 1, "z": 2}, type_, Point, context)


def test_required_and_open_stand_in_the_type(engine: TypeEngine) -> None:
    point, open_ = engine.literal_type(Point), engine.literal_type(Open)
    assert isinstance(point, StructType)
    assert isinstance(open_, StructType)
    assert [(f.name, f.required) for f in point.fields] == [
        ("x", True),
        ("y", False),
        ("tags", False),
        ("total", False),
    ]
    assert (point.open, open_.open) == (False, True)


def test_keys_are_what_the_model_writes(engine: TypeEngine, context: ValueContext) -> None:
    assert "name" in engine.to_json(Item(itemName="a"), Item, context)
    assert engine.to_json(Aliased(learningRate=0.5), Aliased, context) == {"learningRate": 0.5}


def test_excluded_fields_are_not_written(engine: TypeEngine, context: ValueContext) -> None:
    assert "hidden" not in engine.to_json(Item(itemName="a", hidden="secret"), Item, context)

    class Bad(BaseModel):
        a: int = pydantic.Field(exclude=True)

    with pytest.raises(UnsupportedType, match=r"Bad.a is required but excluded"):
        engine.literal_type(Bad)


def test_pydantic_validates_what_is_read(engine: TypeEngine, context: ValueContext) -> None:
    for python_type, value, message in [
        (Even, {"n": 3}, "Even refused its fields: n: Value error, must be even"),
        (
            Item,
            {"name": ""},
            "Item refused its fields: (name|itemName): String should have at least 1 character",
        ),
        (Checked, {"n": 0}, "Checked refused its fields: n: Input should be greater than 0"),
        (Limited, {"rate": 0}, r"field .rate: 0.0 is refused: Input should be greater than 0"),
    ]:
        with pytest.raises(InvalidInputs, match=message):
            engine.to_python(value, engine.literal_type(python_type), python_type, context)


def test_an_error_of_the_class_itself_is_reported(engine: TypeEngine, context: ValueContext) -> None:
    @dataclass
    class Picky:
        n: int

        def __post_init__(self) -> None:
            raise ValueError("never good enough")

    type_ = engine.literal_type(Picky)
    with pytest.raises(InvalidInputs, match="Picky refused its fields: never good enough") as caught:
        engine.to_python({"n": 1}, type_, Picky, context)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_dict_may_be_given_for_a_record(trip: Trip) -> None:
    assert trip({"x": 1, "y": 2}, Point) == Point(1, 2.0)
    assert trip({"itemName": "a"}, Item) == Item(itemName="a")
    assert trip([{"x": 1}], list[Point]) == [Point(1)]


def test_a_subclass_is_refused_because_its_own_fields_would_be_lost(
    engine: TypeEngine, context: ValueContext
) -> None:
    with pytest.raises(TypeMismatch, match=r"expected Limited, got Derived .*a subclass whose own fields"):
        engine.to_json(Derived(1.0, 2), Limited, context)


def test_types_that_contain_themselves_are_refused(engine: TypeEngine) -> None:
    with pytest.raises(UnsupportedType, match=r"Tree.children: list\[.*Tree\]|Tree contains itself"):
        engine.literal_type(Tree)
    # and the attempt leaves nothing behind
    assert engine.literal_type(list[str]) is not None


def test_what_cannot_be_made_again_is_refused(engine: TypeEngine) -> None:
    with pytest.raises(UnsupportedType, match=r"WithInitVar.a is an InitVar"):
        engine.literal_type(WithInitVar)

    @dataclass
    class Unknown:
        a: object

    with pytest.raises(UnsupportedType, match=r"Unknown.a: No type transformer for object"):
        engine.literal_type(Unknown)


def test_additional_keys_are_plain_data(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(TypeMismatch, match=r"field .b: expected plain data"):
        engine.to_json(Open(a=1, b=object()), Open, context)


def test_a_generic_without_arguments_is_refused(engine: TypeEngine) -> None:
    with pytest.raises(UnsupportedType, match=r"Box.content: No type transformer for ~T"):
        engine.literal_type(Box)


def test_any_inside_of_records(engine: TypeEngine) -> None:
    type_ = engine.literal_type(Everything)
    assert isinstance(type_, StructType)
    assert {f.name: f.type for f in type_.fields}["loose"] == ANY
    assert engine.literal_type(dict[str, Any]) != engine.literal_type(dict[str, str])
    assert STRING != ANY
