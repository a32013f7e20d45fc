"""Classes that nothing knows: pickled, with a warning, and opened by tasks alone."""

# mypy: disable-error-code="arg-type, no-untyped-def, return-value"

from typing import Optional

from flyte_temporal import FlytePickle, task, workflow


class Graph:
    def __init__(self, edges: list[tuple[int, int]]) -> None:
        self.edges = edges


@task
def make(n: int) -> Graph:
    return Graph([(i, i + 1) for i in range(n)])


@task
def spoil(graph: FlytePickle[Graph]) -> int:
    graph.edges.clear()
    return len(graph.edges)


@task
def count(graph: Optional[Graph], several: list[Graph]) -> int:  # noqa: UP045 - users write it
    return (len(graph.edges) if graph else 0) + len(several)


@task(pickle_untyped=True)
def untyped(graph):
    return [*graph.edges, {1: graph.edges[0]}]


@task(pickle_untyped=True)
def last(items) -> str:
    return repr(items[-1])


@workflow
def wf(n: int) -> tuple[int, int, str]:
    graph = make(n=n)
    return spoil(graph=graph), count(graph=graph, several=[graph, graph]), last(items=untyped(graph=graph))


@task
def nothing() -> Graph:
    return None
