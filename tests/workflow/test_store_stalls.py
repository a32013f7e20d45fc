"""Row 12 of the fault matrix: the store takes every request and answers none, with real attempts and Temporal's own clocks."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.pool import PoolLauncher
from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.spec.entities import EntryPoint
from flyte_temporal.spec.execution import Environment, ExecutionPhase, NodePhase
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.testing.attempts import AttemptBench
from flyte_temporal.testing.catalog import MemoryCatalog
from tests.contract.launching import alive, eventually, lines
from tests.contract.s3 import s3_config, s3_port
from tests.contract.test_blob_faults import through
from tests.proxies import Fault, proxied
from tests.workflow.caching import House
from tests.workflow.conftest import Stage

__all__ = ["s3_port"]

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(300)]

JOBS = """
import os, time
from pathlib import Path
from flyte_temporal import task

@task
def waits(x: int) -> int:
    Path({mark!r}).write_text(str(os.getpid()))
    while not Path({mark!r} + ".go").exists():
        time.sleep(0.02)
    return x
"""
HEARTBEAT_S = 2.0


@pytest.mark.row(12)
async def test_row_12_heartbeats_go_on_and_a_cancel_works_while_the_store_stalls(
    stage: Stage, s3_port: int, tmp_path: Path
) -> None:
    """The attempt has computed and cannot store it; nobody takes it for lost, and an abort ends it at once."""
    mark, source = tmp_path / "mark", tmp_path / "source"
    source.mkdir()
    (source / "jobs.py").write_text(JOBS.format(mark=str(mark)))
    config = s3_config(s3_port, "stalled")
    stalled = threading.Event()
    with proxied(s3_port, lambda _: Fault("hang") if stalled.is_set() else None) as proxy:
        bench = AttemptBench(source, tmp_path, config)
        closure = closures.chain(1)
        entry = EntryPoint(module="jobs", name="waits")
        tasks = {name: task.model_copy(update={"entry": entry}) for name, task in closure.tasks.items()}
        launcher = PoolLauncher(PoolConfig(tmp_path / "scratch", size=1))
        house = House(
            stage,
            MemoryCatalog(),
            launcher=launcher,
            storage=through(proxy, config, retries={"max_attempts": 0}),
            grace_s=3.0,
        )
        async with house.worker():
            given = {
                "limits": RunLimits(heartbeat_timeout_s=HEARTBEAT_S),
                "environment": Environment(interpreter=sys.executable, bundle=bench.bundle),
            }
            running = asyncio.create_task(
                house.run(closure.model_copy(update={"tasks": tasks}), "r", 1, **given)
            )
            await eventually(lambda: bool(lines(mark)))
            pid = int(mark.read_text())
            stalled.set()
            mark.with_suffix(".go").touch()
            await eventually(lambda: bool(proxy.faults))
            await asyncio.sleep(3 * HEARTBEAT_S)
            handle = stage.client.get_workflow_handle(f"r-{stage.name}"[:100])
            (pending,) = (await handle.describe()).raw_description.pending_activities
            assert (pending.attempt, alive(pid)) == (1, True)
            began = time.monotonic()
            await stage.engine.abort(
                closures.run_input(closure, f"r-{stage.name}"[:100]).request.id, "enough"
            )
            await eventually(lambda: not alive(pid))
            state = await running
            took_s = time.monotonic() - began
        await launcher.close()
    assert state.phase is ExecutionPhase.ABORTED
    assert took_s < 30
    assert house.nodes("r")["n0"].phase is NodePhase.ABORTED
