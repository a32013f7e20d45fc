"""The contract of `ports.launcher`, on the shipped fake and on the launchers of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.table import KEPT_S
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptPhase, Intent
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Resources, ResourceValues, TaskPolicy, Timeouts
from flyte_temporal.spec.types import STRING, BlobType
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import (
    CONTAINERS,
    TIMEOUT_S,
    Make,
    alive,
    apart,
    eventually,
    finish,
    lines,
    local,
    parent_of,
    pool,
    real,
)


async def test_an_attempt_leaves_its_manifest(new: Make, bench: AttemptBench) -> None:
    launcher, order = new(), bench.order("jobs.double", {"x": 21})
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 0)
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.attempt == order.attempt
    assert manifest.outputs == {"o0": Inline(value=42)}


async def test_starting_twice_runs_once(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher, order = new(), bench.order("jobs.count", {"path": str(tmp_path / "count")})
    await asyncio.gather(*(launcher.start(order) for _ in range(5)))
    await finish(launcher, order)
    await launcher.start(order)
    assert (await launcher.observe(order.attempt, 0.2)).over
    assert len(lines(tmp_path / "count")) == 1


async def test_two_launchers_run_it_once(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    one, two = new(), new()
    orders = [bench.order("jobs.count", {"path": str(tmp_path / f"count{i}")}) for i in range(8)]
    await asyncio.gather(*(launcher.start(order) for order in orders for launcher in (one, two)))
    for number, order in enumerate(orders):
        for launcher in (one, two):
            assert (await launcher.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.EXITED
        assert len(lines(tmp_path / f"count{number}")) == 1


async def test_another_launcher_sees_it_run_and_end(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    one, two = new(), new()
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await one.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    assert (await two.observe(order.attempt)).phase is AttemptPhase.RUNNING
    await two.start(order)
    assert (await two.observe(order.attempt, 0.05)).phase is AttemptPhase.RUNNING
    (tmp_path / "held.go").touch()
    assert (await two.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.EXITED
    assert len(lines(tmp_path / "held")) == 1


async def test_an_exception_of_the_user(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher, order = new(), bench.order("jobs.fails", {"path": ""})
    await finish(launcher, order)
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.outputs is None
    assert manifest.error is not None
    assert (manifest.error.kind, manifest.error.code) == (ErrorKind.USER, "UserCodeError")
    assert "no luck" in manifest.error.message


async def test_an_attempt_without_a_trace_is_lost(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.double", {"x": 1})
    assert (await new().observe(order.attempt, 0.1)).phase is AttemptPhase.LOST


async def test_stop_ends_a_running_attempt(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher, order = new(), bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    assert (await launcher.stop(order.attempt, 5)).over
    assert (await launcher.observe(order.attempt)).over
    assert (await launcher.stop(order.attempt, 5)).over


async def test_a_released_attempt_does_not_start_again(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher, order = new(), bench.order("jobs.count", {"path": str(tmp_path / "count")})
    await finish(launcher, order)
    await launcher.release(order.attempt)
    await launcher.start(order)
    assert (await launcher.observe(order.attempt, 0.2)).phase is AttemptPhase.LOST
    assert len(lines(tmp_path / "count")) == 1


@real
async def test_what_another_launcher_has_released_is_not_kept_for_ever(
    new: Make, bench: AttemptBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = new(), new()
    order = bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await one.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    await two.start(order)
    (tmp_path / "held.go").touch()
    for launcher in (one, two):
        assert (await launcher.observe(order.attempt, TIMEOUT_S)).over
    await two.release(order.attempt)
    known = one._entries  # type: ignore[attr-defined]
    assert order.attempt.key in known
    monkeypatch.setattr(known, "_clock", lambda: time.monotonic() + 2 * KEPT_S)
    assert order.attempt.key not in known
    assert len(lines(tmp_path / "held")) == 1


@local
async def test_release_removes_all_files(new: Make, bench: AttemptBench) -> None:
    launcher, order = new(), bench.order("jobs.say", {"text": "hello"}, STRING)
    await finish(launcher, order)
    await launcher.release(order.attempt)
    assert list((bench.folder / "scratch" / "attempts").iterdir()) == []


DEATHS = [
    # task, kind, code, what the message says
    ("segfault", ErrorKind.USER, "ProcessDied", ["signal 11 (SIGSEGV", "last words", "Segmentation fault"]),
    ("os_exit", ErrorKind.USER, "ProcessExited", ["exit code 3", "os._exit"]),
    ("os_exit_zero", ErrorKind.USER, "ProcessExited", ["exit code 0"]),
    ("sys_exit", ErrorKind.USER, "SystemExit", ["sys.exit(3)"]),
    ("kill_itself", ErrorKind.SYSTEM, "Killed", ["signal 9 (SIGKILL"]),
    ("recurse", ErrorKind.USER, "UserCodeError", ["RecursionError"]),
    ("c_stack", ErrorKind.USER, None, []),
    ("too_much", ErrorKind.USER, "OutOfMemory", ["MemoryError"]),
]


@real
async def test_a_death_fails_its_own_attempt_with_words(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher = new()
    path = str(tmp_path / "held")
    neighbour = bench.order("jobs.hold", {"path": path})
    await launcher.start(neighbour)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    for task, kind, code, words in DEATHS:
        order = bench.order(f"jobs.{task}", {"path": ""})
        await launcher.start(order)
        state = await launcher.observe(order.attempt, TIMEOUT_S)
        assert state.phase is AttemptPhase.EXITED, (task, state)
        manifest = bench.manifest(order)
        assert manifest is not None, (task, state)
        assert manifest.error is not None, task
        assert (manifest.error.kind, manifest.error.recoverable) == (kind, True), manifest.error
        assert code in {None, manifest.error.code}, manifest.error
        for word in words:
            assert word in manifest.error.message, manifest.error
    (tmp_path / "held.go").touch()
    assert (await launcher.observe(neighbour.attempt, TIMEOUT_S)).exit_code == 0
    assert bench.manifest(neighbour).outputs is not None  # type: ignore[union-attr]


@pytest.mark.row(17)
@apart
async def test_more_memory_than_the_limit(kind: str, new: Make, bench: AttemptBench) -> None:
    policy = TaskPolicy(resources=Resources(limits=ResourceValues(mem="200Mi")))
    launcher, order = new(), bench.order("jobs.hog", {"path": ""}, policy=policy)
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    # Nobody but the runtime in a container sees which of its processes was killed.
    assert (state.phase, state.oom) == (AttemptPhase.EXITED, kind not in CONTAINERS)
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert (error.kind, error.code) == (ErrorKind.USER, "OutOfMemory")
    assert "limit of 200Mi" in error.message


@pytest.mark.row(18)
@real
async def test_the_task_decides_about_a_child_without_memory(new: Make, bench: AttemptBench) -> None:
    """A child that the kernel kills, or that gets no memory, is the task's own to judge: the attempt is no failure."""
    launcher = new()
    for how, code in (("killed", 9), ("no memory", 1)):
        order = bench.order("jobs.child_dies", {"how": how})
        await finish(launcher, order)
        manifest = bench.manifest(order)
        assert manifest is not None
        assert (manifest.error, manifest.outputs) == (None, {"o0": Inline(value=code)})


@real
async def test_a_time_out_is_told_apart_from_a_stop(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new()
    limits = TaskPolicy(timeouts=Timeouts(run_s=7))
    order = bench.order("jobs.stubborn", {"path": str(tmp_path / "pid")}, policy=limits)
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "pid")))
    state = await launcher.stop(order.attempt, 0.2, Intent.TIMEOUT)
    assert (state.over, state.intent, state.ran) == (True, Intent.TIMEOUT, True)
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert (error.kind, error.code, error.recoverable) == (ErrorKind.USER, "TimedOut", True)
    assert "time-out of 7 s" in error.message


async def test_what_was_never_started_here_cannot_begin_after_a_stop(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    """Row 28 of the fault matrix: a launcher that hung between the order and the start wakes up after the abort."""
    order = bench.order("jobs.count", {"path": str(tmp_path / "ran")})
    state = await new().stop(order.attempt)
    assert (state.over, state.ran) == (True, False)
    late = new()
    await late.start(order)
    assert (await late.observe(order.attempt, TIMEOUT_S)).over
    assert not lines(tmp_path / "ran")
    assert bench.manifest(order) is None


@pytest.mark.row(30)
@real
async def test_a_loop_that_ignores_sigterm_is_killed(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher, order = new(), bench.order("jobs.stubborn", {"path": str(tmp_path / "pid")})
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "pid")))
    state = await launcher.stop(order.attempt, 0.3)
    assert state.over
    assert not alive(int(lines(tmp_path / "pid")[0]))
    manifest = bench.manifest(order)
    assert manifest is not None
    assert manifest.error is not None
    assert (manifest.error.kind, manifest.error.code) == (ErrorKind.SYSTEM, "Stopped")
    again = bench.order("jobs.double", {"x": 1})
    await finish(launcher, again)
    assert bench.manifest(again) is not None


@real
async def test_output_of_the_task_and_of_its_programs_is_kept(new: Make, bench: AttemptBench) -> None:
    launcher = new(1)
    for text in ("grüße", "second"):
        order = bench.order("jobs.say", {"text": text}, STRING)
        await finish(launcher, order)
        assert bench.log(order) == f"{text}\nfrom a shell\n"
        assert bench.manifest(order).log_chunks == 1  # type: ignore[union-attr]
    silent = bench.order("jobs.double", {"x": 1})
    await finish(launcher, silent)
    assert bench.manifest(silent).log_chunks == 0  # type: ignore[union-attr]


@real
async def test_environment_variables_do_not_leak(new: Make, bench: AttemptBench) -> None:
    launcher = new(1)
    seen = []
    for policy in (TaskPolicy(env={"COLOUR": "red"}), TaskPolicy(), TaskPolicy()):
        order = bench.order("jobs.variable", {"name": "COLOUR"}, STRING, policy)
        await finish(launcher, order)
        seen.append(bench.manifest(order).outputs["o0"].value)  # type: ignore[union-attr, index]
    assert seen == ["red", "", ""]


@real
async def test_attempts_at_once_write_the_same_relative_name(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher, wanted = new(2), ["one", "two"]
    inputs = {"path": str(tmp_path / "met")}
    file = BlobType(shape="single")
    orders = [bench.order("jobs.meet", inputs | {"text": text}, file) for text in wanted]
    for order in orders:
        await launcher.start(order)
    found = []
    for order in orders:
        await launcher.observe(order.attempt, TIMEOUT_S)
        manifest = bench.manifest(order)
        assert manifest is not None
        assert manifest.outputs is not None, manifest.error
        stored = manifest.outputs["o0"]
        assert isinstance(stored, Inline)
        assert isinstance(stored.value, dict)
        found.append(bench.store.get(keys.blob(str(stored.value["sha256"]))))
    assert found == [text.encode() for text in wanted]


@real
async def test_what_a_task_writes_is_no_code_of_later_ones(new: Make, bench: AttemptBench) -> None:
    launcher = new(1)
    first = bench.order("jobs.write_helper", {"path": ""}, STRING)
    await finish(launcher, first)
    folder = Path(bench.manifest(first).outputs["o0"].value)  # type: ignore[union-attr, index, arg-type]
    await launcher.release(first.attempt)
    second = bench.order("jobs.read_helper", {"path": ""}, STRING)
    await finish(launcher, second)
    assert bench.manifest(second).outputs == {"o0": Inline(value="of the bundle []")}  # type: ignore[union-attr]
    assert not (folder / "helper.py").exists()


@real
async def test_attempts_beyond_the_size_wait_in_order(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new(1)
    orders = [bench.order("jobs.hold", {"path": str(tmp_path / f"held{i}")}) for i in range(3)]
    for order in orders:
        await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held0")))
    waiting = await launcher.observe(orders[1].attempt)
    assert (waiting.phase, waiting.started_at) == (AttemptPhase.QUEUED, None)
    assert "waiting" in waiting.message
    stopped = await launcher.stop(orders[1].attempt)
    assert stopped.over
    (tmp_path / "held0.go").touch()
    (tmp_path / "held2.go").touch()
    assert (await launcher.observe(orders[2].attempt, TIMEOUT_S)).exit_code == 0
    await launcher.start(orders[1])
    assert not lines(tmp_path / "held1")


@real
async def test_what_a_task_leaves_running_ends_with_it(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher, order = new(1), bench.order("jobs.leaves_a_child", {"path": str(tmp_path / "pid")})
    await finish(launcher, order)
    left = int((tmp_path / "pid").read_text())
    await eventually(lambda: not alive(left))
    after = bench.order("jobs.double", {"x": 1})
    await finish(launcher, after)
    assert bench.manifest(after) is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
@pytest.mark.parametrize("then", ["return", "die", "hold"])
@real
async def test_a_daemon_of_a_task_ends_with_it(
    new: Make, bench: AttemptBench, tmp_path: Path, then: str
) -> None:
    """A parent and a child in a session of their own, whose own parent is gone."""
    launcher = new(1)
    order = bench.order("jobs.leaves_a_daemon", {"path": str(tmp_path / "pids"), "then": then})
    await launcher.start(order)
    await eventually(lambda: len(lines(tmp_path / "pids")) == 2)
    left = [int(pid) for pid in lines(tmp_path / "pids")]
    if then == "hold":
        assert all(alive(pid) for pid in left)
        await launcher.stop(order.attempt, 5)
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).over
    await eventually(lambda: not any(alive(pid) for pid in left))
    after = bench.order("jobs.double", {"x": 1})
    await finish(launcher, after)
    assert bench.manifest(after) is not None


@local
async def test_an_interpreter_that_is_not_there(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.double", {"x": 1})
    order = order.model_copy(
        update={"environment": order.environment.model_copy(update={"interpreter": "/no/such/python"})}
    )
    launcher = new()
    with pytest.raises(Exception, match="/no/such/python"):
        await launcher.start(order)
    assert (await launcher.observe(order.attempt)).phase is AttemptPhase.LOST


@pool
async def test_one_process_runs_many_attempts(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new(1)
    for _ in range(20):
        await finish(launcher, bench.order("jobs.count", {"path": str(tmp_path / "pids")}))
    assert len(set(lines(tmp_path / "pids"))) == 1


@pool
async def test_a_worn_out_process_is_replaced(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher = new(1)  # max_tasks is 50 here
    for _ in range(60):
        await finish(launcher, bench.order("jobs.count", {"path": str(tmp_path / "pids")}))
    seen = lines(tmp_path / "pids")
    assert len(set(seen)) == 2
    assert seen[:50] == [seen[0]] * 50


@pool
async def test_busy_processes_outlive_their_zygote(new: Make, bench: AttemptBench, tmp_path: Path) -> None:
    launcher, order = new(2), bench.order("jobs.hold", {"path": str(tmp_path / "held")})
    await launcher.start(order)
    await eventually(lambda: bool(lines(tmp_path / "held")))
    task = int(lines(tmp_path / "held")[0])
    os.kill(parent_of(task), signal.SIGKILL)
    other = bench.order("jobs.double", {"x": 4})
    await finish(launcher, other)
    assert bench.manifest(other) is not None
    (tmp_path / "held.go").touch()
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).exit_code == 0
    assert lines(tmp_path / "held") == [str(task)]


@pool
async def test_an_idle_process_that_is_killed_is_replaced(
    new: Make, bench: AttemptBench, tmp_path: Path
) -> None:
    launcher = new(1)
    for _ in range(3):
        await finish(launcher, bench.order("jobs.count", {"path": str(tmp_path / "pids")}))
        killed = int(lines(tmp_path / "pids")[-1])
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda killed=killed: not alive(killed))  # type: ignore[misc]
    assert len(set(lines(tmp_path / "pids"))) == 3
