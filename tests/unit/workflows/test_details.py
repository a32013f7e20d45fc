"""The table in the Temporal UI."""

from __future__ import annotations

from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, NodePhase
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.details import ROWS, Board
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState


def board_of(count: int) -> tuple[Board, list[NodeState]]:
    program = Program(closures.fan_out(count - 1), "0" * 64)
    scope, spec = workflow_body(program, program.main, {}, None), program.main
    board = Board()
    states = [NodeState(scope=scope, node=n, path=n.id, order=i) for i, n in enumerate(spec.nodes)]
    for state in states:
        board.add(state)
    return board, states


def test_a_small_run_shows_each_node_in_order() -> None:
    board, states = board_of(3)
    board.move(states[0], NodePhase.RUNNING)
    lines = board.markdown().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["`n0`", "`n1`", "`total`"]
    assert "RUNNING" in lines[2]
    assert "QUEUED" in lines[3]


def test_a_large_run_shows_failures_first_and_counts_in_bounded_size() -> None:
    board, states = board_of(5000)
    for state in states[:100]:
        board.move(state, NodePhase.RUNNING)
    states[50].error = ErrorDocument(kind=ErrorKind.USER, code="X", message="a|b\nsecond line" + "c" * 5000)
    board.move(states[50], NodePhase.FAILED)
    text = board.markdown()
    assert text.splitlines()[2].startswith("| `n50` |")
    assert "a\\|b" in text
    assert "second line" not in text
    assert text.endswith("5000 nodes: 4900 QUEUED, 99 RUNNING, 1 FAILED")
    assert len(text.splitlines()) <= ROWS + 4


def test_nodes_stand_behind_the_node_that_holds_them_and_say_why_they_wait() -> None:
    board, states = board_of(3)
    inner = workflow_body(states[0].scope.program, states[0].scope.program.main, {}, states[0])
    below = NodeState(scope=inner, node=states[1].node, path="n0.n1", order=9)
    below.reason = "waits for an approval"
    board.add(below)
    board.move(below, NodePhase.RUNNING)
    rows = board.markdown().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["`n0`", "`n0.n1`", "`n1`", "`total`"]
    assert "waits for an approval" in rows[1]
