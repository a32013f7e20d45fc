"""A run that continues as new on the real local stack, whose worker is killed each time that it just has."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient

from flyte_temporal.client import Client
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import leftovers
from flyte_temporal.local.state import read_state
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from tests.invariants import check

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KILLS = 2

PROGRAM = """
import os
import time
from pathlib import Path
from flyte_temporal import task, workflow, map_task

@task
def step(folder: str, x: int) -> int:
    with (Path(folder) / f"step-{x}").open("a") as file:
        file.write("x")
    time.sleep(0.1)
    return x + 1

@task
def long(folder: str, x: int) -> int:
    with (Path(folder) / f"long-{x}").open("a") as file:
        file.write("x")
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return x

@task
def total(values: list[int], last: int) -> int:
    return sum(values) + last

@workflow
def busy(folder: str) -> int:
    longs = [long(folder=folder, x=i) for i in range(2)]
    x = step(folder=folder, x=0)
    for _ in range(24):
        x = step(folder=folder, x=x)
    return total(values=longs, last=x)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLYTE_TEMPORAL_LIMITS__HISTORY_EVENTS", "12")
    monkeypatch.setenv("FLYTE_TEMPORAL_WORKER__POOL_SIZE", "3")
    home = tmp_path / "home"
    yield home
    with Client.local(home) as client:
        client.down()
    assert leftovers(home) == []


@pytest.mark.row(38)
def test_a_worker_that_is_killed_whenever_a_run_was_continued_loses_nothing_and_repeats_nothing(
    home: Path, tmp_path: Path
) -> None:
    source, marks = tmp_path / "src" / "busy_program.py", tmp_path / "marks"
    source.parent.mkdir()
    source.write_text(PROGRAM)
    marks.mkdir()
    entity: Any = find_entity(load_file(source), "busy")
    with Client.local(home) as client:
        execution = client.run(entity, folder=str(marks))
        address = client.status().temporal_address
        runs = asyncio.run(_kill_after_each_run(address, execution.id, home))
        (marks / "go").touch()
        assert execution.wait(90).phase is ExecutionPhase.SUCCEEDED
        assert execution.outputs == {"o0": 0 + 1 + 25}
        nodes = execution.nodes()
        check(home)
    assert len(runs) > KILLS
    assert {node.phase for node in nodes} == {NodePhase.SUCCEEDED}
    assert [node.attempts for node in nodes] == [1] * 28
    counts = {mark.name: len(mark.read_text()) for mark in marks.iterdir() if mark.name != "go"}
    assert counts == {f"step-{i}": 1 for i in range(25)} | {"long-0": 1, "long-1": 1}


async def _kill_after_each_run(address: str, execution: str, home: Path) -> list[str]:
    """Kill the worker when a new run of the execution is seen; return the runs, of which one more than kills is seen."""
    temporal = await TemporalClient.connect(address)
    seen: list[str] = []
    deadline = time.monotonic() + 90
    while len(seen) <= KILLS + 1:
        assert time.monotonic() < deadline, f"only {len(seen)} runs"
        run_id = (await temporal.get_workflow_handle(execution).describe()).run_id
        if run_id not in seen:
            seen.append(run_id)
            if 1 < len(seen) <= KILLS + 1:
                worker = read_state(Layout(home).state).children["worker"]
                worker.send(signal.SIGKILL)
        await asyncio.sleep(0.02)
    return seen
