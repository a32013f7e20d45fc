"""A stack that hangs, and one whose home was deleted: the whole stack, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity, identify, leftovers
from flyte_temporal.local.state import read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    with Client.local(home) as client:
        client.down()
    assert leftovers(home) == []


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def processes(client: Client) -> list[Identity]:
    return [identify(pid) for pid in client.up().pids.values()]


def test_a_supervisor_that_hangs_is_told_and_down_ends_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client.local(home) as client:
        ours = processes(client)
    supervisor = read_state(Layout(home).state).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGSTOP)
    monkeypatch.setenv("FLYTE_TEMPORAL_LOCAL__ANSWER_TIMEOUT_S", "1")
    with Client.local(home) as client:
        execution = client.execution("any")
        for call in (client.status, client.executions, execution.record, execution.abort, execution.wait):
            with pytest.raises(PlatformUnavailable, match=rf"process {supervisor.pid}\).*supervisor\.log"):
                call()
        # By the command, which would like to know first what runs.
        down = subprocess.run(
            [Path(sys.executable).with_name("flyte-temporal"), "down"],
            env={**os.environ, "FLYTE_TEMPORAL_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (down.returncode, down.stderr.splitlines()[-1]) == (0, "Stopped."), down.stderr
        assert [process for process in ours if process.alive] == []
        assert leftovers(home) == []
        assert read_state(Layout(home).state).supervisor is None
        assert client.down() is False


def test_a_home_that_is_deleted_and_used_again_has_one_stack(home: Path) -> None:
    with Client.local(home) as client:
        old = processes(client)
        # In one step, as the stack goes on writing into it.
        home.rename(home.with_name("deleted"))
        shutil.rmtree(home.with_name("deleted"), ignore_errors=True)
        new = processes(client)
        until(lambda: not any(process.alive for process in old))
        status = client.status()
        assert sorted(status.pids.values()) == sorted(process.pid for process in new)
        assert status.restarts == {"temporal": 0, "worker": 0}
    # Spares of the worker work on the home as well; there is one server in any case.
    command_lines = [Path(f"/proc/{p.pid}/cmdline").read_bytes().split(b"\0") for p in leftovers(home)]
    assert sum(b"start-dev" in words for words in command_lines) == 1
