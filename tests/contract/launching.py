"""What the tests of launchers share: launchers to try, tasks for them, and looks at processes."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC230, ASYNC240
# Nothing else runs in the event loop of a test while it looks at files and processes.
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers import make_launcher
from flyte_temporal.config.settings import ContainerSettings, Settings, StorageSettings, WorkerSettings
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, Manifest
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage import scratch
from flyte_temporal.testing.attempts import AttemptBench
from flyte_temporal.testing.launcher import FakeLauncher, FakeMachine
from tests.containers import engines

TIMEOUT_S = 60.0

JOBS = Path(__file__).with_name("jobs.py.txt").read_text(encoding="utf-8")


async def act(bench: AttemptBench, order: AttemptOrder) -> None:
    """What a task process does, in this process, for the fake."""
    assert order.task.entry is not None
    path = {n: v.value for n, v in order.inputs.items() if isinstance(v, Inline)}.get("path")
    now = datetime.now(UTC)
    manifest = Manifest(
        attempt=order.attempt, outputs={"o0": Inline(value=42)}, started_at=now, finished_at=now
    )
    if order.task.entry.name == "fails":
        error = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="ValueError: no luck")
        manifest = manifest.model_copy(update={"outputs": None, "error": error})
    if order.task.entry.name in {"count", "hold"}:
        with Path(str(path)).open("a") as file:
            file.write("fake\n")
    while order.task.entry.name == "hold" and not Path(f"{path}.go").exists():
        await asyncio.sleep(0.005)
    bench.store.put_new(keys.manifest(order.attempt), canonical_bytes(manifest))


def make(kind: str, bench: AttemptBench, machine: FakeMachine, size: int = 2) -> Launcher:
    if kind == "fake":

        async def run(order: AttemptOrder) -> None:
            await act(bench, order)

        return FakeLauncher(run, machine)
    return make_launcher(kind, settings_of(kind, bench, size))


Make = Callable[..., Launcher]


CONTAINERS = ("podman", "docker")
KINDS = ("fake", "process", "pool")
"""What is tried if nobody says otherwise; containers have a target of their own (make test-containers)."""
real = pytest.mark.kinds("process", "pool", *CONTAINERS)
local = pytest.mark.kinds("process", "pool")
pool = pytest.mark.kinds("pool")
process = pytest.mark.kinds("process")
apart = pytest.mark.kinds("process", *CONTAINERS)
"""Launchers that start a process of its own for each attempt."""


def chosen() -> list[str]:
    """Return the launchers to try: the words of $TEST_LAUNCHERS, or the usual ones."""
    return os.environ.get("TEST_LAUNCHERS", "").split() or list(KINDS)


def settings_of(kind: str, bench: AttemptBench, size: int = 2) -> Settings:
    """Return the settings of a launcher that works for a bench; its containers see the bench's folder, and processes."""
    scratch = bench.folder / "scratch"
    worker = WorkerSettings(scratch=scratch, cache=scratch / "bundles", pool_size=size, pool_max_tasks=50)
    containers = ContainerSettings()
    if kind in CONTAINERS:
        containers = ContainerSettings(
            image=engines.image(kind),
            tmp="256Mi",
            options=(
                "--pid=host",
                # Inside of some machines nobody may have as many as engines give by default.
                "--ulimit=nofile=10000:20000",
                "--ulimit=nproc=30000:30000",
                "--mount",
                f"type=bind,source={bench.folder},target={bench.folder}",
            ),
        )
    storage = StorageSettings(root=bench.storage.root, options=bench.storage.options)
    return Settings(worker=worker, containers=containers, storage=storage)


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.01)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def alive(pid: int) -> bool:
    return scratch.start_time(pid) is not None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def finish(launcher: Launcher, order: AttemptOrder) -> None:
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert state.over, state


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from flyte_temporal.adapters.launchers import make_launcher
    from flyte_temporal.config.settings import Settings
    from flyte_temporal.spec.attempt import AttemptOrder

    async def main(kind, settings, order):
        launcher = make_launcher(kind, Settings.model_validate_json(settings))
        order = AttemptOrder.read(Path(order).read_bytes())
        await launcher.start(order)
        await launcher.observe(order.attempt, 600)

    asyncio.run(main(*sys.argv[1:]))
    """
)


async def worker_killed(kind: str, bench: AttemptBench, order: AttemptOrder, begun: Path) -> None:
    """Start an attempt in another process, and kill that process while the attempt runs."""
    written = bench.folder / "order.json"
    written.write_bytes(canonical_bytes(order))
    settings = settings_of(kind, bench).model_dump_json()
    arguments = [sys.executable, "-c", WORKER, kind, settings, str(written)]
    worker = subprocess.Popen(arguments)
    try:
        await eventually(lambda: bool(lines(begun)))
    finally:
        worker.kill()
        worker.wait()
