"""Enums with text, numbers and both, optional ones, Literal; an Optional input without a default value of its own."""

# mypy: disable-error-code="arg-type"
# ruff: noqa: PYI061 - users write it

import enum
from typing import Literal, Optional

from flyte_temporal import task, workflow


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Mixed(enum.Enum):
    TEXT = "1"
    NUMBER = 1


@task
def told(
    color: Color, level: Level, mixed: list[Mixed], mode: Literal["fast", 2, None], maybe: Color | None
) -> tuple[list[str], Color]:
    return [
        color.name,
        repr(level),
        repr([m.name for m in mixed]),
        repr(mode),
        repr(maybe and maybe.name),
    ], color


@task
def as_text(color: str) -> str:
    return color


@workflow
def wf(
    color: Color = Color.RED,
    level: Level = Level.HIGH,
    mixed: list[Mixed] = [Mixed.TEXT, Mixed.NUMBER],  # noqa: B006
    mode: Literal["fast", 2, None] = 2,
    maybe: Optional[Color] = None,  # noqa: UP045 - users write it
) -> tuple[list[str], Color, str]:
    o = told(color=color, level=level, mixed=mixed, mode=mode, maybe=maybe)
    return o[0], o[1], as_text(color=o[1])
