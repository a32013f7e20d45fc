# ruff: noqa: UP007, UP045, PYI061 - users write Union, Optional and Literal[None], so tests do
from __future__ import annotations

import collections
import enum
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import pytest
from pydantic import Field
from typing_extensions import TypeAliasType

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.wrappers import metadata, unwrapped
from flyte_temporal.spec.types import FLOAT, INTEGER, NONE, STRING, EnumType, TupleType, UnionType

from .conftest import Trip


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    CRIMSON = "red"  # noqa: PIE796 - an alias


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Tone(enum.StrEnum):
    DARK = enum.auto()


class Score(NamedTuple):
    name: str
    points: float | None = None


Loose = collections.namedtuple("Loose", ["a", "b"])  # noqa: PYI024 - the untyped one is the point
UserId = NewType("UserId", int)
T = TypeVar("T")
Numbers = TypeAliasType("Numbers", list[int])
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))

EXACT: list[tuple[Any, Any]] = [
    ([], list[int]),
    ({}, dict[str, int]),
    ({}, dict[int, str]),
    ([[1], []], list[list[int]]),
    ((1, 2), tuple[int, ...]),
    ((), tuple[()]),
    ((1, "a"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ([1], Sequence[int]),
    ({"a": 1}, Mapping[str, int]),
    ({"é\0": 1}, dict[str, int]),
    ({1: "a", -(2**70): "b"}, dict[int, str]),
    ({1.5: 1}, dict[float, int]),
    ({True: 1}, dict[bool, int]),
    ({(1, "a"): [1]}, dict[tuple[int, str], list[int]]),
    ({date(2026, 1, 1): None}, dict[date, int | None]),
    ({Color.RED: 1}, dict[Color, int]),
    (None, Optional[int]),
    (5, Optional[int]),
    ([None, "x"], list[str | None]),
    (None, int | None),
    ("1", Union[int, str]),
    (1, str | int | None),
    (None, str | int | None),
    ([1], Union[list[float], list[int]]),
    ([1.0], Union[list[int], list[float]]),
    ({"a": "b"}, Union[dict[str, int], dict[str, str]]),
    (Color.RED, Color),
    (Level.HIGH, Level),
    (Tone.DARK, Tone),
    (None, Optional[Color]),
    (Color.BLUE, Union[str, Color]),
    ("red", Union[Color, str]),
    ("a", Literal["a", 1, None]),
    (1, Literal["a", 1, None]),
    (None, Literal["a", 1, None]),
    (True, Literal[1, True]),
    (Color.RED, Literal[Color.RED, "x"]),
    (Score("a"), Score),
    (Score("a", 1.0), Score),
    ([Score("a", 1.0)], list[Score]),
    (Loose(1, {"x": (2,)}), Loose),
    (UserId(3), UserId),
    ([1], Numbers),
    ((1, 2), Pair[int]),
    (5, Annotated[int, "unit: m"]),
    ([5], list[Annotated[int, ["unhashable"]]]),
    ({"a": [1, (2, b"x"), None], "$float": 1}, dict),
    ({"$float": "NaN"}, dict),
    ({"$anything": 1}, dict),
    ({1: {2.5: "x"}, None: ()}, dict),
    ([float("inf"), 2**80, Decimal(1), datetime(2026, 1, 1, tzinfo=UTC)], list),
    ((1, [2]), tuple),
    ({"a": 1}, Any),
    (None, Any),
]


def _id(value: object) -> str:
    return str(value)[:40]


@pytest.mark.parametrize(("value", "python_type"), EXACT, ids=_id)
def test_survives_exactly(value: Any, python_type: Any, trip: Trip, engine: TypeEngine) -> None:
    for back in (trip(value, python_type), engine.coerce(value, python_type)):
        assert back == value
        assert type(back) is type(value)
        assert repr(back) == repr(value)


def test_plain_data_nests_64_deep(trip: Trip) -> None:
    def nested(levels: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(levels - 1):
            value = [value]
        return value

    assert trip(nested(64), list) == nested(64)
    with pytest.raises(TypeMismatch) as caught:
        trip(nested(65), list)
    assert caught.value.message.startswith("item [0][0]")
    assert caught.value.message.endswith(": nested deeper than 64 levels, or it contains itself")
    assert len(caught.value.message) < 200


def test_conversions_that_edges_allow(trip: Trip) -> None:
    assert trip((1, 2), list[int]) == [1, 2]
    assert trip((1, 2), list) == [1, 2]
    assert trip("blue", Color) is Color.BLUE
    assert trip(Color.BLUE, str) == "blue"
    assert type(trip(Tone.DARK, str)) is str
    assert trip(("a", None), Score) == Score("a")
    assert trip(1, Union[float, str]) == 1.0


def test_a_union_takes_the_exact_member_before_the_first_that_fits(
    engine: TypeEngine, context: ValueContext
) -> None:
    assert engine.to_json(1, Union[float, int], context) == {"variant": 1, "value": 1}
    assert engine.to_json(1, Union[float, str], context) == {"variant": 0, "value": 1.0}
    assert engine.to_json([], Union[list[str], list[int]], context) == {"variant": 0, "value": []}


def test_declared_order_is_kept_though_python_calls_the_unions_equal(engine: TypeEngine) -> None:
    assert Union[int, str] == Union[str, int]
    assert engine.literal_type(list[int | str]) != engine.literal_type(list[str | int])
    assert engine.literal_type(str | int) == UnionType(variants=(STRING, INTEGER))


def test_members_that_look_alike_in_the_spec_are_refused(engine: TypeEngine) -> None:
    with pytest.raises(UnsupportedType, match="cannot be told apart: two of them are int"):
        engine.literal_type(Union[int, UserId])


def test_a_tag_that_is_none_of_the_members(engine: TypeEngine, context: ValueContext) -> None:
    union = engine.literal_type(Union[int, str])
    for value in ({"variant": 5, "value": 1}, 1, {}, {"variant": -1, "value": ""}):
        with pytest.raises(InvalidInputs, match=r"int | str with its variant"):
            engine.to_python(value, union, Union[int, str], context)


def test_enums_keep_names_and_values(engine: TypeEngine) -> None:
    assert engine.literal_type(Color) == EnumType(name="Color", values=("red", "blue"), names=("RED", "BLUE"))
    assert engine.literal_type(Literal["a", 1]) == EnumType(values=("a", 1))


def test_enums_whose_values_are_no_json(engine: TypeEngine) -> None:
    class Odd(enum.Enum):
        A = (1, 2)

    class Empty(enum.Enum):
        pass

    with pytest.raises(
        UnsupportedType, match=r"Odd.A has the value tuple \(1, 2\); the values of an enum can be"
    ):
        engine.literal_type(Odd)
    with pytest.raises(UnsupportedType, match="The enum Empty has no members"):
        engine.literal_type(Empty)


def test_a_combination_of_flags_is_no_member(engine: TypeEngine, context: ValueContext) -> None:
    class Mode(enum.Flag):
        READ = 1
        WRITE = 2

    assert engine.to_json(Mode.WRITE, Mode, context) == 2
    with pytest.raises(Exception, match=r"expected Mode \(one of 1, 2\), got"):
        engine.to_json(Mode.READ | Mode.WRITE, Mode, context)


def test_named_tuples_keep_their_names(engine: TypeEngine) -> None:
    type_ = engine.literal_type(Score)
    assert isinstance(type_, TupleType)
    assert (type_.name, type_.names, type_.elements[1]) == (
        "Score",
        ("name", "points"),
        UnionType(variants=(FLOAT, NONE)),
    )


def test_constraints_of_annotated_are_checked_when_a_value_is_read(
    engine: TypeEngine, context: ValueContext
) -> None:
    port = Annotated[int, Field(gt=0, le=65535)]
    assert engine.to_python(80, INTEGER, port, context) == 80
    with pytest.raises(InvalidInputs, match=r"item \[1\]: 0 is refused: Input should be greater than 0"):
        engine.to_python([1, 0], engine.literal_type(list[port]), list[port], context)


def test_metadata_is_kept_beside_the_type() -> None:
    assert metadata(Annotated[int, "a", 1]) == ("a", 1)
    assert metadata(int) == ()
    assert unwrapped(Annotated[UserId, 1]) is int


def test_sets_are_written_in_one_order(engine: TypeEngine, context: ValueContext) -> None:
    assert engine.to_json({"b", "a", "c"}, set[str], context) == ["a", "b", "c"]
