"""Row 43 of the fault matrix: kill -9 at each step of a save. What is restored is never older than the last save that
returned, never torn, and the attempts after it go on from there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.spec.attempt import StorageConfig
from tests.contract.saver import SAVES

from .stores import CLOUDS, cloud_config, gcs_port, s3_port

__all__ = ["gcs_port", "s3_port"]

ROOT = Path(__file__).parents[2]
PASSAGES = {
    "checkpoint.begin": SAVES,
    "checkpoint.part": 2 * SAVES,
    "checkpoint.parts": SAVES,
    "checkpoint.complete": SAVES,
    "checkpoint.confirmed": SAVES,
    "checkpoint.delete": 3 * (SAVES - 2),
}
"""The six steps, and how often each is passed in an attempt that nobody kills."""


def cases(seeds: int, attempts: int) -> list[dict[str, Any]]:
    return [
        {"point": point, "passages": passages, "seed": seed, "attempts": attempts}
        for point, passages in PASSAGES.items()
        for seed in range(seeds)
    ]


def run(storage: StorageConfig, cases: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.saver"],
        input=json.dumps({"storage": storage.model_dump(mode="json"), "cases": cases}),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return results


def check(cases: list[dict[str, Any]], results: list[list[dict[str, Any]]]) -> None:
    for case, attempts in zip(cases, results, strict=True):
        about = f"{case['point']}, seed {case['seed']}: {attempts}"
        assert attempts[0]["restored"] == 0, about
        for before, attempt in pairwise(attempts):
            # An attempt that saved nothing leaves what it had found.
            saved = max([before["restored"], *before["saved"]])
            begun = max([before["restored"], *before["begun"]])
            assert saved <= attempt["restored"] <= begun, about
            assert attempt["begun"][:1] in ([], [attempt["restored"] + 1]), about
        assert [attempt["killed"] for attempt in attempts[:-1]] == [True] * (len(attempts) - 1), case
        assert len(attempts[-1]["saved"]) == SAVES


@pytest.mark.row(43)
def test_killed_at_each_step_in_a_local_store(tmp_path: Path) -> None:
    planned = cases(20, 2)
    # Without fsync: a killed process loses nothing that it has written, only a power cut does.
    check(planned, run(StorageConfig(root=tmp_path.as_uri(), options={"fsync": "none"}), planned))


@pytest.mark.row(43)
@pytest.mark.parametrize("kind", CLOUDS)
def test_killed_at_each_step_in_a_cloud(kind: str, request: pytest.FixtureRequest) -> None:
    planned = cases(1, 2)
    check(planned, run(cloud_config(kind, request)[0], planned))
