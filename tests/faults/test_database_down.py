"""Row 7 of the fault matrix: PostgreSQL is down while executions run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.databases import postgres
from tests.e2e.command import ROOT, Command
from tests.e2e.test_commands import until_exists
from tests.e2e.test_faults import TOTAL
from tests.invariants import check

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.mark.row(7)
def test_work_goes_on_without_the_database(tmp_path: Path) -> None:
    source = tmp_path / "src" / "counted.py"
    source.parent.mkdir()
    source.write_text((ROOT / "tests" / "e2e" / "counted.py.txt").read_text(encoding="utf-8"))
    marks = tmp_path / "marks"
    marks.mkdir()
    with postgres() as server:
        home = Command(tmp_path / "h", (("FLYTE_TEMPORAL_METADATA__URL", server.url),))
        try:
            home("run", "--detach", "--name", "r7", source, "counted", "--folder", str(marks))
            until_exists(marks / "started-2")
            server.stop()
            refused = home("run", "--detach", "--name", "no", source, "counted", "--folder", "/", expect=3)
            assert "metadata store" in refused.stderr
            until_exists(marks / "gathered")
            server.start()
            done = home("wait", "r7", "-o", "json").document
            assert (done["phase"], done["outputs"]) == ("SUCCEEDED", {"o0": TOTAL})
            rows = home("get", "nodes", "r7", "-o", "json").document
            assert {row["phase"] for row in rows} == {"SUCCEEDED"}
            assert all(row["started_at"] and row["finished_at"] for row in rows)
            check(home.home, metadata=server.url)
        finally:
            home("down", expect=None)
