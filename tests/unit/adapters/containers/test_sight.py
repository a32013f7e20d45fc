"""Engines whose processes cannot be seen from here, whatever the environment says: they are asked, and nobody else is killed."""

# Nothing else runs in the event loop of a test while it looks at files.
from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.containers import watching
from flyte_temporal.adapters.launchers.containers.engine import ATTEMPT, ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.adapters.launchers.containers.places import Places, Stage, folder_in
from flyte_temporal.adapters.launchers.containers.plan import container_name
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.spec.attempt import AttemptPhase, StorageConfig
from tests.unit.adapters.containers.test_launcher import order_of

PROGRAM = """\
#!/bin/sh
cd {folder}
case "$1" in
inspect) cat shown ;;
info) cat remote ;;
kill)
    echo "$3" >> signals
    # Of the last signal it says that it cannot; what happens to the process, it sees.
    test "$3" = KILL || exit 0
    cp ended shown
    echo "its monitor is gone" >&2
    exit 125 ;;
esac
"""
NOBODY = 2**22 + 1
"""More than any process of Linux has."""


class Engine:
    """A program that shows one container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = StorageConfig(root=(folder / "store").as_uri())
        self.attempt = order_of(self.storage).attempt
        (folder / "program").write_text(PROGRAM.format(folder=folder))
        (folder / "program").chmod(0o755)
        (folder / "remote").write_text("false\n")
        (folder / "ended").write_text(self._document(Status="exited", ExitCode=137))

    def _document(self, **state: Any) -> str:
        return json.dumps([{"State": state, "Config": {"Labels": {ATTEMPT: self.attempt.key}}}])

    def shows(self, pid: int, *, since_s: float = 0.0) -> None:
        """Show the container as running."""
        began = datetime.now(UTC) - timedelta(seconds=since_s)
        text = self._document(Status="running", Pid=pid, StartedAt=began.isoformat())
        (self.folder / "shown").write_text(text)

    def ends(self) -> None:
        """Show the container as ended."""
        (self.folder / "ended").replace(self.folder / "shown")

    def launcher(self, *, podman: bool) -> ContainerLauncher:
        """Return a launcher on it."""
        program = ContainerEngine(str(self.folder / "program"), podman=podman)
        return ContainerLauncher(
            program, ContainerSettings(image="i"), self.folder / "scratch", self.storage, 1
        )


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(watching, "SETTLE_S", 0.05)
    monkeypatch.setattr("flyte_temporal.adapters.launchers.containers.launcher.SETTLE_S", 0.05)
    for name in ("CONTAINER_HOST", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    return Engine(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("podman", [True, False])
async def test_a_process_that_cannot_be_seen_is_not_taken_for_gone(engine: Engine, podman: bool) -> None:
    """Docker's socket mounted into a worker's container, or a podman that speaks to another one."""
    (engine.folder / "remote").write_text("true\n")
    engine.shows(NOBODY)
    launcher = engine.launcher(podman=podman)
    try:
        assert not (await launcher.observe(engine.attempt, 1.5)).over
        engine.ends()
        state = await launcher.observe(engine.attempt, 20)
        assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 137)
    finally:
        await launcher.close()


async def test_podmans_own_process_is_gone_if_it_cannot_be_seen(engine: Engine) -> None:
    engine.shows(NOBODY)
    launcher = engine.launcher(podman=True)
    try:
        assert (await launcher.observe(engine.attempt, 20)).phase is AttemptPhase.LOST
    finally:
        await launcher.close()


async def test_so_is_any_that_was_seen(engine: Engine, sleeper: subprocess.Popen[bytes]) -> None:
    engine.shows(sleeper.pid)
    launcher = engine.launcher(podman=False)
    try:
        assert (await launcher.observe(engine.attempt)).phase is AttemptPhase.RUNNING
        await asyncio.sleep(0.2)
        sleeper.kill()
        await asyncio.to_thread(sleeper.wait)
        assert (await launcher.observe(engine.attempt, 20)).phase is AttemptPhase.LOST
    finally:
        await launcher.close()


async def test_a_process_of_the_same_number_here_is_not_waited_for(
    engine: Engine, sleeper: subprocess.Popen[bytes]
) -> None:
    engine.shows(sleeper.pid, since_s=3600)
    launcher = engine.launcher(podman=False)
    try:
        assert not (await launcher.observe(engine.attempt, 0.5)).over
        engine.ends()
        assert (await launcher.observe(engine.attempt, 10)).over
    finally:
        await launcher.close()


@pytest.mark.parametrize("elsewhere", ["by the environment", "by its start"])
async def test_a_process_of_the_same_number_here_is_not_killed(
    engine: Engine, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    if elsewhere == "by the environment":
        monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    engine.shows(sleeper.pid, since_s=0 if elsewhere == "by the environment" else 3600)
    await stopped(engine)
    assert sleeper.poll() is None


async def test_the_containers_own_is(engine: Engine, sleeper: subprocess.Popen[bytes]) -> None:
    engine.shows(sleeper.pid)
    await stopped(engine)
    assert await asyncio.to_thread(sleeper.wait) == -9


async def stopped(engine: Engine) -> None:
    """Stop the attempt of a container that the engine does not kill."""
    launcher = engine.launcher(podman=False)
    places, name = Places(folder_in(engine.folder / "scratch"), ""), container_name(engine.attempt)
    with places.locked(name, engine.attempt, engine.storage) as place:
        assert place is not None
        place.write(Stage.BEGUN)
    try:
        assert not (await launcher.observe(engine.attempt)).over
        assert (await launcher.stop(engine.attempt, 0.1)).over
        assert (engine.folder / "signals").read_text().split() == ["TERM", "KILL"]
    finally:
        await launcher.close()
