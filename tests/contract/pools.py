"""A warm pool for tests, and programs for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import LiteralType
from flyte_temporal.testing.attempts import AttemptBench

TIMEOUT_S = 60.0

HEADER = "import os, sys, time\nfrom flyte_temporal import task\n"
PID = "\n@task\ndef pid(path: str) -> int:\n    return os.getpid()\n"


def make_bench(tmp_path: Path, **modules: str) -> AttemptBench:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in modules.items():
        (source / f"{name}.py").write_text(HEADER + text)
    return AttemptBench(source, tmp_path)


@asynccontextmanager
async def pool_of(bench: AttemptBench, **settings: float) -> AsyncIterator[PoolLauncher]:
    size = int(settings.pop("size", 1))
    launcher = PoolLauncher(PoolConfig(bench.folder / "scratch", size, **settings))  # type: ignore[arg-type]
    try:
        yield launcher
    finally:
        await launcher.close()


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.01)


async def run(launcher: PoolLauncher, order: AttemptOrder) -> AttemptState:
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert state.over, state
    return state


async def value(
    launcher: PoolLauncher, bench: AttemptBench, task: str, output: LiteralType | None = None
) -> object:
    order = bench.order(task, {"path": ""}, output) if output else bench.order(task, {"path": ""})
    state = await run(launcher, order)
    manifest = bench.manifest(order)
    assert manifest is not None, state
    assert manifest.outputs is not None, manifest.error
    literal = manifest.outputs["o0"]
    assert isinstance(literal, Inline)
    return literal.value
