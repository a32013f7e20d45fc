"""The live tree: what it draws, and that it is left on the screen."""

from __future__ import annotations

import io

from rich.console import Console

from flyte_temporal.cli.output import Output
from flyte_temporal.cli.tree import LiveTree
from flyte_temporal.spec.execution import CacheStatus, ErrorDocument, ErrorKind, ExecutionPhase, NodePhase
from tests.unit.cli.scripted import START, Moment, node, record


def drawn(moment: Moment, height: int = 40) -> str:
    text = io.StringIO()
    console = Console(file=text, width=100, height=height, force_terminal=True, color_system=None)
    with LiveTree(Output(stderr=text), console) as tree:
        tree.show(moment)
    console = Console(file=(plain := io.StringIO()), width=100, height=height, color_system=None)
    console.print(tree.render())
    return plain.getvalue()


def test_rows_are_nested_and_carry_state_attempt_and_error() -> None:
    error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="ValueError: no rows\nmore")
    text = drawn(
        Moment(
            record(ExecutionPhase.RUNNING),
            [
                node(
                    "n0", NodePhase.SUCCEEDED, 0, started_at=START, finished_at=START, cache=CacheStatus.HIT
                ),
                node("n1", NodePhase.RUNNING, 1, attempts=2),
                node("n1.n0", NodePhase.FAILED, 2, error=error),
                node("n2", NodePhase.QUEUED, 3, reason="waiting for a free process"),
            ],
        )
    )
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0].startswith("✓ task_n0  n0")
    assert "CACHED" in lines[0]
    assert "0.0 s" in lines[0]
    assert "attempt 2" in lines[1]
    assert lines[2].startswith("  ✗ task_n1.n0  n1.n0")
    assert lines[2].endswith("ValueError: no rows")
    assert "waiting for a free process" in lines[3]


def test_a_wide_execution_fits_the_terminal() -> None:
    nodes = [node(f"n{i}", NodePhase.SUCCEEDED, i) for i in range(100)]
    text = drawn(Moment(record(ExecutionPhase.RUNNING), nodes), height=10)
    assert len(text.splitlines()) == 7
    assert "… and 94 SUCCEEDED" in text


def test_nothing_is_drawn_before_the_first_update() -> None:
    tree = LiveTree(Output(stderr=io.StringIO()))
    assert tree.render().row_count == 0
