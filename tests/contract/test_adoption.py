"""Attempts whose worker, or whose platform, is gone: adopted, stopped, reported."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flyte_temporal.local.attempts import end_attempts
from flyte_temporal.spec.attempt import AttemptPhase, Intent
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import (
    CONTAINERS,
    TIMEOUT_S,
    Make,
    alive,
    eventually,
    lines,
    local,
    parent_of,
    process,
    real,
    worker_killed,
)


@pytest.mark.row(1)
@real
async def test_an_attempt_outlives_its_worker(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    task = int(lines(tmp_path / "held")[0])
    parent = parent_of(task)
    launcher = new()
    await launcher.start(order)
    state = await launcher.observe(order.attempt, 0.05)
    # Of a container the first process is known, which is the supervisor.
    first = parent if kind in CONTAINERS else task
    assert (state.phase, state.pid) == (AttemptPhase.RUNNING, first)
    assert state.started_at is not None
    (tmp_path / "held.go").touch()
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).exit_code == 0
    assert lines(tmp_path / "held") == [str(task)]
    assert bench.manifest(order).outputs == {"o0": Inline(value=task)}  # type: ignore[union-attr]
    await eventually(lambda: not alive(task) and not alive(parent))


@real
async def test_an_adopted_attempt_can_be_stopped(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    order = bench.order("jobs.stubborn", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    launcher = new()
    await launcher.start(order)
    assert (await launcher.stop(order.attempt, 0.2)).over
    assert not alive(int(lines(tmp_path / "held")[0]))
    assert bench.manifest(order).error.code == "Stopped"  # type: ignore[union-attr]


@pytest.mark.row(31)
@real
async def test_an_adopted_attempt_that_dies_is_reported(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    launcher = new()
    await launcher.start(order)
    os.kill(int(lines(tmp_path / "held")[0]), signal.SIGKILL)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert state.phase is AttemptPhase.EXITED
    assert state.exit_code in {-9, 137}
    assert bench.manifest(order).error.code == "Killed"  # type: ignore[union-attr]


@pytest.mark.row(31)
@real
async def test_all_processes_killed_at_once_is_lost(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    """As after a power cut: nobody is left to write how it ended, and it does not start again."""
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    task = int(lines(tmp_path / "held")[0])
    parent = parent_of(task)
    os.kill(parent, signal.SIGKILL)
    os.kill(task, signal.SIGKILL)
    launcher = new()
    await launcher.start(order)
    # The monitor of a container is left, and has seen the kill.
    wanted = AttemptPhase.EXITED if kind in CONTAINERS else AttemptPhase.LOST
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).phase is wanted
    await launcher.start(order)
    assert (await launcher.observe(order.attempt, 0.1)).phase is wanted
    assert bench.manifest(order) is None
    assert lines(tmp_path / "held") == [str(task)]


@real
async def test_an_attempt_killed_because_the_platform_stops_says_so(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    assert end_attempts(bench.folder / "scratch") == 1
    assert not alive(int(lines(tmp_path / "held")[0]))
    launcher = new()
    await launcher.start(order)
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.EXITED
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.SYSTEM, "PlatformStopped", True)
    assert error.message == "The platform was stopped while the attempt ran."
    assert end_attempts(bench.folder / "scratch") == 0


@local
async def test_the_platform_stops_and_nobody_is_left_to_report(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    task = int(lines(tmp_path / "held")[0])
    os.kill(parent_of(task), signal.SIGKILL)
    assert end_attempts(bench.folder / "scratch") == 1
    assert not alive(task)
    launcher = new()
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert (state.phase, state.intent) == (AttemptPhase.LOST, Intent.PLATFORM)
    assert bench.manifest(order) is None


@pytest.mark.row(31)
@process
async def test_a_supervisor_that_hangs_is_ended_too(
    kind: str, new: Make, bench: AttemptBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.local.attempts._DEADLINE_S", 0.5)
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await worker_killed(kind, bench, order, tmp_path / "held")
    supervisor = parent_of(int(lines(tmp_path / "held")[0]))
    os.kill(supervisor, signal.SIGSTOP)
    assert end_attempts(bench.folder / "scratch") == 1
    assert not alive(supervisor)
    assert (await new().observe(order.attempt, TIMEOUT_S)).intent is Intent.PLATFORM


@pytest.mark.row(31)
@process
async def test_a_killed_supervisor_does_not_end_the_task(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher, order = new(), bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    task = int(lines(tmp_path / "held")[0])
    os.kill(parent_of(task), signal.SIGKILL)
    assert (await launcher.observe(order.attempt, 0.3)).phase is AttemptPhase.RUNNING
    (tmp_path / "held.go").touch()
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).exit_code == 0
    assert bench.manifest(order).outputs is not None  # type: ignore[union-attr]
