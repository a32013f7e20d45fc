"""`with_overrides`: what a node sets anew, on tasks, sub-workflows and maps."""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from flyte_temporal import Resources, create_node, map_task, task, workflow


class Found(NamedTuple):
    total: int
    word: str


@task
def folder() -> str:
    return tempfile.mkdtemp()


@task
def flaky(folder: str, name: str = "tries", fails: int = 2) -> int:
    """Fail a number of times, counted in a file, and return which attempt this is."""
    tries = Path(folder) / name
    with tries.open("a", encoding="utf-8") as file:
        file.write("x")
    count = len(tries.read_text(encoding="utf-8"))
    if count <= fails:
        raise ValueError(f"attempt {count} of {name} fails")
    return count


@task(environment={"COLOUR": "red", "SIZE": "1"})
def colour() -> str:
    return f"{os.environ.get('COLOUR', '-')} {os.environ.get('SIZE', '-')}"


@task(cache=True, cache_version="1")
def counted(folder: str) -> int:
    tempfile.mkdtemp(dir=folder)
    return len(list(Path(folder).iterdir()))


@task
def pair(n: int) -> Found:
    return Found(n, "x" * n)


@task
def coloured(n: int) -> str:
    return f"{n} {os.environ.get('COLOUR', '-')}"


@workflow
def named(n: int) -> Found:
    first = pair(n=n).with_overrides(
        node_name="first-pair",
        name="the first",
        aliases={"total": "sum"},
        resources=Resources(cpu="1", mem="1Gi"),
    )
    return pair(n=first.total).with_overrides(
        node_name="second", timeout=60, interruptible=True, labels={"a": "b"}
    )


@workflow
def without_retries() -> int:
    return flaky(folder=folder())


@workflow
def with_retries() -> int:
    return flaky(folder=folder()).with_overrides(retries=2)


@workflow
def items_with_retries() -> list[int]:
    each = map_task(flaky)(folder=[folder()], name=["a"], fails=[1])
    return each.with_overrides(retries=1, node_name="all")


@workflow
def painted() -> tuple[str, str, list[str]]:
    """The environment is replaced as a whole, and each node has its own."""
    blue = colour().with_overrides(environment={"COLOUR": "blue"})
    many = map_task(coloured)(n=[1, 2]).with_overrides(environment={"COLOUR": "green"})
    return blue, colour(), many


@workflow
def not_cached() -> tuple[int, int]:
    at = folder()
    first = counted(folder=at).with_overrides(cache=False)
    second = counted(folder=at).with_overrides(cache=False)
    first >> second
    return first, second


@workflow
def inner(n: int) -> int:
    return pair(n=n).with_overrides(node_name="deep").total


@workflow
def outer(n: int) -> int:
    return create_node(inner, n=n).with_overrides(node_name="middle", name="the middle").o0  # type: ignore[return-value]


@workflow
def of_a_workflow(n: int) -> int:
    return create_node(inner, n=n).with_overrides(retries=1).o0  # type: ignore[return-value]


@workflow
def of_a_promise(n: int) -> Found:
    return pair(n=n).with_overrides(retries=n)
