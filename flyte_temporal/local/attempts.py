"""Ending attempts that are at work when the stack is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.storage.scratch import Process, is_held, read_journal

_log = logging.getLogger(__name__)

_DEADLINE_S = 5.0


def end_attempts(scratch: Path) -> int:
    """Kill every attempt at work below a folder; return how many there were.

    SIGKILL, not SIGTERM: an attempt that is asked nicely may end with an error of its own, which would count against
    the task's retries. Killed, it leaves nothing, is found LOST at the next start, and the platform tries again.

    Args:
        scratch: Folder that the launchers of this home were given.
    """
    killed = 0
    for found in sorted(PoolConfig(scratch).attempts.glob("*.journal")):
        attempt = found.with_suffix("")
        if not is_held(attempt):
            continue
        killed += 1
        try:
            _end(attempt)
        except ValueError as error:
            _log.warning("The journal %s cannot be read; its attempt is left alone: %s", found, error)
    return killed


def _end(attempt: Path) -> None:
    journal = read_journal(attempt)
    # The supervisor first, so that it does not describe the death of the task as the task's own.
    for _role, process in sorted(journal.processes.items() if journal else ()):
        _kill(process)
    deadline = time.monotonic() + _DEADLINE_S
    while is_held(attempt) and time.monotonic() < deadline:
        time.sleep(0.01)


def _kill(process: Process) -> None:
    if not process.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            # A leader's group: the processes that user code has started go with it.
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
