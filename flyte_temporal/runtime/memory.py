"""Memory of task processes: limits of the task, what a process uses, and kills by the kernel."""

from __future__ import annotations

import os
import re
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
    for path, pattern in _counters():
        try:
            found = re.search(pattern, path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _counters() -> list[tuple[Path, str]]:
    """Return the files that count kills: control groups of version 2, then of version 1."""
    try:
        groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    except (OSError, ValueError):
        return []
    top = Path("/sys/fs/cgroup")
    unified, memory = groups.get("", "/").lstrip("/"), groups.get("memory", "/").lstrip("/")
    return [
        (top / unified / "memory.events", r"^oom_kill (\d+)"),
        (top / "memory.events", r"^oom_kill (\d+)"),
        (top / "memory" / memory / "memory.oom_control", r"^oom_kill (\d+)"),
        (top / "memory" / "memory.oom_control", r"^oom_kill (\d+)"),
    ]
