"""Launchers to try, and a PostgreSQL server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.testing.attempts import AttemptBench
from flyte_temporal.testing.launcher import FakeMachine
from tests.containers import engines
from tests.contract.databases import postgres_url
from tests.contract.launching import CONTAINERS, JOBS, Make, chosen, make

__all__ = ["postgres_url"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "jobs.py").write_text(JOBS)
    (folder / "helper.py").write_text("VALUE = 'of the bundle'")
    return folder


@pytest.fixture
def bench(source: Path, tmp_path: Path) -> AttemptBench:
    return AttemptBench(source, tmp_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each launcher that is chosen and that a test is for."""
    own = (str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "kind" in metafunc.fixturenames and not any("kind" in names for names in own):
        marker = metafunc.definition.get_closest_marker("kinds")
        kinds = [kind for kind in chosen() if marker is None or kind in marker.args]
        metafunc.parametrize("kind", kinds, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    if request.param in CONTAINERS:
        engines.need(request.param)
    return str(request.param)


@pytest.fixture
async def new(kind: str, bench: AttemptBench) -> AsyncIterator[Make]:
    made: list[Launcher] = []
    machine = FakeMachine()

    def make_one(size: int = 2) -> Launcher:
        made.append(make(kind, bench, machine, size))
        return made[-1]

    yield make_one
    for launcher in made:
        await launcher.close()
    if kind in CONTAINERS:
        engines.clear(kind, bench.folder / "scratch")
