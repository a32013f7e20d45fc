"""The seed of all tests that use chance, and the mark of those that only `make chaos` runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

VARIABLE = "CHAOS_SEED"
CHAOS = pytest.mark.chaos
"""For tests that take long, or try more of what another test tries in `make test`."""


def chosen_seed() -> int:
    """Return the seed: of the environment, or else that of the commit, so that each push tries another one."""
    given = os.environ.get(VARIABLE)
    if given:
        return int(given)
    line = ["git", "rev-parse", "--short=6", "HEAD"]
    done = subprocess.run(line, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return int(done.stdout, 16) if done.returncode == 0 and done.stdout.strip() else 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "CHAOS_SEEDS" not in os.environ:
        for item in items:
            if item.get_closest_marker("chaos"):
                item.add_marker(pytest.mark.skip(reason="make chaos runs it"))


def pytest_report_header() -> str:
    return f"seed: {VARIABLE}={chosen_seed()}"


@pytest.fixture(scope="session")
def seed() -> int:
    return chosen_seed()
