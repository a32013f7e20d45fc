"""Lists, sets, tuples, NamedTuples as values, dicts with any keys, nested; an output's parts as inputs of other nodes."""

import datetime as dt
from typing import Any, NamedTuple, Optional

from flyte_temporal import task, workflow


class Pair(NamedTuple):
    left: int
    right: list[str]


@task
def make(n: int) -> dict[int, tuple[str, Optional[float]]]:  # noqa: UP045 - users write it
    return {i: (str(i), i / 2 if i % 2 else None) for i in range(n)}


@task
def pairs(n: int) -> list[Pair]:
    return [Pair(i, ["x"] * i) for i in range(n)]


@task
def told(
    by: dict[int, tuple[str, float | None]],
    pair: Pair,
    days: dict[dt.date, set[int]],
    loose: dict[str, Any],
    several: tuple[int, ...],
) -> list[str]:
    assert all(type(key) is int for key in by)
    assert isinstance(pair, Pair)
    return [repr(by), repr(pair), repr(days), repr(sorted(loose.items())), repr(several)]


@workflow
def wf(
    n: int,
    days: dict[dt.date, set[int]] = {dt.date(2026, 1, 1): {3, 1}},  # noqa: B006
    loose: dict[str, Any] = {"a": [1, None, {"b": 2.5}]},  # noqa: B006
    several: tuple[int, ...] = (1, 2),
) -> tuple[list[str], str]:
    made = pairs(n=n)
    return told(by=make(n=n), pair=made[2], days=days, loose=loose, several=several), made[1].right[0]
