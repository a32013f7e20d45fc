"""The whole embedded stack, with each of its processes killed in the middle of a running DAG."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.client import Client, Execution
from flyte_temporal.errors import ExecutionFailed
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity
from flyte_temporal.local.state import read_state
from flyte_temporal.local.supervisor import LOCKED
from flyte_temporal.local.temporal_server import find_program
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from tests.invariants import check

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PROGRAM = """
import time
from pathlib import Path
from flyte_temporal import task, workflow

@task
def count(folder: str, name: str, wait: bool, x: int) -> int:
    with (Path(folder) / name).open("a") as file:
        file.write("x")
    print(f"{name} got {x}", flush=True)
    while wait and not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return x + 1

@workflow
def chain(folder: str) -> int:
    a = count(folder=folder, name="a", wait=False, x=0)
    b = count(folder=folder, name="b", wait=True, x=a)
    return count(folder=folder, name="c", wait=False, x=b)
"""


@dataclass
class Chain:
    """A chain whose middle task waits for the file `go`, and counts how often each task has run."""

    client: Client
    folder: Path
    execution: Execution

    def ran(self) -> list[int]:
        files = [self.folder / name for name in "abc"]
        return [len(file.read_text()) if file.exists() else 0 for file in files]

    def go(self) -> None:
        (self.folder / "go").touch()


def until(true: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    yield home
    with Client.local(home) as client:
        client.down()


@pytest.fixture(autouse=True)
def _holds(home: Path) -> Iterator[None]:
    """After each test, what always holds does so."""
    yield
    check(home)


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    with Client.local(home) as client:
        yield client


@pytest.fixture
def chain(client: Client, tmp_path: Path, home: Path) -> Chain:
    """A chain in the middle of its second task."""
    source = home.parent / "stack_source" / "stack_program.py"
    source.parent.mkdir(exist_ok=True)
    if not source.exists():
        source.write_text(PROGRAM)
    entity: Any = find_entity(load_file(source), "chain")
    made = Chain(client, tmp_path, client.run(entity, folder=str(tmp_path)))
    until(lambda: made.ran() == [1, 1, 0])
    return made


def process(home: Path, name: str) -> Identity:
    state = read_state(Layout(home).state)
    found = state.supervisor if name == "supervisor" else state.children.get(name)
    assert found is not None
    return found


def finished(chain: Chain) -> None:
    record = chain.execution.wait(60)
    assert record.phase is ExecutionPhase.SUCCEEDED, record.error
    assert chain.execution.outputs == {"o0": 3}
    assert [(n.id, n.phase) for n in chain.execution.nodes()] == [
        (f"n{i}", NodePhase.SUCCEEDED) for i in range(3)
    ]


def test_a_chain_runs_and_everything_is_private(chain: Chain, home: Path) -> None:
    phases = [n.phase for n in chain.execution.nodes()]
    assert phases[2] is NodePhase.QUEUED
    chain.go()
    finished(chain)
    assert chain.ran() == [1, 1, 1]
    assert sorted(line.text for line in chain.execution.logs()) == ["a got 0", "b got 1", "c got 2"]
    assert home.stat().st_mode & 0o777 == 0o700
    status = chain.client.status()
    assert status.problems == []
    assert set(status.pids) == {"supervisor", "temporal", "worker"}
    assert _listens_elsewhere(list(status.pids.values())) == []


def _listens_elsewhere(pids: list[int]) -> list[str]:
    """Return addresses other than loopback on which any of the processes listens."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes and not fields[1].startswith(loopback):
                found.append(fields[1])
    return found


@pytest.mark.row(1)
def test_a_killed_worker_is_replaced_and_adopts_what_runs(chain: Chain, home: Path) -> None:
    killed = process(home, "worker")
    killed.send(signal.SIGKILL)
    until(lambda: process(home, "worker") != killed)
    chain.go()
    finished(chain)
    assert chain.ran() == [1, 1, 1]


@pytest.mark.row(4)
def test_a_killed_temporal_server_comes_back_on_its_port(chain: Chain, home: Path) -> None:
    before = chain.client.status()
    killed = process(home, "temporal")
    killed.send(signal.SIGKILL)
    until(lambda: process(home, "temporal") != killed)
    chain.go()
    finished(chain)
    assert chain.client.status().temporal_address == before.temporal_address
    assert chain.ran() == [1, 1, 1]


def test_a_killed_supervisor_is_replaced_by_the_call_that_waits(chain: Chain, home: Path) -> None:
    old = {name: process(home, name) for name in ("supervisor", "temporal", "worker")}
    updates = chain.execution.watch()
    next(updates)
    old["supervisor"].send(signal.SIGKILL)
    chain.go()
    assert [u.execution.phase for u in updates][-1] is ExecutionPhase.SUCCEEDED
    finished(chain)
    assert chain.ran() == [1, 1, 1]
    assert not any(identity.alive for identity in old.values())


def test_after_a_power_cut_the_next_command_goes_on(chain: Chain, home: Path) -> None:
    # The attempts as well: whatever belongs to this home.
    everything = [process(home, name) for name in ("supervisor", "temporal", "worker")]
    everything[0].send(signal.SIGSTOP)
    for pid in _descendants({identity.pid for identity in everything}):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(identity.alive for identity in everything))
    assert chain.client.status().running is False
    chain.go()
    finished(chain)
    assert [chain.ran()[0], chain.ran()[2]] == [1, 1]
    assert chain.execution.nodes()[1].attempts >= 1


def _descendants(roots: set[int]) -> set[int]:
    found = set(roots)
    while True:
        more = set()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in found:
                more.add(int(entry.parts[2]))
        if more <= found:
            return found
        found |= more


def test_down_ends_everything_and_up_goes_on(chain: Chain, home: Path) -> None:
    old = [process(home, name) for name in ("supervisor", "temporal", "worker")]
    ports = read_state(Layout(home).state).temporal_port
    assert chain.client.down() is True
    assert not any(identity.alive for identity in old)
    assert chain.client.status().running is False
    assert chain.client.down() is False
    until(lambda: _attempts_of(chain.folder) == [])
    chain.go()
    chain.client.up()
    finished(chain)
    # The task has no retries: the attempt that `down` has ended was the platform's fault.
    assert chain.ran() == [1, 2, 1]
    assert chain.execution.nodes()[1].attempts == 2
    assert read_state(Layout(home).state).temporal_port == ports


def _attempts_of(folder: Path) -> list[int]:
    """Return processes that have a file below the home's attempts open, as a running task has its log."""
    attempts = str(folder.parent / "home0" / "attempts")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            targets = [str(d.readlink()) for d in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any(target.startswith(attempts) for target in targets):
            found.append(int(entry.name))
    return found


def test_an_abort_stops_the_task(chain: Chain) -> None:
    chain.execution.abort("enough")
    record = chain.execution.wait(30)
    assert (record.phase, record.abort_reason) == (ExecutionPhase.ABORTED, "enough")
    assert [n.phase for n in chain.execution.nodes()] == [
        NodePhase.SUCCEEDED,
        NodePhase.ABORTED,
        NodePhase.SKIPPED,
    ]
    with pytest.raises(ExecutionFailed, match="enough"):
        _ = chain.execution.outputs


def test_a_run_terminated_in_temporal_is_recorded_as_aborted(chain: Chain) -> None:
    address = chain.client.status().temporal_address
    command = [
        find_program(),
        "workflow",
        "terminate",
        "--address",
        address,
        "--workflow-id",
        chain.execution.id,
    ]
    subprocess.run([*command, "--reason", "by hand"], check=True, capture_output=True)
    record = chain.execution.wait(30)
    assert record.phase is ExecutionPhase.ABORTED
    assert "by hand" in record.abort_reason
    assert chain.execution.nodes()[1].phase is NodePhase.ABORTED
    chain.go()


def test_a_second_supervisor_on_one_home_is_refused(client: Client, home: Path) -> None:
    client.up()
    before = client.status().pids
    command = [sys.executable, "-m", "flyte_temporal.local", "--home", str(home)]
    assert subprocess.run(command, timeout=30, check=False).returncode == LOCKED
    assert client.status().pids == before
