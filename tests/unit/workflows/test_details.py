"""The table in the Temporal UI."""

from __future__ import annotations

from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase, NodePhase
from flyte_temporal.testing import closures
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.details import ROWS, Board, ending
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


def rows_of(board: Board) -> list[str]:
    lines = board.markdown().splitlines()
    return lines[lines.index("|---|---|---|---|---|") + 1 :]


def test_a_small_run_shows_each_node_in_order() -> None:
    board, states = board_of(3)
    board.move(states[0], NodePhase.RUNNING)
    rows = rows_of(board)
    assert [row.split("|")[1].strip() for row in rows] == ["`n0`", "`n1`", "`total`"]
    assert "RUNNING" in rows[0]
    assert "QUEUED" in rows[1]
    assert board.markdown().splitlines()[0] == "**RUNNING** · 3 nodes: 2 QUEUED, 1 RUNNING"


def test_a_large_run_shows_failures_first_and_counts_in_bounded_size() -> None:
    board, states = board_of(5000)
    for state in states[:100]:
        board.move(state, NodePhase.RUNNING)
    states[50].error = ErrorDocument(kind=ErrorKind.USER, code="X", message="a|b\nsecond line" + "c" * 5000)
    board.move(states[50], NodePhase.FAILED)
    text, rows = board.markdown(), rows_of(board)
    assert rows[0].startswith("| `n50`")
    assert "a\\|b" in rows[0]
    assert "second line" not in rows[0]
    assert "second line" not in text, "of a long message the end is shown, in full only in the history"
    assert text.startswith("**RUNNING** · 5000 nodes: 4900 QUEUED, 99 RUNNING, 1 FAILED\n")
    assert len(rows) == ROWS
    assert len(text) < 6000


def test_a_failure_stands_above_the_table_with_its_traceback_and_once_only() -> None:
    board, states = board_of(6)
    told = 'Traceback (most recent call last):\n  File "a.py", line 3, in fit\nValueError: boom'
    error = ErrorDocument(
        kind=ErrorKind.USER, code="UserCodeError", message="boom", traceback=told, node="n1"
    )
    for state in states[:2]:
        state.error = error
        board.move(state, NodePhase.FAILED)
    lines = board.markdown("FAILED: boom").splitlines()
    assert lines[0].startswith("**FAILED: boom** · 6 nodes")
    assert lines[2:9] == ["Node `n1` failed: UserCodeError: boom", "", "~~~~~~", *told.splitlines(), "~~~~~~"]
    assert lines.count("~~~~~~") == 2, "a node fails with the error of a node inside it, which is told there"
    for state in states:
        state.error = error.model_copy(update={"node": state.path, "traceback": "x" * 16_000})
        board.move(state, NodePhase.FAILED)
    assert len(board.markdown()) < 8000


def test_an_end_is_told_in_a_line() -> None:
    assert ending(ExecutionPhase.SUCCEEDED, "") == "SUCCEEDED"
    assert ending(ExecutionPhase.ABORTED, "wrong data\nreally") == "ABORTED: wrong data"


def test_nodes_stand_behind_the_node_that_holds_them_and_say_why_they_wait() -> None:
    board, states = board_of(3)
    inner = workflow_body(states[0].scope.program, states[0].scope.program.main, {}, states[0])
    below = NodeState(scope=inner, node=states[1].node, path="n0.n1", order=9)
    below.reason = "waits for an approval"
    board.add(below)
    board.move(below, NodePhase.RUNNING)
    rows = rows_of(board)
    assert [row.split("|")[1].strip() for row in rows] == ["`n0`", "`n0.n1`", "`n1`", "`total`"]
    assert "waits for an approval" in rows[1]
