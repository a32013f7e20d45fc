"""Stops that come while a container is being made, on a podman that pulls for a minute: it never starts."""

# Nothing else runs in the event loop of a test while it looks at files.
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.containers import beginnings, beside
from flyte_temporal.adapters.launchers.containers.endings import is_alive
from flyte_temporal.adapters.launchers.containers.engine import ContainerEngine
from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, Intent, StorageConfig
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store
from tests.unit.adapters.containers.test_launcher import order_of

PODMAN = """\
#!/bin/sh
# Says what it was asked for in `asked`; has a container `made` as soon as it makes one, and pulls before that if it is to.
cd {folder}
echo "$1" >> asked
case "$1" in
create)
    test ! -e pulls || {{ echo $$ > pulling; sleep 60; }}
    touch made ;;
start) touch started ;;
inspect)
    test -e made || {{ echo "no such container" >&2; exit 125; }}
    test -e started && status=exited || status=created
    printf '[{{"State": {{"Status": "%s", "ExitCode": 0}},' $status
    printf ' "Config": {{"Labels": {{"flyte-temporal.attempt": "%s"}}}}}}]' "$(cat key)" ;;
rm) rm -f made ;;
esac
"""


class Bench:
    """A podman, and launchers of one machine on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = StorageConfig(root=(folder / "store").as_uri())
        self.order: AttemptOrder = order_of(self.storage)
        (folder / "podman").write_text(PODMAN.format(folder=folder))
        (folder / "podman").chmod(0o755)
        (folder / "key").write_text(self.order.attempt.key)

    @asynccontextmanager
    async def launcher(self) -> AsyncIterator[ContainerLauncher]:
        """Yield a launcher."""
        engine = ContainerEngine(str(self.folder / "podman"), podman=True)
        made = ContainerLauncher(
            engine, ContainerSettings(image="i"), self.folder / "scratch", self.storage, 1
        )
        try:
            yield made
        finally:
            await made.close()

    async def pulls(self) -> None:
        """Return when the program pulls."""
        await self.there("pulling")

    async def there(self, name: str) -> None:
        """Return when a file is there."""
        async with asyncio.timeout(20):
            while not (self.folder / name).exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)

    @property
    def left(self) -> set[str]:
        """Return what there is of a container."""
        return {name for name in ("made", "started") if (self.folder / name).exists()}

    @property
    def asked(self) -> list[str]:
        """Return what the program was asked for."""
        return (self.folder / "asked").read_text().split()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    async def moved(_order: AttemptOrder, *_words: str, ends: bool = False) -> tuple[int, str]:
        return 0, ""

    monkeypatch.setattr(beside, "move", moved)
    return Bench(tmp_path)


@pytest.mark.parametrize("intent", [Intent.CANCEL, Intent.TIMEOUT])
async def test_a_stop_ends_the_pull_and_nothing_starts(bench: Bench, intent: Intent) -> None:
    (bench.folder / "pulls").touch()
    async with bench.launcher() as launcher:
        await launcher.start(bench.order)
        await bench.pulls()
        stopped = await asyncio.wait_for(launcher.stop(bench.order.attempt, 10, intent), 15)
        assert (stopped.phase, stopped.intent, stopped.ran) == (AttemptPhase.EXITED, intent, False)
        assert await launcher.observe(bench.order.attempt, 5) == stopped
    assert bench.left == set()
    assert not is_alive(int((bench.folder / "pulling").read_text()))
    assert "start" not in bench.asked
    assert bench.asked.count("inspect") < 10


async def test_so_does_the_stop_of_another_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "_NOTE_S", 0.1)
    (bench.folder / "pulls").touch()
    async with bench.launcher() as pulling, bench.launcher() as other:
        await pulling.start(bench.order)
        await bench.pulls()
        stopped = await asyncio.wait_for(other.stop(bench.order.attempt), 15)
        assert (stopped.phase, stopped.intent, stopped.ran) == (AttemptPhase.EXITED, Intent.CANCEL, False)
        assert not (await pulling.observe(bench.order.attempt, 5)).ran
    assert bench.left == set()


async def test_a_stop_ends_the_download_of_the_inputs_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def downloads(_order: AttemptOrder, *_words: str, ends: bool = False) -> tuple[int, str]:
        assert ends
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0, ""

    monkeypatch.setattr(beside, "move", downloads)
    async with bench.launcher() as launcher:
        await launcher.start(bench.order)
        await begun.wait()
        stopped = await asyncio.wait_for(launcher.stop(bench.order.attempt), 15)
        assert not stopped.ran
    assert ended.is_set()
    assert "create" not in bench.asked


async def test_a_command_whose_stop_was_asked_for_elsewhere_is_not_started(bench: Bench) -> None:
    """By a worker of another machine, whose own file keeps nobody here from starting it; our runtime asks by itself."""
    orders.request_stop(open_store(bench.storage), bench.order.attempt, Intent.CANCEL)
    async with bench.launcher() as launcher:
        await launcher.start(bench.order)
        state = await launcher.observe(bench.order.attempt, 20)
        assert (state.phase, state.intent, state.ran) == (AttemptPhase.EXITED, Intent.CANCEL, False)
    assert bench.left == set()


async def test_what_nobody_stops_starts(bench: Bench) -> None:
    async with bench.launcher() as launcher:
        await launcher.start(bench.order)
        assert (await launcher.observe(bench.order.attempt, 20)).ran
    assert bench.left == {"made", "started"}
