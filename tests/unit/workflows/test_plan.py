"""The planner: ready nodes, cycles, cost."""

from __future__ import annotations

import pytest

from flyte_temporal.errors import CompileError
from flyte_temporal.spec.bindings import InputRef
from flyte_temporal.testing import closures
from flyte_temporal.workflows.plan import Graph, Progress


def test_nodes_become_ready_when_all_they_wait_for_has_ended() -> None:
    nodes = [
        closures.step("a", 1),
        closures.step("b", 1),
        closures.step("c", closures.out("a"), "b"),
        closures.step("d", closures.out("c"), "c", "a"),
    ]
    progress = Progress(Graph(nodes))
    assert progress.first() == ["a", "b"]
    assert progress.finish("b") == []
    assert progress.finish("a") == ["c"]
    assert progress.finish("c") == ["d"]


def test_two_scopes_of_one_graph_progress_apart() -> None:
    graph = Graph([closures.step("a", 1), closures.step("b", closures.out("a"))])
    first, second = Progress(graph), Progress(graph)
    assert first.finish("a") == ["b"]
    assert second.left == {"a": 0, "b": 1}


def test_a_cycle_is_refused_with_its_nodes() -> None:
    nodes = [
        closures.step("a", 1),
        closures.step("b", closures.out("c")),
        closures.step("c", closures.out("b")),
    ]
    with pytest.raises(CompileError, match="these nodes wait for each other: b, c"):
        Graph(nodes)


def test_doubled_ids_and_missing_sources_are_refused() -> None:
    with pytest.raises(CompileError, match="same id"):
        Graph([closures.step("a", 1), closures.step("a", 2)])
    with pytest.raises(CompileError, match="node a waits for z, which does not exist"):
        Graph([closures.step("a", 1, "z")])


def test_finishing_a_node_touches_only_its_edges() -> None:
    """Count the nodes looked at: it must not grow with the DAG."""
    looked: list[str] = []

    class Counted(dict[str, int]):
        def __setitem__(self, key: str, value: int) -> None:
            looked.append(key)
            super().__setitem__(key, value)

    nodes = [closures.step(f"n{i}", InputRef(name="x")) for i in range(1000)]
    nodes += [closures.step("last", closures.out("n7"))]
    progress = Progress(Graph(nodes))
    progress.left = Counted(progress.left)
    assert progress.finish("n7") == ["last"]
    assert looked == ["last"]
