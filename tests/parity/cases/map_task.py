"""`map_task` over a task, a partial and a workflow; several lists, tolerance, empty lists, nested inside others."""

from functools import partial
from typing import NamedTuple

from flyte_temporal import map_task, task, workflow


class Parts(NamedTuple):
    whole: int
    rest: str


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def scale(x: int, factor: int = 10) -> int:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x * factor


@task
def parts(x: int, text: str) -> Parts:
    return Parts(x, text * x)


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def total_known(xs: list[int | None]) -> int:
    return sum(x for x in xs if x is not None)


@task
def say(x: int) -> None:
    print("said", x)


@workflow
def twice(x: int, y: int) -> int:
    return scale(x=scale(x=x, factor=2), factor=y)


@workflow
def over_a_task(n: int) -> int:
    return total(xs=map_task(scale)(x=numbers(n=n)))


@workflow
def over_a_partial(n: int, factor: int) -> list[int]:
    return map_task(partial(scale, factor=factor), concurrency=2)(x=numbers(n=n))


@workflow
def over_a_workflow(xs: list[int], ys: list[int]) -> list[int]:
    return map_task(twice)(x=xs, y=ys)


@workflow
def several_outputs(words: list[str]) -> tuple[list[int], list[str]]:
    return map_task(parts)(x=[1, 2, 3], text=words)


@workflow
def some_may_fail(xs: list[int]) -> tuple[list[int | None], int]:
    found = map_task(scale, min_success_ratio=0.5)(x=xs)
    return found, total_known(xs=found)


@workflow
def two_must_succeed(xs: list[int]) -> list[int | None]:
    return map_task(scale, min_successes=2)(x=xs)


@workflow
def all_must_succeed(xs: list[int]) -> list[int]:
    return map_task(scale)(x=xs)


@workflow
def no_outputs(xs: list[int]) -> int:
    said = map_task(say)(x=xs)
    last = total(xs=xs)
    said >> last
    return last


@workflow
def of_promises(n: int) -> list[int]:
    return map_task(scale)(x=[scale(x=n), n, 3])


@workflow
def one_row(xs: list[int]) -> int:
    return total(xs=map_task(scale)(x=xs))


@workflow
def in_a_map(rows: list[list[int]]) -> list[int]:
    return map_task(one_row)(xs=rows)
