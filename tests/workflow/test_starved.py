"""10,000 nodes that may all run at once, on a worker that gets next to no processor time: slow, and never stuck."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.config.settings import Settings
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.worker.wiring import temporal_worker
from tests.workflow.conftest import Attempted, Stage

pytestmark = pytest.mark.slow

READY = 10_000
ROOT = Path(__file__).resolve().parents[2]
_LOAD = "import os\nos.sched_setaffinity(0, {0})\nos.nice(10)\nwhile True: pass"
"""Beside a process at nice 19 on the same processor, it gets nine tenths of it."""


@pytest.fixture
def load() -> Iterator[subprocess.Popen[bytes]]:
    # A session of its own would give it a share of its own (autogroup), whatever its priority.
    process = subprocess.Popen([sys.executable, "-c", _LOAD])
    yield process
    process.kill()
    process.wait()


@pytest.mark.row(39)
async def test_a_starved_worker_goes_on_with_ten_thousand_ready_nodes(
    stage: Stage, server: str, tmp_path: Path, load: subprocess.Popen[bytes]
) -> None:
    count = tmp_path / "count"
    line = [
        sys.executable,
        "-m",
        "tests.workflow.starved",
        server,
        stage.queue,
        tmp_path.as_uri(),
        str(count),
    ]
    worker = await asyncio.create_subprocess_exec(*line, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        assert (await asyncio.wait_for(worker.stdout.readline(), 60)).strip() == b"ready"
        closure = closures.fan_out(READY)
        stage.store_closure(closure)
        given = closures.run_input(closure, stage.name, 1, RunLimits(nodes=2 * READY))
        await stage.engine.start(given, closure)
        async with asyncio.timeout(240):
            while not count.exists() or count.stat().st_size < 300:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.2)
        assert load.poll() is None, "the load has ended; nothing was starved"
        load.kill()
        await stage.engine.abort(given.request.id, "it was seen to go on")
        ended = await stage.engine.wait(given.request.id, 120)
    finally:
        worker.kill()
        await worker.wait()
    assert ended is not None
    assert ended.phase is ExecutionPhase.ABORTED


async def test_a_long_step_is_no_deadlock(stage: Stage) -> None:
    """The limit is a private attribute of temporalio's worker; another release may have renamed it."""
    settings = Settings()
    attempted = Attempted()
    worker = temporal_worker(stage.client, settings, [attempted.run, attempted.record])
    own = worker._workflow_worker
    assert own is not None
    assert own._deadlock_timeout_seconds == settings.temporal.task_timeout_s
