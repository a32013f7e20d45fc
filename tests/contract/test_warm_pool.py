"""What only the warm pool has to cope with: user modules that are imported once and then forked."""

# Nothing else runs in the event loop of a test while it looks at files and processes.
from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers import Launchers, make_launcher
from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
from flyte_temporal.config.settings import Settings, WorkerSettings
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptPhase
from flyte_temporal.spec.execution import ErrorKind
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import FLOAT, STRING
from flyte_temporal.storage import scratch
from tests.conftest import CHAOS
from tests.contract.pools import PID, TIMEOUT_S, eventually, make_bench, pool_of, run, value


async def test_the_module_is_imported_once_for_all_processes(tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        jobs="with open(os.environ['COUNTER'], 'a') as f: f.write('x')\n" + PID,
    )
    env = {"COUNTER": str(tmp_path / "imports")}
    async with pool_of(bench, size=2, max_tasks=1) as launcher:
        orders = [bench.order("jobs.pid", {"path": ""}, env=env) for _ in range(6)]
        for order in orders:
            await launcher.start(order)
        for order in orders:
            assert (await launcher.observe(order.attempt, TIMEOUT_S)).exit_code == 0
        pids = {bench.manifest(order).outputs["o0"].value for order in orders}  # type: ignore[union-attr, index]
    assert len(pids) == 6
    assert (tmp_path / "imports").read_text() == "x"


async def test_environments_have_processes_of_their_own(tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        jobs="AT_IMPORT = os.environ.get('WHO', '')\n@task\ndef who() -> str:\n    return AT_IMPORT\n",
    )
    seen = []
    async with pool_of(bench) as launcher:
        for who in ("a", "b", "a"):
            order = bench.order("jobs.who", {}, STRING, env={"WHO": who})
            await run(launcher, order)
            seen.append(bench.manifest(order).outputs["o0"].value)  # type: ignore[union-attr, index]
    assert seen == ["a", "b", "a"]


LIBRARIES = """
import numpy as np
import pandas as pd
import pyarrow
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

@task
def train(path: str) -> float:
    x, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(x, y)
    boosted = HistGradientBoostingClassifier(max_iter=5).fit(x, y)
    frame = pd.DataFrame(x)
    frame.columns = [str(c) for c in frame.columns]
    file = os.path.join(path or ".", f"frame-{os.getpid()}.parquet")
    frame.to_parquet(file)
    assert pd.read_parquet(file).equals(frame)
    os.unlink(file)
    np.linalg.svd(np.ones((300, 300)))
    return min(forest.score(x, y), boosted.score(x, y))

@task
def draw(path: str) -> float:
    return float(np.random.random())
"""


AT_IMPORT = """
X, Y = load_breast_cancer(return_X_y=True)
MODEL = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
"""


@pytest.mark.parametrize(
    "at_import", [pytest.param("", marks=CHAOS), AT_IMPORT], ids=["imported", "used at import"]
)
async def test_numeric_libraries_work_after_the_fork(tmp_path: Path, at_import: str) -> None:
    """OpenMP (scikit-learn), OpenBLAS (numpy) and Arrow keep thread pools, which a fork does not copy."""
    bench = make_bench(
        tmp_path,
        jobs=LIBRARIES
        + at_import
        + "\n@task\ndef parent(path: str) -> int:\n    return int(AT_IMPORT != os.getpid())\nAT_IMPORT = os.getpid()\n",
    )
    async with pool_of(bench, size=2) as launcher:
        orders = [
            bench.order("jobs.train", {"path": str(tmp_path)}, FLOAT) for _ in range(1 if at_import else 2)
        ]
        for order in orders:
            await launcher.start(order)
        for order in orders:
            state = await launcher.observe(order.attempt, TIMEOUT_S)
            manifest = bench.manifest(order)
            assert manifest is not None, state
            assert manifest.outputs is not None, manifest.error
            assert manifest.outputs["o0"].value > 0.9  # type: ignore[union-attr, operator]
        assert await value(launcher, bench, "jobs.parent") == (0 if at_import else 1)


async def test_processes_draw_different_random_numbers(tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        jobs="import numpy as np\n@task\ndef draw(path: str) -> float:\n    return float(np.random.random())\n",
    )
    async with pool_of(bench, max_tasks=1) as launcher:
        drawn = {await value(launcher, bench, "jobs.draw", FLOAT) for _ in range(3)}
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("module", "code", "words"),
    [
        ("raise RuntimeError('broken module')\n", "TaskNotLoadable", "broken module"),
        ("import no_such_library\n", "TaskNotLoadable", "no_such_library"),
        ("sys.exit(4)\n", "SystemExit", "sys.exit(4)"),
        ("os._exit(4)\n", "ProcessExited", "exit code 4"),
        ("import faulthandler; faulthandler._sigsegv()\n", "ProcessDied", "SIGSEGV"),
    ],
    ids=["raises", "missing", "sys.exit", "os._exit", "segfault"],
)
async def test_a_module_that_cannot_be_imported_fails_its_attempt(
    tmp_path: Path, module: str, code: str, words: str
) -> None:
    bench = make_bench(tmp_path, bad=module + PID, good=PID)
    async with pool_of(bench) as launcher:
        order = bench.order("bad.pid", {"path": ""})
        state = await run(launcher, order)
        manifest = bench.manifest(order)
        assert manifest is not None, state
        assert manifest.error is not None
        assert (manifest.error.kind, manifest.error.code) == (ErrorKind.USER, code), manifest.error
        assert words in manifest.error.message
        assert isinstance(await value(launcher, bench, "good.pid"), int)


async def test_a_module_that_hangs_holds_up_its_own_attempts_only(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, bad="import time\ntime.sleep(600)\n" + PID, good=PID)
    async with pool_of(bench, size=2, start_timeout_s=2.0) as launcher:
        stuck = bench.order("bad.pid", {"path": ""})
        await launcher.start(stuck)
        assert isinstance(await value(launcher, bench, "good.pid"), int)
        assert (await launcher.observe(stuck.attempt)).phase is AttemptPhase.RUNNING
        assert (await launcher.stop(stuck.attempt, 5)).over


THREADS = """
import threading
LOCK = threading.Lock()

def busy():
    while True:
        with LOCK:
            time.sleep(0.01)

threading.Thread(target=busy, daemon=True).start()

@task
def locked(path: str) -> int:
    with LOCK:
        return threading.active_count()
"""


async def test_a_module_that_starts_threads_is_imported_after_the_fork(tmp_path: Path) -> None:
    """In a fork of the importing process the thread would be missing, and its lock would stay locked for ever."""
    bench = make_bench(tmp_path, jobs=THREADS)
    async with pool_of(bench) as launcher:
        assert await value(launcher, bench, "jobs.locked") == 2
        assert await value(launcher, bench, "jobs.locked") == 2


async def test_a_process_that_grows_is_replaced(tmp_path: Path) -> None:
    grow = "HELD = []\n@task\ndef grow(path: str) -> int:\n    HELD.append(b'x' * 50_000_000)\n    return os.getpid()\n"
    bench = make_bench(tmp_path, jobs=grow)
    async with pool_of(bench, max_growth_bytes=120_000_000) as launcher:
        pids = [await value(launcher, bench, "jobs.grow") for _ in range(6)]
    assert pids[0] == pids[1] == pids[2]
    assert len(set(pids)) == 2


LEAKS = """
import io, signal

def interpreter():
    term, alarm = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)
    mask = os.umask(0); os.umask(mask)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return repr((sys.path, sys.argv, mask, term, alarm, signal.getsignal(signal.SIGINT), blocked,
        signal.getitimer(signal.ITIMER_REAL), sys.getrecursionlimit(), os.listdir(),
        {k: v for k, v in os.environ.items() if not k.startswith('FLYTE_')}))

@task
def look(path: str) -> str:
    print("printed")
    print("an error", file=sys.stderr)
    return interpreter()

@task
def pid(path: str) -> int:
    return os.getpid()

@task
def leak(path: str) -> int:
    print("before", end="")
    exec(path)
    return os.getpid()
"""


@pytest.mark.parametrize(
    "change",
    [
        "sys.stdout.close()",
        "sys.stderr.close()",
        "sys.stdout = io.StringIO()",
        "sys.stdout = None",
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer)",
        "sys.stdout.detach()",
        "sys.stdout.reconfigure(line_buffering=False, encoding='ascii')",
        "os.close(1)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "os.closerange(0, 3)",
        "sys.path.clear()",
        "sys.path = ['/nowhere']",
        "sys.argv.append('x')",
        "sys.setrecursionlimit(10**6)",
        "os.environ.clear()",
        "os.environ['HOME'] = '/nowhere'",
        "os.chdir('/')",
        "import shutil; shutil.rmtree(os.getcwd())",
        "os.makedirs('a/b'); open('a/b/c', 'w').close(); os.chmod('a', 0)",
        "os.umask(0o777)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGALRM, print)",
        "signal.alarm(1)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})",
    ],
)
async def test_a_task_finds_the_interpreter_as_if_it_were_the_first(tmp_path: Path, change: str) -> None:
    bench = make_bench(tmp_path, jobs=LEAKS)
    async with pool_of(bench) as launcher:
        first = str(await value(launcher, bench, "jobs.look", STRING))
        await run(launcher, bench.order("jobs.leak", {"path": change}))
        order = bench.order("jobs.look", {"path": ""}, STRING)
        state = await run(launcher, order)
        manifest = bench.manifest(order)
        assert manifest is not None, state
        assert manifest.outputs == {"o0": Inline(value=first)}, manifest.error
        assert bench.log(order) == "printed\nan error\n"


async def test_a_process_is_kept_if_all_can_be_put_back(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, jobs=LEAKS)
    change = "os.umask(0); os.chdir('/'); os.environ['A'] = 'b'; signal.signal(signal.SIGTERM, print); open('/dev/null').close()"
    async with pool_of(bench) as launcher:
        order = bench.order("jobs.leak", {"path": change})
        await run(launcher, order)
        manifest = bench.manifest(order)
        assert manifest is not None
        assert manifest.outputs == {"o0": Inline(value=await value(launcher, bench, "jobs.pid"))}


async def test_processes_without_work_end(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, jobs=PID)
    async with pool_of(bench, idle_s=0.2) as launcher:
        pid = await value(launcher, bench, "jobs.pid")
        assert isinstance(pid, int)
        await eventually(lambda: scratch.start_time(pid) is None)
        assert await value(launcher, bench, "jobs.pid") != pid
    await eventually(lambda: list((bench.folder / "scratch" / "warm").iterdir()) == [])


async def test_a_bundle_in_use_is_not_swept_however_old(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, jobs=PID)
    assert bench.bundle.sha256
    unpacked = bench.folder / "scratch" / "bundles" / bench.bundle.sha256
    async with pool_of(bench) as launcher:
        pid = await value(launcher, bench, "jobs.pid")
        os.utime(unpacked, (1, 1))
        await PoolLauncher(PoolConfig(bench.folder / "scratch")).close()
        assert unpacked.is_dir()
        assert await value(launcher, bench, "jobs.pid") == pid
    assert isinstance(pid, int)
    await eventually(lambda: scratch.start_time(pid) is None)
    await eventually(lambda: _swept(bench.folder / "scratch", unpacked))


def _swept(folder: Path, unpacked: Path) -> bool:
    PoolLauncher(PoolConfig(folder))
    return not unpacked.exists()


async def test_only_the_last_used_bundles_stay_warm(tmp_path: Path) -> None:
    bench = make_bench(
        tmp_path,
        jobs=PID
        + "@task\ndef hold(path: str) -> int:\n"
        + "    open(path, 'w').close()\n    while not os.path.exists(path + '.go'): time.sleep(0.005)\n    return os.getpid()\n",
    )

    async def pid(launcher: PoolLauncher, bundle: str) -> int:
        # What differs is the environment, which is as good as another bundle.
        order = bench.order("jobs.pid", {"path": ""}, env={"BUNDLE": bundle})
        await run(launcher, order)
        found = bench.manifest(order).outputs["o0"].value  # type: ignore[union-attr, index]
        assert isinstance(found, int)
        return found

    async with pool_of(bench, size=8, idle_bundles=2) as launcher:
        held = bench.order("jobs.hold", {"path": str(tmp_path / "held")}, env={"BUNDLE": "busy"})
        await launcher.start(held)
        await eventually((tmp_path / "held").exists)
        first, second = await pid(launcher, "1"), await pid(launcher, "2")
        assert await pid(launcher, "1") == first
        third = await pid(launcher, "3")
        await eventually(lambda: scratch.start_time(second) is None)
        assert await pid(launcher, "3") == third
        assert await pid(launcher, "1") == first
        assert (await launcher.observe(held.attempt)).phase is AttemptPhase.RUNNING
        (tmp_path / "held.go").touch()
        assert (await launcher.observe(held.attempt, TIMEOUT_S)).exit_code == 0
        await eventually(lambda: scratch.start_time(third) is None)


async def test_a_killed_zygote_is_replaced(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, jobs="@task\ndef parent(path: str) -> int:\n    return os.getppid()\n")
    async with pool_of(bench) as launcher:
        first = await value(launcher, bench, "jobs.parent")
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: scratch.start_time(first) is None)
        # The first one may still go to the old process, if the launcher has not heard of its zygote's death.
        later = [await value(launcher, bench, "jobs.parent") for _ in range(3)]
        assert later[-1] not in {first, 1}


async def test_what_a_running_task_prints_can_be_read(tmp_path: Path) -> None:
    hold = "@task\ndef hold(path: str) -> int:\n    print('at work')\n    while not os.path.exists(path): time.sleep(0.01)\n    print('done')\n    return 1\n"
    bench = make_bench(tmp_path, jobs=hold)
    order = bench.order("jobs.hold", {"path": str(tmp_path / "go")})
    async with pool_of(bench) as launcher:
        await launcher.start(order)
        await eventually(lambda: bench.log(order) == "at work\n")
        assert (await launcher.observe(order.attempt)).phase is AttemptPhase.RUNNING
        (tmp_path / "go").touch()
        await launcher.observe(order.attempt, TIMEOUT_S)
    assert bench.log(order) == "at work\ndone\n"


async def test_a_python_without_our_library(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, jobs=PID)
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho No module named flyte_temporal >&2\nexit 1\n")
    fake.chmod(0o755)
    order = bench.order("jobs.pid", {"path": ""})
    environment = order.environment.model_copy(update={"interpreter": str(fake)})
    order = order.model_copy(update={"environment": environment})
    async with pool_of(bench) as launcher:
        state = await run(launcher, order)
        assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 1)
        assert "No module named flyte_temporal" in state.message


async def test_launchers_are_found_by_name(tmp_path: Path) -> None:
    worker = WorkerSettings(scratch=tmp_path, cache=tmp_path / "cache")
    launchers = Launchers(Settings(worker=worker))
    assert {"pool", "process", "podman", "docker"} <= set(launchers)
    for name in ("pool", "process"):
        assert launchers[name] is launchers[name]
    assert list(launchers.made) == ["pool", "process"]
    assert launchers.get("podman?") is None
    await launchers.close()
    with pytest.raises(LauncherError, match=r"there are: docker, .*pool, process"):
        make_launcher("podman?", Settings(worker=worker))
