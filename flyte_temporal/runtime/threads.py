"""Whether a process may be forked after it has imported user code: only if no thread would be missing in the fork.

A fork copies one thread. A Python thread of the user's module would be gone, its locks locked for ever. A pool of
OpenMP (scikit-learn, MKL) that was used once crashes or hangs in the fork: measured, SIGSEGV in a
HistGradientBoostingClassifier that had been fitted in the parent. Merely imported, all of these are fine, because they
make their threads on first use. OpenBLAS (numpy, scipy) and jemalloc (pyarrow) do make theirs when they are imported,
and have fork handlers of their own; these threads are expected and do no harm.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

_TASKS = Path("/proc/self/task")
_HARMLESS = ("jemalloc",)
_LIMITS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")


def fork_is_safe() -> bool:
    """Return whether this process has no thread that a fork would miss."""
    if threading.active_count() > 1:
        return False
    if not _TASKS.is_dir():
        # No /proc (macOS): only threads of Python are seen.
        return True
    others = [name for name in _names() if not name.startswith(_HARMLESS)]
    return len(others) - 1 <= _openblas_copies() * (_openblas_threads() - 1)


def _names() -> list[str]:
    names = []
    for task in _TASKS.iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return names


def _openblas_copies() -> int:
    """Return how many copies of OpenBLAS are loaded: numpy and scipy bring one each."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return len(set(re.findall(r"/\S*openblas\S*\.so\S*", maps)))


def _openblas_threads() -> int:
    for name in _LIMITS:
        given = os.environ.get(name, "")
        if given.isdigit() and int(given):
            return int(given)
    return len(os.sched_getaffinity(0))
