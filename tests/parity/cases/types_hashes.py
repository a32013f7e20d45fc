"""Hashes of the user's own and notes beside types: they change nothing in what a task gets."""

# mypy: disable-error-code="return-value"

from typing import Annotated

import pandas as pd

from flyte_temporal import BatchSize, FlyteAnnotation, HashMethod, kwtypes, task, workflow


def columns(frame: pd.DataFrame) -> str:
    return ",".join(frame.columns)


@task
def make(n: int) -> Annotated[pd.DataFrame, HashMethod(columns), kwtypes(a=int)]:
    return pd.DataFrame({"a": range(n), "b": range(n)})


@task
def several(n: int) -> list[Annotated[pd.DataFrame, HashMethod(columns)]]:
    return [pd.DataFrame({"a": [1]})] * n


@task
def total(
    frame: pd.DataFrame, frames: Annotated[list[pd.DataFrame], BatchSize(2), FlyteAnnotation({"of": "a"})]
) -> Annotated[int, HashMethod(str)]:
    return int(frame["a"].sum()) + len(frames)


@workflow
def wf(n: int) -> int:
    return total(frame=make(n=n), frames=several(n=n))


def wrong(value: int) -> str:
    return value  # no text


@task
def unhashed() -> Annotated[int, HashMethod(wrong)]:
    return 1
