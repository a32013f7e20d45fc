"""Random programs on a real stack whose processes die, fail and wait at the points that the code names, by a seed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.faults import VARIABLE, Plan, Rule
from flyte_temporal.spec.execution import ExecutionPhase
from tests.conftest import chosen_seed
from tests.e2e.command import Command
from tests.faults.dags import write_program
from tests.invariants import check

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

WAIT_S = 300.0
SEEDS = range(chosen_seed(), chosen_seed() + int(os.environ.get("CHAOS_SEEDS", "1")))

RULES = (
    # Whatever the seed.
    Rule("start.before", "kill", at=1),
    Rule("start.before", "kill", chance=0.1, times=1),
    Rule("start.after", "kill", chance=0.1, times=1),
    Rule("catalog.before", "error", chance=0.3, times=1),
    Rule("catalog.after", "kill", chance=0.3, times=1),
    Rule("continue.*", "kill", chance=0.3, times=2),
    # Three in all: as many attempts of one node the platform may lose.
    Rule("manifest.before", "kill", chance=0.1, times=1),
    Rule("manifest.after", "kill", chance=0.1, times=1),
    Rule("checkpoint.*", "kill", chance=0.1, times=1),
    Rule("start.*", "sleep", chance=0.1, times=3, seconds=0.3),
)


@pytest.fixture(scope="module")
def fired() -> Iterator[list[str]]:
    """Takes the faults that have happened; over all seeds that were run there was at least one."""
    hits: list[str] = []
    yield hits
    assert hits, "no fault has happened: the runs have proved nothing"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_program_ends_as_in_plain_python(tmp_path: Path, seed: int, fired: list[str]) -> None:
    hits = tmp_path / "hits"
    hits.mkdir()
    variables = {
        VARIABLE: Plan(RULES, seed, str(hits)).written(),
        # Small enough that a run continues as new some times, and that maps are in shards.
        "FLYTE_TEMPORAL_LIMITS__HISTORY_EVENTS": "60",
        "FLYTE_TEMPORAL_LIMITS__SHARD": "5",
    }
    home = Command(tmp_path / "h", tuple(variables.items()))
    file = write_program(tmp_path, seed)
    words = (file, "program", "--x", str(seed % 1000), "--folder")
    try:
        plain = Command(tmp_path / "unused")(
            "run", "--local", "-o", "json", *words, str(made(tmp_path / "plain"))
        )
        home("run", "--detach", "--name", "seeded", *words, str(made(tmp_path / "marks")))
        with Client.local(home.home) as client:
            # Each killed worker is some seconds, on a machine with other work.
            record = client.execution("seeded").wait(WAIT_S)
            outputs = client.execution("seeded").outputs if record.phase is ExecutionPhase.SUCCEEDED else {}
        told = (
            f"seed {seed}, hits {sorted(each.name for each in hits.iterdir())}: {record.phase} {record.error}"
        )
        assert outputs == plain.document["outputs"], told
        check(home.home)
        fired.extend(sorted(each.name for each in hits.iterdir()))
    finally:
        home("down", expect=None)
    print(f"seed {seed}: {len(list(hits.iterdir()))} faults")


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
