"""A launcher of podman to try, with nothing shared but its blob store; the contract runs with `--pid=host` instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.containers.engine import ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.testing.attempts import AttemptBench
from tests.containers import engines

JOBS_FILE = Path(__file__).with_name("jobs.py.txt")
JOBS = JOBS_FILE.read_text(encoding="utf-8")
Make = Callable[..., ContainerLauncher]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests the time to build their image, if nobody has; a starved machine takes minutes for an example, too."""
    for item in items:
        if item.path.parent == JOBS_FILE.parent:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def _podman() -> None:
    engines.need("podman")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "jobs.py").write_text(JOBS)
    return folder


@pytest.fixture
def bench(source: Path, tmp_path: Path) -> AttemptBench:
    return AttemptBench(source, tmp_path)


@pytest.fixture
def engine() -> ContainerEngine:
    return ContainerEngine("podman", podman=True)


@pytest.fixture
async def new(engine: ContainerEngine, bench: AttemptBench) -> AsyncIterator[Make]:
    made: list[ContainerLauncher] = []
    scratch = bench.folder / "scratch"

    def make(by: ContainerEngine = engine, **changes: object) -> ContainerLauncher:
        own = ContainerSettings(image=engines.image("podman"), tmp="64Mi").model_copy(update=changes)
        made.append(ContainerLauncher(by, own, scratch, bench.storage, 2))
        return made[-1]

    yield make
    for launcher in made:
        await launcher.close()
    engines.clear("podman", scratch)
