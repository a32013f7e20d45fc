"""Shapes that scripts rely on, and text for people."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from flyte_temporal.cli.exits import ExitCode, error_document, exit_code, paragraph
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.progress import Lines
from flyte_temporal.cli.results import duration, error_text, items_text, node_row, plain, table
from flyte_temporal.cli.tree import LiveTree
from flyte_temporal.errors import (
    Conflict,
    ExecutionAborted,
    FlyteTemporalError,
    InvalidInputs,
    PlatformUnavailable,
    UserCodeError,
)
from flyte_temporal.spec.execution import (
    CacheStatus,
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    GateReply,
    NodePhase,
    NodeRef,
)
from tests.unit.cli.scripted import START, Moment, node, record


def test_node_rows_have_the_promised_keys() -> None:
    row = node_row(node("n0", NodePhase.SKIPPED, cache=CacheStatus.MISS, started_at=START))
    assert row == {
        "id": "n0",
        "name": "task_n0",
        "kind": "task",
        "phase": "SKIPPED",
        "attempts": 0,
        "cache": "MISS",
        "started_at": "2026-01-31T12:00:00+00:00",
        "finished_at": None,
        "reason": "",
        "error": None,
        "child": None,
        "spec": None,
        "source": None,
        "reply": None,
        "anew": None,
        "items": None,
        "checkpoint": None,
        "failed": [],
        "repairs": [],
    }


def test_a_node_row_tells_whose_outputs_it_has() -> None:
    source = NodeRef(execution="earlier", node="n1[2]", attempt=1)
    row = node_row(node("n0", NodePhase.SUCCEEDED, cache=CacheStatus.HIT, source=source))
    assert (row["cache"], row["source"]) == ("HIT", "earlier n1[2]")


def test_the_items_of_a_large_map_are_counted() -> None:
    array = node("n0", NodePhase.RUNNING, items=12_000)
    assert items_text(array) == "12,000 items: none has begun"
    counted = array.model_copy(update={"item_phases": {NodePhase.SUCCEEDED: 1_200, NodePhase.RUNNING: 3}})
    assert items_text(counted) == "12,000 items: 3 RUNNING, 1,200 SUCCEEDED"
    assert node_row(counted)["items"] == {"RUNNING": 3, "SUCCEEDED": 1_200}
    assert items_text(node("n1", NodePhase.RUNNING)) == ""


def test_a_node_row_tells_its_child_and_who_answered() -> None:
    reply = GateReply(approved=False, by="ann", at=START)
    row = node_row(node("n0", NodePhase.FAILED, child="run.n0", reply=reply))
    assert row["child"] == "run.n0"
    assert row["reply"] == {"approved": False, "by": "ann", "at": "2026-01-31T12:00:00+00:00"}


def test_all_failures_are_told() -> None:
    def failure(node_: str, message: str) -> ErrorDocument:
        return ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message=message, node=node_)

    first = failure("n0", "one").model_copy(update={"others": (failure("n1[3]", "two"),)})
    assert error_text(first).splitlines() == [
        "Error (user, UserCodeError) in node n0: one",
        "Also failed: node n1[3]: two",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputs("x"), 2),
        (Conflict("x"), 2),
        (UserCodeError("x"), 1),
        (ExecutionAborted("x"), 1),
        (PlatformUnavailable("x"), 3),
        (FlyteTemporalError("x"), 3),
        (ZeroDivisionError("x"), 3),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == ExitCode(code)


def test_a_known_error_is_one_paragraph_and_an_unknown_one_asks_for_a_report() -> None:
    assert paragraph(Conflict("The id is taken."), debug=False) == "Error: The id is taken."
    unknown = paragraph(ZeroDivisionError("division by zero"), debug=False)
    assert "ZeroDivisionError: division by zero" in unknown
    assert "--debug" in unknown


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert "Traceback (most recent call last)" in paragraph(caught.value, debug=True)


def test_error_documents_name_kind_and_code() -> None:
    assert error_document(Conflict("m")) == {"kind": "user", "code": "Conflict", "message": "m", "node": ""}
    assert error_document(OSError("m"))["kind"] == "system"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3725, "1 h 02 min")],
)
def test_durations(seconds: float, text: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert duration(start, start + timedelta(seconds=seconds)) == text
    assert duration(start, None) == ""


def test_values_and_tables_as_text() -> None:
    assert [plain(v) for v in ("é", 1, None, [1, "ü"])] == ["é", "1", "null", '[1, "ü"]']
    rows: list[dict[str, object]] = [{"id": "n0", "at": None}, {"id": "longer", "at": 3}]
    assert table(rows, ("id", "at")) == ["ID      AT", "n0", "longer  3"]


def test_control_characters_of_user_code_do_not_reach_the_terminal() -> None:
    message = "ValueError: \x1b]0;owned\x07 \x9b2J\rä\tb\r\nnext"
    error = ErrorDocument(kind=ErrorKind.USER, code="x", message=message, traceback="  \x1b[31mraise\n")
    assert error_text(error) == (
        "Error (user, x): ValueError: \\x1b]0;owned\\x07 \\x9b2J\\x0dä\tb\nnext\n  \\x1b[31mraise"
    )
    moment = Moment(record(ExecutionPhase.RUNNING), [node("n0", NodePhase.FAILED, 1, error=error)])
    lines, drawn = io.StringIO(), io.StringIO()
    Lines(Output(stderr=lines)).show(moment)
    console = Console(file=drawn, width=200, color_system=None)
    tree = LiveTree(Output(stderr=drawn), console)
    tree.show(moment)
    console.print(tree.render())
    noted = io.StringIO()
    Output(stderr=noted).note(message)
    for shown in (lines.getvalue(), drawn.getvalue(), noted.getvalue()):
        assert "\\x1b]0;owned\\x07 \\x9b2J\\x0dä" in shown
        assert not set(shown) & {"\x1b", "\x07", "\x9b", "\r"}
