"""Row 43 of the fault matrix: kill -9 at each step of a save. What is restored is never older than the last save that
returned, never torn, and the attempts after it go on from there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.spec.attempt import StorageConfig
from tests.contract.saver import SAVES

from .test_blob_store import s3_config, s3_port

__all__ = ["s3_port"]

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
        restored = 0
        for attempt in attempts:
            about = f"{case['point']}, seed {case['seed']}: {attempts}"
            assert attempt["begun"][:1] in ([], [restored + 1]), about
            # What an attempt has saved counts, and what the ones before it had.
            last_saved = max([restored, *attempt["saved"]])
            last_begun = max([restored, *attempt["begun"]])
            assert last_saved <= attempt["restored"] <= last_begun, about
            restored = attempt["restored"]
        assert [attempt["killed"] for attempt in attempts[:-1]] == [True] * (len(attempts) - 1), case
        assert len(attempts[-1]["saved"]) == SAVES


def test_killed_at_each_step_in_a_local_store(tmp_path: Path) -> None:
    planned = cases(20, 3)
    # Without fsync: a killed process loses nothing that it has written, only a power cut does.
    check(planned, run(StorageConfig(root=tmp_path.as_uri(), options={"fsync": "none"}), planned))


@pytest.mark.s3
def test_killed_at_each_step_in_s3(s3_port: int) -> None:
    planned = cases(1, 2)
    check(planned, run(s3_config(s3_port, "checkpoints"), planned))
