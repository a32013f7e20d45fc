"""Unions: the member of exactly the value's type, then the first declared one that takes it."""

# ruff: noqa: PYI041 - users write it

from dataclasses import dataclass
from typing import Union

from flyte_temporal import task, workflow


@dataclass
class Circle:
    r: float


@dataclass
class Square:
    a: float


Shape = Union[Circle, Square]  # noqa: UP007 - users write it


@task
def told(x: int | float | str | list[int] | list[float] | Circle | Square) -> str:
    return repr(x)


@task
def make(kind: str) -> Shape:
    return Circle(1.5) if kind == "circle" else Square(2)


@task
def each(shapes: list[Shape | None]) -> list[str]:
    return [repr(shape) for shape in shapes]


@workflow
def wf(x: int | float | str | list[int] | list[float] | Circle | Square) -> tuple[str, str, list[str], Shape]:
    square = make(kind="square")
    return told(x=x), told(x=square), each(shapes=[square, make(kind="circle"), None]), square
