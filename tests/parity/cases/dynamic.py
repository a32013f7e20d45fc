"""`@dynamic`: loops and decisions over real values, data, recursion, and other structures inside."""

import pandas as pd

from flyte_temporal import conditional, dynamic, map_task, task, workflow


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def fails(a: int) -> int:
    raise ValueError(f"no {a}")


@task
def rows(table: pd.DataFrame, numbers: list[int]) -> int:
    return len(table) + len(numbers)


@task
def merge(a: list[int], b: list[int]) -> list[int]:
    return sorted(a + b)


@dynamic
def sum_up(n: int) -> tuple[int, int]:
    result = 0
    for i in range(n):
        result = add(a=result, b=i)
    return result, n


@dynamic
def sort(xs: list[int]) -> list[int]:
    if len(xs) <= 1:
        return xs
    half = len(xs) // 2
    return merge(a=sort(xs=xs[:half]), b=sort(xs=xs[half:]))


@dynamic
def with_data(n: int) -> list[int]:
    table = pd.DataFrame({"a": range(n)})
    return [rows(table=table, numbers=list(range(20_000))), n]


@dynamic
def inner_fails(n: int) -> int:
    return fails(a=n)


@dynamic
def raises(n: int) -> int:
    raise KeyError(f"mine {n}")


@dynamic
def wrong(n: int) -> int:
    return merge(a=add(a=n, b=n), b=[])  # type: ignore[return-value,arg-type] # refused when it runs


@dynamic
def wide(n: int) -> list[int]:
    return [add(a=i, b=1) for i in range(n)]


@dynamic
def structures(xs: list[int]) -> int:
    doubled = map_task(add)(a=xs, b=xs)
    first = doubled[0]
    return conditional("large?").if_(first > 10).then(add(a=first, b=0)).else_().then(sum_small(a=first))


@workflow
def sum_small(a: int) -> int:
    return add(a=a, b=100)


@workflow
def wf(n: int) -> tuple[int, int, list[int]]:
    result, count = sum_up(n=n)
    return add(a=result, b=1), count, sort(xs=[3, n, 1])


@workflow
def over_dynamics(ns: list[int]) -> list[int]:
    return map_task(structures_of)(n=ns)


@dynamic
def structures_of(n: int) -> int:
    return add(a=n, b=n) if n > 1 else n
