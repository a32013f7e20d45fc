"""A task saves while it runs and once more when it is stopped, under each launcher of this machine."""

# Nothing else runs in the event loop of a test while it looks at files.
from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from flyte_temporal.local.attempts import end_attempts
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec.attempt import PLATFORM_STOPPED, AttemptOrder, AttemptPhase, Manifest
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import STRING
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import Make, alive, eventually, finish, lines, local, real

pytestmark = real


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "jobs.py").write_text(Path(__file__).with_name("saving_jobs.py.txt").read_text())
    return folder


def ordered(bench: AttemptBench, task: str, path: Path, after: AttemptOrder | None = None) -> AttemptOrder:
    """Return an order, if need be for the next attempt of the node that another order is for."""
    order = bench.order(f"jobs.{task}", {"path": str(path)}, STRING)
    if after is None:
        return order
    attempt = after.attempt.model_copy(
        update={"number": after.attempt.number + 1, "token": order.attempt.token}
    )
    return order.model_copy(update={"attempt": attempt, "earlier": (*after.earlier, after.attempt.token)})


async def begun(launcher: Launcher, bench: AttemptBench, task: str, path: Path) -> AttemptOrder:
    order = ordered(bench, task, path)
    await launcher.start(order)
    await eventually(lambda: bool(lines(path)))
    return order


def left(bench: AttemptBench, order: AttemptOrder) -> Manifest:
    manifest = bench.manifest(order)
    assert manifest is not None
    return manifest


async def found_by_next(launcher: Launcher, bench: AttemptBench, order: AttemptOrder) -> object:
    after = ordered(bench, "found", Path("unused"), order)
    await finish(launcher, after)
    outputs = left(bench, after).outputs
    assert outputs is not None, left(bench, after).error
    literal = outputs["o0"]
    assert isinstance(literal, Inline)
    return literal.value


@pytest.mark.parametrize(("task", "step", "data"), [("polls", 2, "last"), ("calls", 5, "by the call")])
async def test_a_last_save_when_it_is_stopped(
    new: Make, bench: AttemptBench, tmp_path: Path, task: str, step: int, data: str
) -> None:
    launcher = new()
    order = await begun(launcher, bench, task, tmp_path / "pid")
    assert (await launcher.stop(order.attempt, 30)).over
    manifest = left(bench, order)
    assert manifest.error is not None
    assert (manifest.error.kind, manifest.error.code) == (ErrorKind.SYSTEM, "Stopped")
    assert manifest.checkpoint is not None
    assert manifest.checkpoint.step == step
    assert len(lines(tmp_path / "pid.finally")) == (1 if task == "calls" else 0)
    assert lines(tmp_path / "pid.never") == []
    await eventually(lambda: not alive(int(lines(tmp_path / "pid")[0])))
    assert await found_by_next(launcher, bench, order) == f"{data} {step}"


async def test_a_stop_in_the_middle_of_saves(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new()
    order = await begun(launcher, bench, "calls_amid_saves", tmp_path / "pid")
    assert (await launcher.stop(order.attempt, 30)).over
    saved = left(bench, order).checkpoint
    assert saved is not None
    assert saved.step is not None
    assert saved.step < 0
    assert await found_by_next(launcher, bench, order) == f"{saved.step} {saved.step}"


async def test_what_is_done_in_the_grace_time_counts(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new()
    order = await begun(launcher, bench, "finishes", tmp_path / "pid")
    await launcher.stop(order.attempt, 30)
    assert left(bench, order).outputs == {"o0": Inline(value="in time")}


async def test_the_last_save_has_a_part_of_the_grace_time(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    """Half of a short one: the rest is for the report. It ends by itself, before anybody would kill it."""
    launcher = new()
    order = ordered(bench, "never_ends", tmp_path / "pid").model_copy(update={"grace_s": 1.0})
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "pid")))
    before = time.monotonic()
    await launcher.stop(order.attempt, 60)
    assert time.monotonic() - before < 30
    manifest = left(bench, order)
    assert manifest.error is not None
    assert manifest.error.code == "Stopped"
    assert manifest.checkpoint is not None
    assert manifest.checkpoint.step == 3


@pytest.mark.parametrize(
    ("task", "data"), [("polls", "last 2"), ("calls", "by the call 5"), ("saves_and_waits", "kept 8")]
)
async def test_the_stack_goes_down(
    new: Make, bench: AttemptBench, tmp_path: Path, task: str, data: str
) -> None:
    launcher = new()
    order = await begun(launcher, bench, task, tmp_path / "pid")
    assert await asyncio.to_thread(end_attempts, bench.folder / "scratch") == 1
    await eventually(lambda: bench.manifest(order) is not None)
    manifest = left(bench, order)
    assert manifest.error is not None
    assert manifest.error.code == PLATFORM_STOPPED
    assert manifest.checkpoint is not None
    await launcher.observe(order.attempt, 30)
    assert await found_by_next(launcher, bench, order) == data


@local
async def test_the_last_checkpoint_is_seen_while_it_runs_and_when_it_is_killed(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    one, two = new(), new()
    order = await begun(one, bench, "saves_and_waits", tmp_path / "pid")
    for launcher in (one, two):
        state = await launcher.observe(order.attempt)
        assert state.phase is AttemptPhase.RUNNING
        assert state.checkpoint is not None
        assert (state.checkpoint.step, state.checkpoint.tag) == (8, "v1")
    os.kill(int(lines(tmp_path / "pid")[0]), signal.SIGKILL)
    assert (await one.observe(order.attempt, 60)).over
    manifest = left(bench, order)
    assert manifest.error is not None
    assert manifest.error.code == "Killed"
    assert manifest.checkpoint is not None
    assert manifest.checkpoint.step == 8
    assert await found_by_next(one, bench, order) == "kept 8"


@pytest.mark.parametrize("keep", [True, False])
async def test_what_stays_of_a_task_that_succeeded(
    new: Make, bench: AttemptBench, tmp_path: Path, keep: bool
) -> None:
    launcher = new()
    (tmp_path / "pid.go").touch()
    order = ordered(bench, "saves_and_waits", tmp_path / "pid").model_copy(update={"keep_checkpoint": keep})
    await finish(launcher, order)
    assert left(bench, order).outputs == {"o0": Inline(value="done")}
    assert bool(list(bench.store.list("checkpoints"))) == keep


@local
async def test_the_next_task_of_a_process_is_stopped_as_ever(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher = new(1)
    await finish(launcher, ordered(bench, "asks", tmp_path / "pid"))
    order = ordered(bench, "disposition", tmp_path / "pid")
    await finish(launcher, order)
    assert left(bench, order).outputs == {"o0": Inline(value="True")}
