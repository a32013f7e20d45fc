"""numpy arrays: copied for each task, memory-mapped on demand, never pickled."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

from flyte_temporal import kwtypes, task, workflow


@task
def make(n: int) -> npt.NDArray[np.float64]:
    return np.arange(n, dtype=np.float64)


@task
def spoil(a: np.ndarray) -> float:
    a[:] = -1
    return float(a.sum())


@task
def mapped(a: Annotated[np.ndarray, kwtypes(mmap_mode="c")]) -> list[float]:
    return [float(x) for x in a]


@workflow
def wf(n: int) -> tuple[float, list[float]]:
    made = make(n=n)
    spoilt = spoil(a=made)
    return spoilt, mapped(a=made)


@task
def objects() -> np.ndarray:
    return np.array([{}])
