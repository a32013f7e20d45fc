"""Values through two tasks and back: the smallest case, and a template for others."""

from flyte_temporal import task, workflow


@task
def double(x: int) -> int:
    return 2 * x


@task
def describe(x: int, words: dict[str, list[float]]) -> tuple[str, dict[str, list[float]]]:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return f"{x}!", words


@workflow
def wf(x: int, words: dict[str, list[float]] = {"a": [1.5]}) -> tuple[str, dict[str, list[float]]]:  # noqa: B006
    return describe(x=double(x=x), words=words)
