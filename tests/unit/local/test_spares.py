"""Spares: they wait, begin when told to, and never outlive who made them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flyte_temporal.local.children import Child, Program
from flyte_temporal.local.spares import WAIT, Spare, spawned

PROGRAM = """
import sys
from pathlib import Path
Path(sys.argv[1] + ".waits").touch()
if not sys.stdin.readline():
    sys.exit(7)
Path(sys.argv[1] + ".began").write_text(sys.argv[2])
sys.stdin.read()
"""


def until(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come to be"
        time.sleep(0.01)


def make(folder: Path) -> Spare:
    spare = spawned([sys.executable, "-c", PROGRAM, str(folder / "p")], {}, folder / "log", folder)
    until(folder / "p.waits")
    return spare


def test_a_spare_begins_only_when_it_is_used(tmp_path: Path) -> None:
    spare = make(tmp_path)
    assert not (tmp_path / "p.began").exists()
    process = spare.use()
    assert process is not None
    until(tmp_path / "p.began")
    assert (tmp_path / "p.began").read_text() == WAIT
    process.kill()
    process.wait()


def test_a_dead_spare_is_of_no_use(tmp_path: Path) -> None:
    spare = make(tmp_path)
    os.kill(spare.process.pid, signal.SIGKILL)
    spare.process.wait()
    assert spare.use() is None


def test_a_dismissed_spare_is_gone_and_never_began(tmp_path: Path) -> None:
    spare = make(tmp_path)
    spare.dismiss()
    assert spare.process.poll() is not None
    assert not (tmp_path / "p.began").exists()


def test_a_spare_ends_with_who_made_it(tmp_path: Path) -> None:
    maker = f"""
import os, sys
from pathlib import Path
from flyte_temporal.local.spares import spawned
folder = Path({str(tmp_path)!r})
spare = spawned([sys.executable, "-c", {PROGRAM!r}, str(folder / "p")], {{}}, folder / "log", folder)
print(spare.process.pid, flush=True)
os._exit(0)
"""
    made = subprocess.run([sys.executable, "-c", maker], capture_output=True, text=True, check=True)
    pid = int(made.stdout)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the spare is still there"
        time.sleep(0.01)
    assert not (tmp_path / "p.began").exists()


async def test_after_a_death_the_next_spare_is_ready_soon(tmp_path: Path) -> None:
    """Otherwise a second death within seconds costs the import of everything, while somebody waits."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "p")]
    log = tmp_path / "log"
    child = Child(
        Program("worker", ["sleep", "600"], {}, log, tmp_path),
        lambda: None,
        lambda: spawned(command, {}, log, tmp_path),
    )
    child.spare = make(tmp_path)
    keeping = asyncio.create_task(child.keep())
    taken = []
    async with asyncio.timeout(60):
        for _ in range(3):
            taken.append(await spare_of(child))
            await killed(child)
            assert child.identity is not None
            assert child.identity.pid == taken[-1]
    assert len(set(taken)) == 3
    await child.stop(5)
    await keeping


async def spare_of(child: Child) -> int:
    while child.spare is None or child.identity is None:  # noqa: ASYNC110 - a process's state
        await asyncio.sleep(0.01)
    return child.spare.process.pid


async def killed(child: Child) -> None:
    dead = child.identity
    assert dead is not None
    dead.send(signal.SIGKILL)
    while child.identity == dead:  # noqa: ASYNC110 - a process's state
        await asyncio.sleep(0.01)
