"""What is ended by force, and when it is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.local.killing import kill
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import identify
from flyte_temporal.local.state import StackState, read_state, write_state


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    Layout(tmp_path).prepare()
    return Layout(tmp_path)


def test_children_are_ended_though_the_lock_of_the_dead_is_released_late(
    layout: Layout, sleeper: subprocess.Popen[bytes]
) -> None:
    state = StackState(children={"worker": identify(sleeper.pid)}, temporal_port=7, socket="/none")
    write_state(layout.state, state)
    lock = layout.try_lock()
    assert lock is not None
    threading.Timer(0.2, os.close, [lock]).start()
    kill(layout, state)
    assert sleeper.wait(0) is not None
    assert read_state(layout.state) == state.stopped()


def test_a_home_that_another_supervisor_has_by_now_is_left_alone(
    layout: Layout, sleeper: subprocess.Popen[bytes]
) -> None:
    theirs = StackState(supervisor=identify(os.getpid()), children={"worker": identify(sleeper.pid)})
    write_state(layout.state, theirs)
    lock = layout.try_lock()
    assert lock is not None
    kill(layout, StackState(children=theirs.children))
    assert sleeper.poll() is None
    assert read_state(layout.state) == theirs
    os.close(lock)
