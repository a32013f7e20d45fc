"""Rows 28 and 29 of the fault matrix: an abort that comes in the middle of a start, or of a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.client import Client
from flyte_temporal.faults import VARIABLE, Plan, Rule
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.storage import scratch
from tests.e2e.command import Command
from tests.e2e.test_faults import until
from tests.invariants import check

pytestmark = pytest.mark.slow

POINTS = ("manifest.before", "manifest.after", "start.before", "start.after")
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
    rules = [Rule(point, "sleep", chance=1.0, seconds=WAIT_S) for point in POINTS]
    # All rules have had their hits; each test takes away the one of its point.
    for number in range(len(rules)):
        (hits / f"rule-{number}.0").touch()
    variables = ((VARIABLE, Plan(tuple(rules), 0, str(hits)).written()),)
    command = Command(tmp_path_factory.mktemp("cancels") / "h", variables)
    command("get", "executions")  # starts the stack
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
    entity: Any = find_entity(load_file(source), "two")
    with Client.local(home.home) as client:
        client.run(entity, execution_id=name, x=1)
        until(hit.exists)
        client.execution(name).abort("in the middle")
        assert client.execution(name).wait(60).phase is ExecutionPhase.ABORTED
    rows = {row["id"]: row["phase"] for row in home("get", "nodes", name, "-o", "json").document}
    # What was committed when it was told to stop has succeeded, by its manifest; nothing came after it.
    assert rows["n0"] in {"ABORTED", "SUCCEEDED"}
    assert rows["n1"] in {"ABORTED", "SKIPPED"}
    assert not any(b"quick" in line for line in held(home))
    check(home.home, name)


def held(home: Command) -> list[bytes]:
    """Return orders of attempts that are at work."""
    found = [each.with_suffix("") for each in (home.home / "attempts").rglob("*.journal")]
    return [
        journal.order for each in found if scratch.is_held(each) and (journal := scratch.read_journal(each))
    ]
