"""Repair of executions in place, by the command line and by the client: what has finished is not run again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.errors import Conflict
from tests.e2e.command import Command, made_of
from tests.e2e.test_faults import until
from tests.e2e.test_recover import ran
from tests.e2e.test_stops import kill_worker

pytestmark = pytest.mark.slow


def written(notes: Path, file: Path, *changes: tuple[str, str]) -> Path:
    return made_of("repaired.py.txt", file, ("@NOTES@", str(notes)), *changes)


def test_a_bug_is_fixed_while_the_execution_waits(cli: Command, tmp_path: Path, notes: Path) -> None:
    bad = written(notes, tmp_path / "src" / "pipeline.py")
    other = written(notes, tmp_path / "other" / "other.py", ("def scale(x: int)", "def scale(x: float)"))
    good = written(
        notes, tmp_path / "fix" / "fixed.py", ("x / (x - 2)", "x / 2"), ("sum(values)", "sum(values) + 0.5")
    )
    cli("run", "--pause-on-failure", "--detach", "--name", "fix-1", bad, "pipeline")
    waits = cli("wait", "fix-1", "--until-paused")
    assert "phase: PAUSED" in waits.stdout
    assert "n1[1] (map_scale[1]): UserCodeError ZeroDivisionError" in waits.stdout
    assert "flyte-temporal retry fix-1" in waits.stdout
    assert ran(notes) == {"load": 1, "scale 1": 1, "scale 2": 1, "scale 3": 1}
    assert [row["id"] for row in cli("get", "executions", "--phase", "paused", "-o", "json").document] == [
        "fix-1"
    ]

    for words, said in (
        (("retry", "fix-1"), "Name one NODE"),
        (("retry", "fix-1", "n9"), "no node 'n9'. Held nodes: n1[1]"),
        (("retry", "fix-1", "n0"), "is not held: it is SUCCEEDED"),
        (("retry", "fix-1", "n1[1]", "--with-code", other), "has another interface there"),
        (("retry", "fix-1", "n1[1]", "--memory", "lots"), "no quantity"),
        (("skip", "fix-1", "n1[1]"), "needs o0"),
        (("skip", "fix-1", "n1[1]", "--output", "o0=much"), "Output 'o0'"),
    ):
        assert said in cli(*words, expect=2).stderr
    assert ran(notes) == {}

    done = cli("retry", "fix-1", "n1", "--with-code", good, "-o", "json").document
    assert (done["touched"], done["phase"]) == (["n1[1]"], "RUNNING")
    ended = cli("wait", "fix-1", "-o", "json").document
    # Items 1 and 3 stay as they were computed, with the code of before.
    assert ended["outputs"] == {"o0": 1 / -1 + 2 / 2 + 3 / 1 + 0.5}
    assert ran(notes) == {"scale 2": 1, "total": 1}
    rows = {row["id"]: row for row in cli("get", "nodes", "fix-1", "-o", "json").document}
    (repair,) = rows["n1[1]"]["repairs"]
    assert (repair["kind"], repair["note"], bool(repair["by"]), bool(repair["spec"])) == (
        "retry",
        "fixed code",
        True,
        True,
    )
    assert rows["n1[1]"]["attempts"] == 2


def test_a_held_node_is_skipped_or_given_up(cli: Command, tmp_path: Path, notes: Path) -> None:
    bad = written(notes, tmp_path / "src" / "pipeline.py")
    for name in ("skip-1", "fail-1"):
        cli("run", "--pause-on-failure", "--detach", "--name", name, bad, "pipeline")
        cli("wait", name, "--until-paused")
    cli("skip", "skip-1", "n1[1]", "--output", "o0=7.5")
    done = cli("wait", "skip-1", "-o", "json").document
    assert done["outputs"] == {"o0": -1 + 7.5 + 3}
    with Client.local(cli.home) as client:
        held = client.execution("fail-1").repairs().held
        assert [(h.node, h.attempts) for h in held] == [("n1[1]", 1)]
        client.execution("fail-1").fail("no use")
        record = client.execution("fail-1").wait()
        assert (record.phase, record.error and record.error.node) == ("FAILED", "n1[1]")
        with pytest.raises(Conflict, match="flyte-temporal recover fail-1"):
            client.execution("fail-1").retry("n1[1]")


def test_a_paused_execution_starts_nothing_until_it_is_resumed(
    cli: Command, tmp_path: Path, notes: Path
) -> None:
    file = written(notes, tmp_path / "src" / "pipeline.py")
    with cli.started("run", "--name", "pause-1", file, "two") as process:
        until((notes / "ran").exists)
        cli("pause", "pause-1", "--reason", "disk full")
        assert "is paused" in cli("pause", "pause-1").stdout
        (notes / "go").touch()
        kill_worker(cli)
        until(
            lambda: (
                "SUCCEEDED" in [row["phase"] for row in cli("get", "nodes", "pause-1", "-o", "json").document]
            ),
        )
        shown = cli("get", "execution", "pause-1").stdout
        assert "phase: PAUSED" in shown
        assert "disk full" in shown
        assert ran(notes) == Counter({"slow 0": 1})
        cli("resume", "pause-1")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "is PAUSED: nothing new starts. Go on: flyte-temporal resume pause-1" in said
    assert ran(notes) == Counter({"slow 1": 1})
