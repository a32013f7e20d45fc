"""Memory of task processes: limits of the task, what a process uses, and kills by the kernel."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.quantities import amount


def memory_limit(task: TaskSpec) -> int:
    """Return the memory limit of a task in bytes; 0 if it has none or one that is not a quantity."""
    return int(amount(task.policy.resources.limits.mem) or 0)


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it is gone or this system does not say."""
    try:
        with Path(f"/proc/{pid}/statm").open("rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError, ValueError):
        return 0


def kernel_kills() -> int:
    """Return how many processes of this control group the kernel has killed for their memory; 0 if unknown."""
    counter = _counter()
    return 0 if counter < 0 else max(0, _count(counter))


@cache
def _counter() -> int:
    """Return the open file that counts kills, -1 if there is none: it is read twice in each attempt of the warm pool.

    A process and its children stay in their control group.
    """
    for path in _counters():
        try:
            counter = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if _count(counter) >= 0:
            return counter
        os.close(counter)
    return -1


def _count(counter: int) -> int:
    try:
        found = re.search(rb"^oom_kill (\d+)", os.pread(counter, 4096, 0), re.MULTILINE)
    except OSError:  # user code has closed it
        return -1
    return int(found[1]) if found else -1


def _counters() -> list[Path]:
    """Return the files that may count kills: control groups of version 2, then of version 1."""
    try:
        groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    except (OSError, ValueError):
        return []
    top = Path("/sys/fs/cgroup")
    unified, memory = groups.get("", "/").lstrip("/"), groups.get("memory", "/").lstrip("/")
    return [
        top / unified / "memory.events",
        top / "memory.events",
        top / "memory" / memory / "memory.oom_control",
        top / "memory" / "memory.oom_control",
    ]
