"""A large map on the real stack, in small shards: killed in the middle, listed in pages, summed at the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.e2e.conftest import stacked
from tests.e2e.test_commands import until_exists
from tests.invariants import check

pytestmark = pytest.mark.slow

COUNT = 60


@pytest.mark.row(1, 39)
def test_a_killed_worker_repeats_no_finished_item_of_a_map_in_shards(tmp_path: Path) -> None:
    """Row 1 of reliability.md, for shards."""
    marks, source = tmp_path / "marks", tmp_path / "src" / "sharded.py"
    marks.mkdir()
    source.parent.mkdir()
    source.write_text(Path(__file__).with_name("sharded.py.txt").read_text(encoding="utf-8"))
    with stacked(tmp_path / "h", (("FLYTE_TEMPORAL_LIMITS__SHARD", "7"),)) as cli:
        given = ("--folder", str(marks), "--count", str(COUNT))
        cli("run", "--detach", "--name", "s1", source, "sharded", *given)
        until_exists(marks / "finished-10")
        pids = cli("status", "-o", "json").document["pids"]
        os.kill(int(pids["worker"]), signal.SIGKILL)
        done = cli("wait", "s1", "-o", "json").document
        wanted = sum(n * 10 for n in range(COUNT) if n != 17)
        assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": wanted})
        finished = {n: len((marks / f"finished-{n}").read_text().split()) for n in range(COUNT) if n != 17}
        assert set(finished.values()) == {1}
        _is_listed(cli)
        check(cli.home)


def _is_listed(cli: Command) -> None:
    listed = cli("get", "nodes", "s1", "-o", "json").document
    assert [row["id"] for row in listed] == ["n0", "n1", "n2"]
    assert listed[1]["items"] == {"SUCCEEDED": COUNT - 1, "FAILED": 1}
    text = cli("get", "nodes", "s1")
    assert "60 items: 59 SUCCEEDED, 1 FAILED" in text.stdout
    assert "--below n1" in text.stderr
    page = cli("get", "nodes", "s1", "--below", "n1", "--limit", "2", "--offset", "10", "-o", "json")
    # The map itself stands before its items.
    assert [row["id"] for row in page.document] == ["n1[9]", "n1[10]"]
    assert "--offset 12" in page.stderr
    failed = cli("get", "nodes", "s1", "--phase", "failed", "-o", "json").document
    assert [(row["id"], row["error"]["message"]) for row in failed] == [
        ("n1[17]", "ValueError: seventeen is refused"),
    ]
    assert cli("logs", "s1", "n1[42]").stdout.splitlines() == ["scaled 42"]
    assert "no node 'n1[60]'" in cli("logs", "s1", "n1[60]", expect=2).stderr
