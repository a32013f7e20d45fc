"""Tasks that do next to nothing, under the names that `flyte_temporal.testing.closures` uses."""

from flyte_temporal import task


@task
def step(x: int) -> int:
    return x + 1


@task
def join(x: int, y: int) -> int:
    return x + y + 1


@task
def total(values: list[int]) -> int:
    return sum(values)
