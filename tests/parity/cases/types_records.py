"""Records of every kind: dataclass, pydantic model, TypedDict, attrs, generic ones, nested in each other."""

# ruff: noqa: B008 - users write it

from dataclasses import dataclass, field
from typing import Annotated, Generic, NotRequired, TypedDict, TypeVar

import attrs
import pydantic

from flyte_temporal import FlyteAnnotation, task, workflow

T = TypeVar("T")


@dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list)


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    at: Point


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@attrs.frozen
class Cell:
    model: Model
    movie: Movie
    size: int = attrs.field(default=1, validator=attrs.validators.gt(0))


@dataclass
class Box(Generic[T]):
    content: T


@task
def make(x: int) -> Cell:
    return Cell(Model(name="m", at=Point(x)), {"title": "t"})


@task
def told(cell: Cell, box: Box[list[Point]], movie: Movie) -> list[str]:
    return [repr(cell.model), repr(cell.movie), str(cell.size), repr(box), repr(movie)]


@task
def wider(point: Point, movie: Movie) -> tuple[Box[list[Point]], Movie]:
    return Box([point, Point(9, tags=["a"])]), {**movie, "year": 1999}


@workflow
def wf(
    x: Annotated[int, FlyteAnnotation({"unit": "m"})], point: Point = Point(1)
) -> tuple[list[str], Cell, str]:
    cell = make(x=x)
    box, movie = wider(point=cell.model.at, movie=cell.movie)
    return told(cell=cell, box=box, movie=movie), cell, movie["title"]


@task
def check(model: Model, movie: Movie) -> str:
    return model.name + movie["title"]
