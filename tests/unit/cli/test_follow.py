"""Following an execution: plain lines, the result, the exit code, and Ctrl-C once and twice."""

from __future__ import annotations

import json
import time

import pytest

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.follow import follow
from flyte_temporal.cli.output import Output
from flyte_temporal.spec.execution import (
    CacheStatus,
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    NodePhase,
)
from tests.unit.cli.scripted import START, Moment, Screen, Scripted, node, record

BROKEN = ErrorDocument(
    kind=ErrorKind.USER,
    code="UserCodeError",
    message="ValueError: no rows",
    node="n0",
    traceback='  File "p.py", line 3, in fit\n',
)


def succeeded() -> Scripted:
    running = record(ExecutionPhase.RUNNING)
    done = record(ExecutionPhase.SUCCEEDED)
    return Scripted(
        moments=[
            Moment(running, [node("n0", NodePhase.QUEUED), node("n1", NodePhase.QUEUED)]),
            Moment(running, [node("n0", NodePhase.RUNNING, attempts=1, started_at=START)]),
            Moment(running, [node("n0", NodePhase.RUNNING, attempts=1, started_at=START)]),
            Moment(running, [node("n0", NodePhase.RUNNING, attempts=2, started_at=START)]),
            Moment(done, [node("n0", NodePhase.SUCCEEDED, attempts=2, cache=CacheStatus.HIT)]),
        ],
        outputs={"model": "file:///m", "accuracy": 0.5, "rows": [1, 2]},
        final=done,
    )


def test_success_prints_outputs_on_stdout_and_one_line_per_change_on_stderr(screen: Screen) -> None:
    assert follow(succeeded(), screen.output) == ExitCode.SUCCEEDED
    assert screen.stdout == "model: file:///m\naccuracy: 0.5\nrows: [1, 2]\n"
    assert screen.stderr.splitlines() == [
        "  task_n0 (n0)  RUNNING",
        "  task_n0 (n0)  RUNNING  attempt 2",
        "  task_n0 (n0)  SUCCEEDED  attempt 2  cache hit",
        "Execution e1 SUCCEEDED in 3.2 s.",
    ]


def test_json_is_exactly_one_document(screen: Screen) -> None:
    screen.output.format = "json"
    follow(succeeded(), screen.output)
    assert json.loads(screen.stdout) == {
        "id": "e1",
        "phase": "SUCCEEDED",
        "outputs": {"model": "file:///m", "accuracy": 0.5, "rows": [1, 2]},
        "error": None,
    }


def test_failure_names_the_node_and_the_users_frames(screen: Screen) -> None:
    failed = record(ExecutionPhase.FAILED, BROKEN)
    run = Scripted([Moment(failed, [node("n0", NodePhase.FAILED, error=BROKEN)])], final=failed)
    assert follow(run, screen.output) == ExitCode.FAILED
    assert screen.stdout == ""
    assert "Error (user, UserCodeError) in node n0: ValueError: no rows\n" in screen.stderr
    assert 'File "p.py", line 3, in fit' in screen.stderr
    assert "flyte-temporal logs e1" in screen.stderr


def test_failure_as_json(screen: Screen) -> None:
    screen.output.format = "json"
    failed = record(ExecutionPhase.FAILED, BROKEN)
    follow(Scripted([Moment(failed, [])], final=failed), screen.output)
    assert json.loads(screen.stdout)["error"] == {
        "kind": "user",
        "code": "UserCodeError",
        "message": "ValueError: no rows",
        "node": "n0",
    }


def test_an_abort_tells_who_and_why(screen: Screen) -> None:
    aborted = record(ExecutionPhase.ABORTED, aborted_by="ada", abort_reason="too slow")
    assert follow(Scripted([Moment(aborted, [])], final=aborted), screen.output) == ExitCode.FAILED
    assert "Aborted by ada: too slow." in screen.stderr


def test_ctrl_c_leaves_the_execution_alone(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    run = Scripted([KeyboardInterrupt()])
    assert follow(run, screen.output) == ExitCode.INTERRUPTED
    assert run.aborted == []
    assert "flyte-temporal wait e1" in screen.stderr
    assert "flyte-temporal abort e1 --reason TEXT" in screen.stderr


def test_a_second_ctrl_c_aborts(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    run = Scripted([KeyboardInterrupt()], final=record(ExecutionPhase.ABORTED))
    assert follow(run, screen.output) == ExitCode.FAILED
    assert run.aborted == ["Ctrl-C, twice"]


def test_a_second_ctrl_c_counts_from_the_moment_that_it_is_offered(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Output.note

    def pressed_at_once(output: Output, text: str) -> None:
        note(output, text)
        if "press Ctrl-C again" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(Output, "note", pressed_at_once)
    run = Scripted([KeyboardInterrupt()], final=record(ExecutionPhase.ABORTED))
    assert follow(run, screen.output) == ExitCode.FAILED
    assert run.aborted == ["Ctrl-C, twice"]


def test_what_is_held_is_told_once_with_what_can_be_done(screen: Screen) -> None:
    paused, done = record(ExecutionPhase.PAUSED), record(ExecutionPhase.SUCCEEDED)
    held = node("n0[1]", NodePhase.PAUSED, attempts=1, error=BROKEN)
    run = Scripted(
        [
            Moment(paused, [held]),
            Moment(paused, [held, node("n1", NodePhase.RUNNING, attempts=1)]),
            Moment(paused, [held.model_copy(update={"attempts": 2})]),
            Moment(done, []),
        ],
        final=done,
    )
    assert follow(run, screen.output, " --project p") == ExitCode.SUCCEEDED
    assert screen.stderr.count("Execution e1 is PAUSED. It waits for you, because this failed:") == 2
    assert "  n0[1] (task_n0[1]): UserCodeError ValueError: no rows\n" in screen.stderr
    assert "retry e1 'n0[1]' --project p" in screen.stderr
    assert "skip e1 'n0[1]' --project p --output NAME=VALUE" in screen.stderr
    assert "fail e1 --project p" in screen.stderr


def test_a_pause_by_hand_is_told(screen: Screen) -> None:
    paused, done = record(ExecutionPhase.PAUSED), record(ExecutionPhase.SUCCEEDED)
    run = Scripted([Moment(paused, [node("n0", NodePhase.QUEUED)]), Moment(done, [])], final=done)
    follow(run, screen.output)
    assert "Execution e1 is PAUSED: nothing new starts. Go on: flyte-temporal resume e1\n" in screen.stderr
