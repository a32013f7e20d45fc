"""`conditional`: every operator and operand, nested, without else_, failing, with several outputs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from flyte_temporal import conditional, task, workflow


class Color(Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Box:
    size: int
    color: Color


class Pair(NamedTuple):
    left: int
    right: str


@task
def double(x: int) -> int:
    return 2 * x


@task
def half(x: int) -> float:
    return x / 2


@task
def even(x: int) -> bool:
    return x % 2 == 0


@task
def box(x: int) -> Box:
    return Box(x, Color.RED if x > 5 else Color.GREEN)


@task
def pair(x: int) -> Pair:
    return Pair(x, "a" * x)


@task
def note(x: int) -> None:
    print("noted", x)


@task
def maybe(x: int) -> int | None:
    return x if x > 0 else None


@workflow
def chain(x: int) -> float:
    doubled = double(x=x)
    return (
        conditional("size")
        .if_(doubled > 20)
        .then(double(x=doubled))
        .elif_((x == 3) | (x == 4))
        .then(half(x=x))
        .else_()
        .then(doubled)
    )


@workflow
def logic(x: int, flag: bool) -> str:
    is_even = even(x=x)
    return (
        conditional("logic")
        .if_(is_even & ~flag & (x != 0))
        .then("even and no flag")
        .elif_(is_even.is_true() & flag.is_true())
        .then("even and flag")
        .elif_((x >= 7) & (x <= 9) | (x < -1))
        .then("odd and far")
        .else_()
        .then("odd or zero")
    )


@workflow
def nested(x: int) -> int:
    return (
        conditional("outer")
        .if_(x > 10)
        .then(
            conditional("inner")
            .if_(even(x=x).is_true())
            .then(double(x=double(x=x)))
            .else_()
            .fail("odd and large")
        )
        .else_()
        .then(double(x=x))
    )


@workflow
def without_else(x: int) -> int | None:
    return conditional("only").if_(x > 0).then(double(x=x))


@task
def or_zero(x: int | None) -> int:
    return x or 0


@workflow
def after_skipped(x: int) -> int:
    return or_zero(x=conditional("only").if_(x > 0).then(double(x=x)))


@workflow
def failing(x: int) -> int:
    return conditional("check").if_(x < 0).fail("x is negative").else_().then(double(x=x))


@workflow
def parts(x: int) -> str:
    made = box(x=x)
    return (
        conditional("color")
        .if_((made.color == Color.RED) & (made.size < 8))
        .then("red and small")
        .elif_(made.color == Color.RED)
        .then("red")
        .else_()
        .then("green")
    )


@workflow
def nones(x: int) -> str:
    found = maybe(x=x)
    return conditional("none?").if_(found.is_none()).then("none").else_().then("some")


@workflow
def several(x: int) -> tuple[int, str]:
    return conditional("several").if_(x > 2).then(pair(x=x)).else_().then(pair(x=1))


@workflow
def nothing(x: int) -> int:
    done = conditional("quiet").if_(x > 2).then(note(x=x)).else_().then(note(x=0))
    last = double(x=x)
    done >> last
    return last


@workflow
def times(at: datetime, wait: timedelta) -> str:
    late = at > datetime(2026, 1, 1)  # noqa: DTZ001 - a naive one is taken as UTC
    return (
        conditional("late")
        .if_(late & (wait <= timedelta(minutes=1)))
        .then("late and short")
        .else_()
        .then("no")
    )


@workflow
def unused(x: int) -> int:
    conditional("only for its effect").if_(x > 2).then(note(x=x))
    return double(x=x)


@workflow
def renamed(x: int) -> int:
    result = conditional("size").if_(x > 2).then(double(x=x)).else_().then(x)
    return result.with_overrides(node_name="choice")


@workflow
def small(x: int) -> int:
    return conditional("small").if_(x < 3).then(double(x=x)).else_().then(chain_int(x=x))


@workflow
def chain_int(x: int) -> int:
    return double(x=double(x=x))
