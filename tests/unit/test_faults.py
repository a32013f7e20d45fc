"""Points of the code at which a plan makes something happen."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flyte_temporal import faults
from flyte_temporal.faults import VARIABLE, InjectedFault, Plan, Rule, buggify


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    faults._passages.clear()
    faults._hits.clear()
    monkeypatch.delenv(VARIABLE, raising=False)


def hits(point: str, passages: int) -> list[int]:
    """Return which passages of a point are hit."""
    found = []
    for number in range(1, passages + 1):
        try:
            buggify(point)
        except InjectedFault:
            found.append(number)
    return found


def plan(monkeypatch: pytest.MonkeyPatch, *rules: Rule, seed: int = 0, folder: str = "") -> None:
    monkeypatch.setenv(VARIABLE, Plan(rules, seed, folder).written())


def test_without_a_plan_nothing_happens() -> None:
    assert hits("a.b", 100) == []
    assert not faults._passages


def test_the_nth_passage_of_the_points_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, Rule("a.*", "error", at=3))
    assert hits("b.a", 5) == []
    assert hits("a.x", 5) == [3]
    assert hits("a.y", 5) == []  # once


def test_chance_follows_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for seed in (1, 1, 2):
        faults._passages.clear()
        faults._hits.clear()
        plan(monkeypatch, Rule("*", "error", chance=0.3, times=0), seed=seed)
        found.append(hits("p", 200))
    assert found[0] == found[1] != found[2]
    assert 30 < len(found[0]) < 90


def test_all_processes_count_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan(monkeypatch, Rule("p", "error", at=1, times=2), folder=str(tmp_path))
    found = []
    for _ in range(4):
        faults._passages.clear()  # as in a new process
        found.append(hits("p", 2))
    assert found == [[1], [1], [], []]


def test_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    plan(monkeypatch, Rule("p", "sleep", at=1, seconds=0.05))
    before = time.monotonic()
    buggify("p")
    assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("exit", 70)])
def test_dying_says_the_seed(action: str, code: int) -> None:
    rule = Rule("p", action, at=1)  # type: ignore[arg-type]
    program = "from flyte_temporal.faults import buggify; buggify('p'); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={VARIABLE: Plan((rule,), seed=4711).written()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert f"injected fault: {action} at p (passage 1, seed 4711" in done.stderr


def test_what_is_no_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("{", "[]", '{"rules": [{"where": 1}]}', '{"rules": 1}'):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(ValueError, match="does not hold a plan"):
            buggify("p")
