"""The commands on a real stack: results, exit codes, idempotency, abort, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.command import Command

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0


def until_exists(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come to be"
        time.sleep(0.02)


@pytest.fixture
def cli(cli: Command) -> Command:
    """Each command is a process of its own here, as a person's are."""
    return Command(cli.home, cli.variables)


def test_a_run_and_what_can_be_asked_about_it(cli: Command, program: Path) -> None:
    run = cli("run", "--name", "seen-1", "-o", "json", program, "doubled", "--n", "3").document
    assert run == {"id": "seen-1", "phase": "SUCCEEDED", "outputs": {"o0": 12}, "error": None}

    shown = cli("get", "execution", "seen-1", "-o", "json").document
    assert {key: shown[key] for key in run} == run

    rows = cli("get", "nodes", "seen-1", "-o", "json").document
    assert [(row["phase"], row["attempts"], row["kind"]) for row in rows] == [("SUCCEEDED", 1, "task")] * 2
    assert all({"id", "name", "cache", "started_at", "finished_at"} <= set(row) for row in rows)
    assert all(row["started_at"] <= row["finished_at"] for row in rows)

    listed = cli("get", "executions", "-o", "json").document
    assert "seen-1" in [row["id"] for row in listed]

    assert cli("logs", "seen-1").stdout == "doubling 3\ndoubling 6\n"
    assert cli("logs", "seen-1", rows[1]["id"]).stdout == "doubling 6\n"
    assert cli("wait", "seen-1").stdout == "o0: 12\n"


def test_results_on_stdout_and_progress_on_stderr(cli: Command, program: Path) -> None:
    done = cli("run", program, "doubled", "--n", "1")
    assert done.stdout == "o0: 4\n"
    assert "SUCCEEDED" in done.stderr
    assert "http://127.0.0.1:" in done.stderr


def test_a_failure_ends_with_1_and_names_the_node(cli: Command, program: Path) -> None:
    done = cli("run", "-o", "json", program, "failing", "--n", "3", expect=1)
    assert done.document["phase"] == "FAILED"
    assert done.document["outputs"] == {}
    error = done.document["error"]
    assert (error["kind"], error["message"]) == ("user", "ValueError: cannot take 3")
    rows = cli("get", "nodes", done.document["id"], "-o", "json").document
    assert {row["id"]: row["phase"] for row in rows}[error["node"]] == "FAILED"
    assert "SUCCEEDED" not in {row["phase"] for row in rows}

    text = cli("run", program, "failing", "--n", "3", expect=1)
    assert text.stdout == ""
    assert 'program.py", line' in text.stderr
    assert cli("wait", done.document["id"], expect=1).stdout == ""


def test_the_same_request_attaches_and_another_is_refused(cli: Command, program: Path) -> None:
    first = cli("run", "--name", "same-1", "-o", "json", program, "doubled", "--n", "5").document
    again = cli("run", "--name", "same-1", "-o", "json", program, "doubled", "--n", "5").document
    assert again == first
    assert cli("logs", "same-1").stdout.count("doubling 5\n") == 1
    other = cli("run", "--name", "same-1", "-o", "json", program, "doubled", "--n", "6", expect=2)
    assert other.document["error"]["code"] == "Conflict"
    assert "same-1" in other.stderr


def test_detach_then_abort(cli: Command, program: Path, tmp_path: Path) -> None:
    gate = tmp_path / "never"
    id_ = cli("run", "--detach", program, "gated", "--path", str(gate)).stdout.strip()
    until_exists(Path(f"{gate}.started"))
    cli("abort", id_, "--reason", "changed my mind")
    ended = cli("wait", id_, "-o", "json", expect=1).document
    assert ended["phase"] == "ABORTED"
    assert "changed my mind" in ended["error"]["message"]
    assert cli("abort", id_, expect=2).stderr.startswith("Error: ")


def test_ctrl_c_detaches_and_the_execution_goes_on(cli: Command, program: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with cli.started("run", "--name", "left-1", program, "gated", "--path", str(gate), "--n", "4") as run:
        until_exists(Path(f"{gate}.started"))
        _until_said(run, "Execution left-1 of ")
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 130
    assert "flyte-temporal wait left-1" in told
    gate.touch()
    assert cli("wait", "left-1", "-o", "json").document["outputs"] == {"o0": 8}


def test_ctrl_c_twice_aborts(cli: Command, program: Path, tmp_path: Path) -> None:
    gate = tmp_path / "never"
    with cli.started("run", "--name", "left-2", program, "gated", "--path", str(gate)) as run:
        until_exists(Path(f"{gate}.started"))
        _until_said(run, "Execution left-2 of ")
        run.send_signal(signal.SIGINT)
        _until_said(run, "Detached")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 1
    assert cli("get", "execution", "left-2", "-o", "json").document["phase"] == "ABORTED"


def _until_said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    assert any(word in line for line in process.stderr), f"{word!r} was not said"


def test_unknown_execution(cli: Command) -> None:
    done = cli("get", "execution", "never-made", "-o", "json", expect=2)
    assert done.document["error"]["code"] == "NotFound"
    assert cli("wait", "never-made", expect=2).stdout == ""
    assert cli("logs", "never-made", expect=2).stdout == ""


def test_a_hundred_thousand_numbers_travel(cli: Command, program: Path, tmp_path: Path) -> None:
    program.write_text(
        "from flyte_temporal import task, workflow\n\n\n"
        "@task\ndef twice(xs: list[int]) -> list[int]:\n    return [2 * x for x in xs]\n\n\n"
        "@workflow\ndef both(xs: list[int]) -> list[int]:\n    return twice(xs=twice(xs=xs))\n",
        encoding="utf-8",
    )
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps({"xs": list(range(100_000))}))
    found = cli("run", "-o", "json", program, "both", "--inputs", inputs).document["outputs"]["o0"]
    assert found == [4 * x for x in range(100_000)]


def test_up_runs_the_stack_in_the_foreground_until_ctrl_c(fresh_cli: Command, program: Path) -> None:
    assert not fresh_cli("status", "-o", "json").document["running"]
    with fresh_cli.started("up") as up:
        _until_said(up, "Ready.")
        assert fresh_cli("status", "-o", "json").document["pids"]["supervisor"] == up.pid
        assert fresh_cli("run", "-o", "json", program, "doubled", "--n", "1").document["outputs"] == {"o0": 4}
        assert "runs already" in fresh_cli("up").stderr
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=DEADLINE_S) == 0
    assert not fresh_cli("status", "-o", "json").document["running"]
    assert "No local stack runs." in fresh_cli("down").stderr
