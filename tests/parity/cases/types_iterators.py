"""Iterators: a generator task, and one that reads element by element; small and by reference."""

# mypy: disable-error-code="arg-type"

from collections.abc import Iterator
from dataclasses import dataclass

from flyte_temporal import JSON, task, workflow


@dataclass
class Line:
    n: int
    text: str


@task
def lines(n: int) -> Iterator[Line]:
    for i in range(n):
        yield Line(i, "x" * 100)


@task
def long(lines: Iterator[Line], at_least: int) -> int:
    found = 0
    for line in lines:
        if line.n >= at_least:
            break  # the rest is never read
        found += len(line.text)
    return found


@task
def count(lines: list[Line]) -> int:
    return len(lines)


@task
def records(n: int) -> Iterator[JSON]:
    yield {"id": 0}
    yield from [[i, None] for i in range(1, n)]


@task
def first(items: Iterator[JSON]) -> str:
    return repr(next(items))


@workflow
def wf(n: int) -> tuple[int, int, str]:
    made = lines(n=n)
    return long(lines=made, at_least=5), count(lines=made), first(items=records(n=n))


@task
def total(numbers: Iterator[float]) -> float:
    return sum(numbers)
