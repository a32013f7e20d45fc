"""Ending attempts that are at work when the stack is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

from flyte_temporal.storage.scratch import Process, is_held, read_journal

_log = logging.getLogger(__name__)

_DEADLINE_S = 5.0


def end_attempts(scratch: Path) -> int:
    """Kill every attempt at work below a folder; return how many there were.

    SIGKILL, not SIGTERM: an attempt that is asked nicely may end with an error of its own, which would count against
    the task's retries. Killed, it leaves nothing, is found LOST at the next start, and the platform tries again.

    Args:
        scratch: Folder of all attempts of this home.
    """
    killed = 0
    for folder in sorted(scratch.iterdir()) if scratch.is_dir() else []:
        if folder.name.startswith(".") or not folder.is_dir() or not is_held(folder):
            continue
        try:
            journal = read_journal(folder)
        except ValueError as error:
            _log.warning("The attempt in %s cannot be read and is left alone: %s", folder, error)
            continue
        killed += 1
        # The supervisor first, so that it does not describe the death of the task as the task's own.
        for role in sorted(journal.processes if journal else {}):
            _kill(journal.processes[role] if journal else Process(0, ""))
        deadline = time.monotonic() + _DEADLINE_S
        while is_held(folder) and time.monotonic() < deadline:
            time.sleep(0.01)
    return killed


def _kill(process: Process) -> None:
    if not process.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            # A leader's group: the processes that user code has started go with it.
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
