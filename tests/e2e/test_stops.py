"""Time-outs and aborts by the command line: what is stopped is dead, and what it was told is true."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHAOS
from tests.e2e.command import Command
from tests.e2e.conftest import stacked
from tests.e2e.test_commands import until_exists
from tests.e2e.test_faults import until
from tests.invariants import check

pytestmark = pytest.mark.slow

GRACE_S = 1.5


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    grace = ("FLYTE_TEMPORAL_WORKER__STOP_GRACE_S", str(GRACE_S))
    places = ("FLYTE_TEMPORAL_WORKER__POOL_SIZE", "4")
    with stacked(tmp_path_factory.mktemp("stops") / "h", (grace, places)) as command:
        yield command


@pytest.fixture(autouse=True)
def _holds(home: Command) -> Iterator[None]:
    """After each test, what always holds does so."""
    yield
    check(home.home)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "src" / "stops.py"
    file.parent.mkdir()
    file.write_text(Path(__file__).with_name("stops.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return file


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def pid_of(mark: Path) -> int:
    until_exists(mark)
    return int(mark.read_text())


def kill_worker(home: Command) -> None:
    os.kill(int(home("status", "-o", "json").document["pids"]["worker"]), signal.SIGKILL)


def node(home: Command, name: str, path: str = "n0") -> Any:
    rows = home("get", "nodes", name, "-o", "json").document
    return next(row for row in rows if row["id"] == path)


@pytest.mark.row(30)
@pytest.mark.parametrize("launcher", ["pool", pytest.param("process", marks=CHAOS)])
def test_a_timed_out_process_is_dead_before_the_next_attempt(
    home: Command, source: Path, marks: Path, launcher: str
) -> None:
    name = f"too-long-{launcher}"
    words = ("run", "--name", name, "--launcher", launcher, source, "too_long", "--folder", str(marks))
    done = home(*words, "-o", "json").document
    assert done["outputs"] == {"o0": False}
    row = node(home, name)
    assert (row["attempts"], [f["verdict"] for f in row["failed"]]) == (2, ["TIMEOUT"])
    assert "longer than its time-out of 4 s" in row["failed"][0]["message"]
    assert home("logs", name, "n0", "--attempt", "1").stdout == "the first one hangs\n"
    assert "no attempt 3" in home("logs", name, "--attempt", "3", expect=2).stderr.lower()


def test_a_worker_that_dies_while_it_stops_an_attempt_changes_nothing(
    home: Command, source: Path, marks: Path
) -> None:
    """The time-out was written down before the attempt was told, so it stays one."""
    words = ("run", "--detach", "--name", "dies", source, "too_long", "--folder", str(marks))
    home(*words)
    first = pid_of(marks / "pid-1")
    until(lambda: any((home.home / "attempts").rglob("dies-*.stop")))
    kill_worker(home)
    done = home("wait", "dies", "-o", "json").document
    assert (done["outputs"], alive(first)) == ({"o0": False}, False)
    row = node(home, "dies")
    assert [f["verdict"] for f in row["failed"]] == ["TIMEOUT"]


def test_an_abort_leaves_nothing_running_and_runs_no_handler(
    home: Command, source: Path, marks: Path
) -> None:
    home("run", "--detach", "--name", "family", source, "family", "--folder", str(marks))
    pids = [pid_of(marks / f"{what}-{i}") for what in ("parent", "child") for i in (1, 2, 3)]
    assert all(map(alive, pids))
    started = time.monotonic()
    home("abort", "family", "--reason", "wrong data")
    assert time.monotonic() - started < 10
    assert not any(map(alive, pids))
    found = home("get", "execution", "family", "-o", "json").document
    assert found["phase"] == "ABORTED"
    assert "wrong data" in found["error"]["message"]
    assert os.environ.get("USER", "root") in found["error"]["message"]
    child = home("get", "execution", "family.n1", "-o", "json").document
    assert child["phase"] == "ABORTED"
    assert not (marks / "cleaned").exists()


@pytest.mark.row(30)
def test_a_zombie_is_killed_and_its_result_not_taken(home: Command, source: Path, marks: Path) -> None:
    """Row 30 of the fault matrix."""
    home("run", "--detach", "--name", "zombie", source, "zombie", "--folder", str(marks))
    pid = pid_of(marks / "zombie")
    home("abort", "zombie")
    assert not alive(pid)
    assert home("get", "execution", "zombie", "-o", "json").document["phase"] == "ABORTED"
    assert node(home, "zombie")["phase"] == "ABORTED"


def test_an_abort_that_meets_no_worker_still_leaves_nothing_running(
    home: Command, source: Path, marks: Path
) -> None:
    """Temporal ends the activity by itself then, and tells no process."""
    home("run", "--detach", "--name", "no-worker", source, "zombie", "--folder", str(marks))
    pid = pid_of(marks / "zombie")
    kill_worker(home)
    home("abort", "no-worker")
    assert home("wait", "no-worker", "-o", "json", expect=1).document["phase"] == "ABORTED"
    assert not alive(pid)


def test_one_item_is_aborted_by_hand(home: Command, source: Path, marks: Path) -> None:
    home("run", "--detach", "--name", "item", source, "family", "--folder", str(marks))
    pids = [pid_of(marks / f"child-{i}") for i in (1, 2, 3)]
    said = home("abort", "item", "--node", "n0[1]", "--reason", "hangs").stdout
    assert "n0[1]" in said
    done = home("wait", "item", "-o", "json", expect=1).document
    assert (done["error"]["code"], done["error"]["node"]) == ("NodeAborted", "n0[1]")
    assert "hangs" in done["error"]["message"]
    assert not any(map(alive, pids))
    assert (marks / "cleaned").exists()
    assert "is over" in home("abort", "item", "--node", "n0", expect=2).stderr


@pytest.mark.row(17)
def test_a_task_without_memory_gets_more_and_succeeds(home: Command, source: Path) -> None:
    words = ("run", "--name", "hungry", "--launcher", "process", source, "hungry", "-o", "json")
    assert home(*words).document["outputs"] == {"o0": 300}
    row = node(home, "hungry")
    assert [(f["verdict"], f["code"]) for f in row["failed"]] == [("USER", "OutOfMemory")]
    assert "with 600Mi of memory" in row["failed"][0]["next"]


def test_a_deadline_and_the_whole_time_of_a_node(home: Command, source: Path, marks: Path) -> None:
    started = time.monotonic()
    words = (
        "run",
        "--deadline",
        "1.5",
        "--name",
        "late",
        source,
        "zombie",
        "--folder",
        str(marks),
        "-o",
        "json",
    )
    done = home(*words, expect=1).document
    assert done["error"]["code"] == "DeadlineExceeded"
    assert time.monotonic() - started < 1.5 + GRACE_S + 6  # with the start of the command itself
    done = home("run", "--name", "total", source, "again_and_again", "-o", "json", expect=1).document
    assert done["error"]["code"] == "TotalTimedOut"
