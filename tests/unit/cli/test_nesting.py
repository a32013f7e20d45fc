"""Nodes become a tree by their paths, and the rows that matter are kept when there are too many."""

from __future__ import annotations

from flyte_temporal.cli.nesting import rows, shown
from flyte_temporal.control.nesting import parent
from flyte_temporal.spec.execution import NodePhase, NodeRecord


def node(path: str, order: int = 0, phase: NodePhase = NodePhase.RUNNING) -> NodeRecord:
    return NodeRecord(id=path, name=path, kind="task", phase=phase, order=order)


def test_children_stand_below_the_node_that_holds_them() -> None:
    given = [node("n1", 1), node("n1.n0", 3), node("n0", 0), node("n1.n0[2].n5", 4), node("n2", 2)]
    assert [(row.depth, row.node.id) for row in rows(given)] == [
        (0, "n0"),
        (0, "n1"),
        (1, "n1.n0"),
        (2, "n1.n0[2].n5"),
        (0, "n2"),
    ]


def test_parents() -> None:
    assert [parent(path) for path in ("n0", "n0.n1", "n0.n1[3]", "n0[3].n1")] == ["", "n0", "n0.n1", "n0[3]"]


def test_deep_nesting_needs_no_recursion() -> None:
    paths = [".".join(["n0"] * depth) for depth in range(1, 60)]
    assert [row.depth for row in rows([node(path) for path in paths])] == list(range(59))


def test_what_failed_or_runs_is_kept_and_the_rest_is_counted() -> None:
    many = [node(f"n{i}", i, NodePhase.SUCCEEDED) for i in range(50)]
    many += [node("bad", 50, NodePhase.FAILED), node("busy", 51, NodePhase.RUNNING)]
    many += [node(f"q{i}", 60 + i, NodePhase.QUEUED) for i in range(10)]
    kept, left_out = shown(rows(many), 5)
    assert [row.node.id for row in kept] == ["n0", "n1", "bad", "busy"]
    assert left_out == {NodePhase.SUCCEEDED: 48, NodePhase.QUEUED: 10}


def test_all_rows_are_kept_if_they_fit() -> None:
    kept, left_out = shown(rows([node("n0"), node("n1")]), 2)
    assert len(kept) == 2
    assert not left_out
