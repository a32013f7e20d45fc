"""Ending attempts that are at work when the stack is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.storage.scratch import Process, is_held, read_journal, request_stop

_log = logging.getLogger(__name__)

_DEADLINE_S = 5.0
_LOOK_S = 0.01


def end_attempts(scratch: Path) -> int:
    """Kill every attempt at work below a folder; return how many there were.

    SIGKILL, not SIGTERM: an attempt that is asked nicely may end with an error of its own, which would count against
    the task's retries. A note is left before, so that whoever describes the death, now or at the next start, says
    that the platform was stopped; the platform then runs the task again, and no budget of retries is touched.

    Args:
        scratch: Folder that the launchers of this home were given.
    """
    journals = sorted(PoolConfig(scratch).attempts.glob("*.journal"))
    at_work = [where for found in journals if is_held(where := found.with_suffix(""))]
    for attempt in at_work:
        _note(attempt)
    # A supervisor is left the time to describe the death of its task, and to keep the log.
    left = _end(at_work, {"task"})
    _end(left, {"task", "supervisor"})
    return len(at_work)


def _note(attempt: Path) -> None:
    try:
        request_stop(attempt, Intent.PLATFORM)
    except OSError as error:
        _log.warning("Could not note that %s is stopped; it counts as a failure: %s", attempt, error)


def _end(attempts: list[Path], roles: set[str]) -> list[Path]:
    """Kill the processes of some roles until the attempts' locks are free; return those that still hold theirs."""
    deadline = time.monotonic() + _DEADLINE_S
    while attempts and time.monotonic() < deadline:
        # Again and again, because an attempt that has just been started may not have said who runs it.
        for attempt in list(attempts):
            try:
                journal = read_journal(attempt)
            except ValueError as error:
                _log.warning("The journal of %s cannot be read; it is left alone: %s", attempt, error)
                attempts.remove(attempt)
                continue
            for role, process in journal.processes.items() if journal else ():
                if role in roles:
                    _kill(process)
        time.sleep(_LOOK_S)
        attempts = [attempt for attempt in attempts if is_held(attempt)]
    return attempts


def _kill(process: Process) -> None:
    if not process.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            # A leader's group: the processes that user code has started go with it.
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
