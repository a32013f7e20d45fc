"""Only type-checked, never run: files and directories with a format; see `authoring` for how to read the ignores.

To a type checker a quoted text in brackets is a name that is defined later, so `FlyteFile["csv"]` needs the two ignores; it
is then a `FlyteFile` of any format. `FlyteFile[csv]` with `csv = TypeVar("csv")`, as in flytekit, needs none, and is of any
format to a type checker too: formats are compared when the workflow is compiled, and not before.
"""

# ruff: noqa: F821, PTH123 - formats in quotes, and `open` on a path-like object, are what is tested

import os
from typing import TypeVar, assert_type

from flyte_temporal import FlyteDirectory, FlyteFile, task

tsv = TypeVar("tsv")


@task
def written(n: int) -> FlyteFile["csv"]:  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable]
    return FlyteFile(f"{n}.csv")


@task
def counted(file: FlyteFile["csv"]) -> int:  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable]
    with file.open("r") as lines, open(file, encoding="utf-8") as same:
        return len(list(lines)) + len(list(same))


@task
def listed(folder: FlyteDirectory["csv"]) -> list[str]:  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable]
    return [os.fspath(each) for each in FlyteDirectory.listdir(folder)]


@task
def zipped(file: FlyteFile[tsv]) -> FlyteFile[tsv]:
    return file


assert_type(counted(file=FlyteFile("a.csv")), int)
zipped(file=FlyteFile("a.tsv"))
zipped(file=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(counted(file=written(n=1)), int)
counted(file="a.csv")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
counted(file=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
FlyteFile(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
