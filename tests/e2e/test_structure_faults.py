"""kill -9 in the middle of a map, a dynamic task, a child execution and a gate: nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHAOS
from tests.e2e.command import LIMITS, Command
from tests.e2e.conftest import stacked
from tests.e2e.test_commands import until_exists
from tests.invariants import check

pytestmark = pytest.mark.slow

INDICES = (10, 11, 12, 20, 21, 22, 40, 50)
TOTAL = (10 + 11 + 12) + (20 + 21 + 22) + 40 + 7 + 50


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    made = tmp_path / "marks"
    made.mkdir()
    return made


@pytest.fixture
def batches() -> str:
    """Whether attempts travel together; empty: as the environment or the default says."""
    return ""


@pytest.fixture
def home(tmp_path: Path, batches: str) -> Iterator[Command]:
    with stacked(tmp_path / "h", ((f"{LIMITS}BATCHES", batches),) if batches else ()) as command:
        yield command


def count(path: Path) -> int:
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.row(1, 4)
@pytest.mark.parametrize(
    ("victims", "batches"),
    [
        pytest.param(["worker"], "", marks=CHAOS),
        pytest.param(["temporal"], "", marks=CHAOS),
        pytest.param(["worker", "temporal", "supervisor"], "off", marks=CHAOS),
        (["worker", "temporal", "supervisor"], "always"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_killed_platform_goes_on_where_it_was(
    home: Command, tmp_path: Path, marks: Path, victims: list[str]
) -> None:
    source = tmp_path / "src" / "structured.py"
    source.parent.mkdir()
    source.write_text(Path(__file__).with_name("structured.py.txt").read_text(encoding="utf-8"))
    home("run", "--detach", "--name", "s1", source, "structured", "--folder", str(marks))
    for mark in ("started-10", "expanded", "started-40"):
        until_exists(marks / mark)
    # An answer that was taken must survive as well.
    home("set-input", "s1", "given", "7")
    pids = home("status", "-o", "json").document["pids"]
    for victim in victims:
        os.kill(int(pids[victim]), signal.SIGKILL)
    done = home("wait", "s1", "-o", "json").document
    assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": TOTAL})
    assert {i: count(marks / f"finished-{i}") for i in INDICES} == dict.fromkeys(INDICES, 1)
    assert count(marks / "expanded") == 1
    assert count(marks / "started-60") == 0
    child = home("get", "execution", "s1.n3", "-o", "json").document
    assert child["phase"] == "SUCCEEDED"
    rows = {row["id"]: row for row in home("get", "nodes", "s1", "-o", "json").document}
    assert rows["n1[2]"]["phase"] == "SUCCEEDED"
    assert {row["phase"] for row in rows.values()} == {"SUCCEEDED", "SKIPPED"}
    check(home.home)
