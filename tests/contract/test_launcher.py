"""The contract of `ports.launcher`, on the shipped fake and on the launchers of this machine."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC230, ASYNC240
# Nothing else runs in the event loop of a test while it looks at files and processes.
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
from flyte_temporal.adapters.launchers.process import ProcessLauncher
from flyte_temporal.local.attempts import end_attempts
from flyte_temporal.ports.launcher import Launcher
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, Manifest
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.policies import Resources, ResourceValues, TaskPolicy
from flyte_temporal.spec.types import STRING, BlobType
from flyte_temporal.storage import scratch
from flyte_temporal.testing.attempts import AttemptBench
from flyte_temporal.testing.launcher import FakeLauncher, FakeMachine

TIMEOUT_S = 60.0

JOBS = Path(__file__).with_name("jobs.py.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "jobs.py").write_text(JOBS)
    (folder / "helper.py").write_text("VALUE = 'of the bundle'")
    return folder


@pytest.fixture
def bench(source: Path, tmp_path: Path) -> AttemptBench:
    return AttemptBench(source, tmp_path)


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
    if kind == "process":
        return ProcessLauncher(bench.folder / "scratch", size=size)
    return PoolLauncher(PoolConfig(bench.folder / "scratch", size=size, max_tasks=50))


Make = Callable[..., Launcher]


@pytest.fixture(params=["fake", "process", "pool"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def new(kind: str, bench: AttemptBench) -> AsyncIterator[Make]:
    made: list[Launcher] = []
    machine = FakeMachine()

    def make_one(size: int = 2) -> Launcher:
        made.append(make(kind, bench, machine, size))
        return made[-1]

    yield make_one
    for launcher in made:
        await launcher.close()


real = pytest.mark.parametrize("kind", ["process", "pool"])
pool = pytest.mark.parametrize("kind", ["pool"])
process = pytest.mark.parametrize("kind", ["process"])


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


@process
async def test_more_memory_than_the_limit(new: Make, bench: AttemptBench) -> None:
    policy = TaskPolicy(resources=Resources(limits=ResourceValues(mem="200Mi")))
    launcher, order = new(), bench.order("jobs.hog", {"path": ""}, policy=policy)
    await launcher.start(order)
    state = await launcher.observe(order.attempt, TIMEOUT_S)
    assert (state.phase, state.oom) == (AttemptPhase.EXITED, True)
    error = bench.manifest(order).error  # type: ignore[union-attr]
    assert error is not None
    assert (error.kind, error.code) == (ErrorKind.USER, "OutOfMemory")
    assert "limit of 200Mi" in error.message


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


@real
async def test_an_interpreter_that_is_not_there(new: Make, bench: AttemptBench) -> None:
    order = bench.order("jobs.double", {"x": 1})
    order = order.model_copy(
        update={"environment": order.environment.model_copy(update={"interpreter": "/no/such/python"})}
    )
    launcher = new()
    with pytest.raises(Exception, match="/no/such/python"):
        await launcher.start(order)
    assert (await launcher.observe(order.attempt)).phase is AttemptPhase.LOST


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
    from flyte_temporal.adapters.launchers.process import ProcessLauncher
    from flyte_temporal.spec.attempt import AttemptOrder

    async def main(kind, scratch, order):
        folder = Path(scratch)
        launcher = ProcessLauncher(folder) if kind == "process" else PoolLauncher(PoolConfig(folder, size=2))
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
    arguments = [sys.executable, "-c", WORKER, kind, str(bench.folder / "scratch"), str(written)]
    worker = subprocess.Popen(arguments)
    try:
        await eventually(lambda: bool(lines(begun)))
    finally:
        worker.kill()
        worker.wait()


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
    assert (state.phase, state.pid) == (AttemptPhase.RUNNING, task)
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
    assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, -9)
    assert bench.manifest(order).error.code == "Killed"  # type: ignore[union-attr]


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
    assert (await launcher.observe(order.attempt, TIMEOUT_S)).phase is AttemptPhase.LOST
    await launcher.start(order)
    assert (await launcher.observe(order.attempt, 0.1)).phase is AttemptPhase.LOST
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


@real
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
    assert (state.phase, state.code) == (AttemptPhase.LOST, "PlatformStopped")
    assert bench.manifest(order) is None


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
    assert (await new().observe(order.attempt, TIMEOUT_S)).code == "PlatformStopped"


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
