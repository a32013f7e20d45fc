"""Processes that user code started and left behind, in a session of their own too: they end with their attempt.

A process that asks to adopt orphans becomes the parent of all its descendants whose parents die, whatever their group
or session. So it can find and end them, one generation after the other. Linux only; elsewhere, and after the adopting
process itself was killed, only the process group of the task ends.
"""

# ruff: noqa: PTH123, PTH208
# Plain strings as paths, as in `storage.scratch`: hundreds of processes are looked at.
from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_DEADLINE_S = 2.0


def adopt() -> None:
    """Become the parent of descendants whose parents die; a kernel that cannot do that changes nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """Return the children of this process, dead ones that nobody collected too; empty without /proc."""
    found: set[int] = set()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return found
    me = str(os.getpid()).encode()
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    if file.read().rpartition(b")")[2].split()[1] == me:
                        found.add(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def kill_children(spared: Collection[int] = ()) -> None:
    """Kill the children of this process, except for some; their own children become ours, and are for the next call."""
    for pid in children():
        if pid not in spared:
            with suppress(PermissionError):  # a program that runs as another account
                # Not collected yet, so the number is still theirs.
                os.kill(pid, signal.SIGKILL)


def end_children() -> bool:
    """Kill and collect all descendants of this process; return whether there was one alive. Costs nothing if not."""
    if not _has_children():
        return False
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        kill_children()
        if not _has_children() or time.monotonic() > deadline:
            return True
        time.sleep(0.002)


def _has_children() -> bool:
    """Collect the children that have ended, and return whether one is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
