"""Processes told apart by pid *and* start time, so that a reused pid is never signalled. Standard library only.

`storage.scratch` has the like for attempts; this one is apart because the supervisor starts its children before it
imports anything that brings pydantic.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MARK = "ft-worker"
"""Name, in /proc/<pid>/comm, of a worker that was forked; its command line is still the supervisor's."""

_PROC = Path("/proc")


class Process(Protocol):
    """The part of `subprocess.Popen` that is needed here."""

    @property
    def pid(self) -> int:
        """Return its number."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def wait(self) -> int:
        """Return its exit code when it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, if it still runs."""

    def kill(self) -> None:
        """Kill it, if it still runs."""


@dataclass(frozen=True)
class Identity:
    """A process.

    Args:
        pid: Its number.
        started: When it started, in the words of the kernel.
    """

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        return self.started != "" and start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still is the one that is meant."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start_time(pid: int) -> str:
    """Return when a process started; empty if there is none, or a zombie."""
    if _PROC.joinpath("self").exists():
        try:
            fields = _PROC.joinpath(str(pid), "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in {b"Z", b"X"} else fields[19].decode()
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def identify(pid: int) -> Identity:
    """Return the identity of a process that runs now."""
    return Identity(pid, start_time(pid))


def end(processes: Iterable[Identity], grace_s: float) -> None:
    """End processes: SIGTERM to all, SIGKILL after `grace_s` seconds to those that are left. Returns when all are gone."""
    left = [process for process in processes if process.alive]
    for process in left:
        process.send(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while left := [process for process in left if process.alive]:
        if time.monotonic() > deadline:
            for process in left:
                process.send(signal.SIGKILL)
        time.sleep(0.01)


def leftovers(home: Path) -> list[Identity]:
    """Return Temporal servers and workers that work on a home, whoever started them.

    A supervisor can be killed between starting a child and writing that down; two servers on one database would be
    worse than none. So they are recognized by what they were started with.
    """
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            ours = _works_on(entry, home)
        except OSError:
            continue
        if ours:
            found.append(identify(int(entry.name)))
    return found


def _works_on(entry: Path, home: Path) -> bool:
    command = entry.joinpath("cmdline").read_bytes().split(b"\0")
    if b"start-dev" in command:
        return os.fsencode(home / "temporal.db") in command
    if b"flyte_temporal.worker" in command:
        marker = b"FLYTE_TEMPORAL_HOME=" + os.fsencode(home)
        return marker in entry.joinpath("environ").read_bytes().split(b"\0")
    if b"flyte_temporal.local" in command and os.fsencode(home) in command:
        return entry.joinpath("comm").read_text().strip() == MARK
    return False
