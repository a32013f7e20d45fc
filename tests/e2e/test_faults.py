"""kill -9 of each process in the middle of a run: it ends with the right outputs, and no finished task runs again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flyte_temporal.local.layout import Layout
from flyte_temporal.local.state import read_state
from tests.conftest import CHAOS
from tests.e2e.command import Command
from tests.e2e.test_commands import until_exists
from tests.invariants import check

pytestmark = pytest.mark.slow

TOTAL = 1 + 3 + 6 + 10 + 15
"""What the chain of five gives: running sums of 1 to 5."""


@dataclass(frozen=True)
class Running:
    """An execution in its third step."""

    cli: Command
    name: str
    marks: Path

    def pid(self, process: str) -> int:
        return int(self.cli("status", "-o", "json").document["pids"][process])

    def attempt_pid(self) -> int:
        """Return the process that runs the third step."""
        return int((self.marks / "started-3").read_text().split()[-1])

    def count(self, mark: str) -> int:
        path = self.marks / mark
        return len(path.read_text().split()) if path.exists() else 0

    def ends_well(self, *, repeated: int = 0) -> None:
        """Wait for the end and look at the marks.

        Args:
            repeated: How often the step in flight may have run besides its one full run.
        """
        done = self.cli("wait", self.name, "-o", "json").document
        assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": TOTAL})
        assert [self.count(f"finished-{i}") for i in range(1, 6)] == [1] * 5
        assert [self.count(f"started-{i}") for i in (1, 2, 5)] == [1, 1, 1]
        assert self.count("started-3") + self.count("started-4") <= 2 + repeated
        assert self.count("gathered") == 1
        rows = self.cli("get", "nodes", self.name, "-o", "json").document
        assert {row["phase"] for row in rows} == {"SUCCEEDED"}
        check(self.cli.home, self.name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("faults") / "h")
    try:
        yield command
    finally:
        command("down", expect=None)


@pytest.fixture
def running(home: Command, tmp_path: Path, request: pytest.FixtureRequest) -> Running:
    source = tmp_path / "src" / "counted.py"
    source.parent.mkdir()
    source.write_text(Path(__file__).with_name("counted.py.txt").read_text(encoding="utf-8"))
    marks = tmp_path / "marks"
    marks.mkdir()
    name = request.node.name.replace("[", "-").replace("]", "").replace("_", "-")
    home("run", "--detach", "--name", name, source, "counted", "--folder", str(marks))
    until_exists(marks / "started-3")
    return Running(home, name, marks)


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.row(1)
def test_the_worker_is_killed(running: Running) -> None:
    kill(running.pid("worker"))
    running.ends_well()


@pytest.mark.row(2)
def test_the_worker_is_told_to_end(running: Running) -> None:
    """As a deployment does: it ends soon, and what runs is not touched."""
    worker = running.pid("worker")
    began = time.monotonic()
    os.kill(worker, signal.SIGTERM)
    until(lambda: running.pid("worker") != worker)
    assert time.monotonic() - began < 30
    running.ends_well()


@pytest.mark.row(1)
def test_the_worker_is_killed_twice(running: Running) -> None:
    first = running.pid("worker")
    kill(first)
    until(lambda: running.pid("worker") != first)
    kill(running.pid("worker"))
    running.ends_well()


def test_the_process_of_the_task_is_killed(running: Running) -> None:
    """The attempt is lost, not failed: another one follows though the task has no retries."""
    kill(running.attempt_pid())
    running.ends_well(repeated=1)
    rows = running.cli("get", "nodes", running.name, "-o", "json").document
    assert [row["attempts"] for row in rows].count(2) == 1


@pytest.mark.row(4)
def test_the_temporal_server_is_down_for_three_seconds(running: Running) -> None:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            kill(running.pid("temporal"))
        except ProcessLookupError:
            continue  # it is dead already and the supervisor has not noticed
    running.ends_well()


@pytest.mark.row(4)
@pytest.mark.timeout(400)
@CHAOS
def test_the_temporal_server_is_down_for_a_minute(running: Running) -> None:
    """It is killed whenever it comes back."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        server = read_state(Layout(running.cli.home).state).children.get("temporal")
        if server is not None and server.alive:
            server.send(signal.SIGKILL)
        time.sleep(0.02)
    running.ends_well()


def test_the_supervisor_is_killed(running: Running) -> None:
    kill(running.pid("supervisor"))
    running.ends_well()


@pytest.mark.row(6)
def test_a_worker_that_is_only_slow_loses_nothing(running: Running) -> None:
    """A false time-out of the heartbeat: two deliveries of one attempt, one process."""
    worker = running.pid("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        until_exists(running.marks / "finished-3")
        time.sleep(2.5)
    finally:
        os.kill(worker, signal.SIGCONT)
    running.ends_well()


def test_everything_is_killed_at_once(running: Running) -> None:
    """As a power cut: the next command brings the stack back."""
    pids = [running.pid(name) for name in ("supervisor", "worker", "temporal")]
    for pid in (*pids, running.attempt_pid()):
        with suppress(ProcessLookupError):  # it died with another one, or its step has ended meanwhile
            kill(pid)
    running.ends_well(repeated=1)


def test_the_command_is_killed(home: Command, tmp_path: Path) -> None:
    source = tmp_path / "src" / "counted.py"
    source.parent.mkdir()
    source.write_text(Path(__file__).with_name("counted.py.txt").read_text(encoding="utf-8"))
    marks = tmp_path / "marks"
    marks.mkdir()
    words = ("run", "--name", "cli-killed", source, "counted", "--folder", str(marks))
    with home.started(*words) as process:
        until_exists(marks / "started-2")
        kill(process.pid)
    # The same request again attaches to the run that went on.
    again = home("run", "-o", "json", *words[1:]).document
    assert (again["id"], again["outputs"]) == ("cli-killed", {"o0": TOTAL})
    Running(home, "cli-killed", marks).ends_well()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
