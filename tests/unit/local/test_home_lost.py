"""A home that is deleted or replaced under its stack: the stack ends at once and touches nothing of the new home."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity, end
from flyte_temporal.local.stack import HOME_LOST

SCRIPT = """
import asyncio, pathlib, sys
from flyte_temporal.config.local import LocalSettings
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.stack import Stack

layout = Layout(pathlib.Path(sys.argv[1]))
layout.prepare()
stack = Stack(layout, LocalSettings(), layout.try_lock())
for name in ("temporal", "worker"):
    stack._add(name, [sys.executable, "-c", "import time; time.sleep(600)"], {}).start()

async def main():
    keeping = [asyncio.create_task(child.keep()) for child in stack.children.values()]
    print(*(f"{c.identity.pid}:{c.identity.started}" for c in stack.children.values()), flush=True)
    while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if word == "tend":
            stack.tend()
        elif word == "stop":
            await stack.stop()
        print("alive", flush=True)

asyncio.run(main())
"""


class Running:
    """A stack of two sleepers in a process of its own, for it may end itself."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pairs = [word.split(":") for word in self.line().split()]
        self.children = [Identity(int(pid), started) for pid, started in pairs]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        end(self.children, 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def running(home: Path) -> Iterator[Running]:
    running = Running(home)
    yield running
    running.close()


def delete(home: Path) -> None:
    shutil.rmtree(home)


def put_another_in_its_place(home: Path) -> None:
    home.rename(home.with_name("old"))
    Layout(home).prepare()
    Layout(home).lock.touch()
    Layout(home).state.write_text("the state of another stack")


@pytest.mark.parametrize("how", ["tend", "stop", "death"])
@pytest.mark.parametrize("lose", [delete, put_another_in_its_place])
def test_a_stack_whose_home_is_gone_ends_and_restarts_nothing(
    home: Path, running: Running, how: str, lose: Callable[[Path], None]
) -> None:
    running.say("tend")
    assert running.line() == "alive\n"
    lose(home)
    before = sorted(home.rglob("*"))
    if how == "death":
        running.children[0].send(signal.SIGKILL)
    else:
        running.say(how)
    assert running.process.wait(30) == HOME_LOST
    deadline = time.monotonic() + 10
    while any(child.alive for child in running.children):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sorted(home.rglob("*")) == before
    if before:
        assert Layout(home).state.read_text() == "the state of another stack"
