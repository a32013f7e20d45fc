"""kill -9 in the middle of a segment and of a batch: the attempt in flight may run twice, what has finished never does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHAOS
from tests.e2e.command import Command
from tests.e2e.conftest import stacked
from tests.e2e.test_commands import until_exists
from tests.invariants import check

pytestmark = pytest.mark.slow

SHAPES = {"chained": (range(24), 12, 24), "mapped": (range(100, 140), 112, 80)}
"""Steps, the one in which something is killed, and the result."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with stacked(tmp_path_factory.mktemp("batches") / "h") as command:
        yield command


def count(path: Path) -> int:
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "victims",
    [
        ["task"],
        pytest.param(["worker"], marks=CHAOS),
        pytest.param(["worker", "temporal", "supervisor", "task"], marks=CHAOS),
    ],
    ids="-".join,
)
def test_a_kill_repeats_only_what_was_in_flight(
    home: Command, tmp_path: Path, victims: list[str], shape: str
) -> None:
    source = tmp_path / "src" / "batched.py"
    source.parent.mkdir()
    source.write_text(Path(__file__).with_name("batched.py.txt").read_text(encoding="utf-8"))
    marks = tmp_path / "marks"
    marks.mkdir()
    steps, victim_step, result = SHAPES[shape]
    name = f"{shape}-{len(victims)}-{victims[0]}"
    # The platform runs, and its processes are known, before there is anything to interrupt: that window is short.
    (tmp_path / "before").mkdir()
    home("run", source, "chained", "--folder", str(tmp_path / "before"))
    pids = home("status", "-o", "json").document["pids"]
    home("run", "--detach", "--name", name, source, shape, "--folder", str(marks))
    until_exists(marks / f"started-{victim_step}")
    pids["task"] = (marks / f"started-{victim_step}").read_text().split()[0]
    for victim in victims:
        os.kill(int(pids[victim]), signal.SIGKILL)
    done = home("wait", name, "-o", "json").document
    assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": result})
    finished = {i: count(marks / f"finished-{i}") for i in steps}
    again = [i for i in steps if count(marks / f"started-{i}") > 1]
    # With the platform, each of its two processes may lose the one that it was at.
    assert len(again) <= (1 if "temporal" not in victims else 2)
    assert {i: n for i, n in finished.items() if n != 1 and i not in again} == {}
    rows = home("get", "nodes", name, "-o", "json").document
    assert {row["phase"] for row in rows} == {"SUCCEEDED"}
    assert {row["attempts"] for row in rows if row["kind"] == "task"} <= {1, 2}
    assert "step" in home("logs", name).stdout
    check(home.home, name)
