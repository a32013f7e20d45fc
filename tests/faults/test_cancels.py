"""Rows 28 and 29 of the fault matrix: an abort that comes in the middle of a start, or of a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.faults import VARIABLE, Plan, Rule
from tests.e2e.command import Command
from tests.e2e.test_faults import until
from tests.invariants import check

pytestmark = pytest.mark.slow

POINTS = ("manifest.before", "manifest.after", "start.before", "start.after")
"""In the order in which the tests use them: those of a start are passed by the tests before, which the plan knows."""

WAIT_S = 3.0

QUICK = """
from flyte_temporal import task, workflow

@task
def quick(x: int) -> int:
    return x + 1

@workflow
def two(x: int) -> int:
    return quick(x=quick(x=x))
"""


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hits")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, hits: Path) -> Iterator[Command]:
    rules = [Rule(point, "sleep", chance=1.0, seconds=WAIT_S) for point in POINTS[:2]]
    # Each run before passed the point once at least; the rule sleeps at each passage, until the hit is taken away.
    rules += [Rule(point, "sleep", chance=1.0, seconds=WAIT_S) for point in POINTS[2:]]
    for number in range(len(rules)):
        (hits / f"rule-{number}.0").touch()
    command = Command(
        tmp_path_factory.mktemp("cancels") / "h", ((VARIABLE, Plan(tuple(rules), 0, str(hits)).written()),)
    )
    try:
        yield command
    finally:
        command("down", expect=None)


@pytest.mark.row(28, 29)
@pytest.mark.parametrize("point", POINTS)
def test_an_abort_in_the_middle_of(home: Command, hits: Path, tmp_path: Path, point: str) -> None:
    source = tmp_path / "src" / "quick.py"
    source.parent.mkdir()
    source.write_text(QUICK)
    hit = hits / f"rule-{POINTS.index(point)}.0"
    hit.unlink()
    name = point.replace(".", "-")
    home("run", "--detach", "--name", name, source, "two", "--x", "1")
    until(hit.exists)
    home("abort", name, "--reason", "in the middle")
    done = home("wait", name, "-o", "json", expect=1).document
    assert done["phase"] == "ABORTED"
    rows = {row["id"]: row["phase"] for row in home("get", "nodes", name, "-o", "json").document}
    # What was committed when it was told to stop has succeeded; nothing came after it.
    assert rows["n0"] in ({"ABORTED", "SUCCEEDED"} if point.startswith("manifest") else {"ABORTED"})
    assert rows["n1"] in {"ABORTED", "SKIPPED"}
    assert not any(b"quick" in line for line in held(home))
    check(home.home, name)


def held(home: Command) -> list[bytes]:
    """Return orders of attempts that are at work."""
    from flyte_temporal.storage import scratch

    found = [each.with_suffix("") for each in (home.home / "attempts").rglob("*.journal")]
    return [
        journal.order for each in found if scratch.is_held(each) and (journal := scratch.read_journal(each))
    ]
