"""Ending attempts that are at work when the stack is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flyte_temporal.adapters.launchers.containers.places import folder_in
from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.storage.scratch import Process, is_held, read_journal, request_stop

_log = logging.getLogger(__name__)

_DEADLINE_S = 5.0
GRACE_S = 10.0
"""What a task has at most to end by itself, whatever the settings say: somebody waits for the stack to be down."""
_LOOK_S = 0.01


def end_attempts(scratch: Path) -> int:
    """End every attempt at work below a folder; return how many there were.

    SIGTERM first: a task that listens may save a last checkpoint; any other one ends at once. A note is left before, so that
    whoever describes the death, now or at the next start, says that the platform was stopped, whatever the task raises then;
    the platform runs the task again, and no budget of retries is touched.

    Args:
        scratch: Folder that the launchers of this home were given.
    """
    journals = sorted(PoolConfig(scratch).attempts.glob("*.journal"))
    at_work = [where for found in journals if is_held(where := found.with_suffix(""))]
    for attempt in at_work:
        _note(attempt)
    # A supervisor is left the time to describe the death of its task, and to keep the log.
    left = _ask(at_work)
    left = _end(left, {"task"})
    _end(left, {"task", "supervisor"})
    return len(at_work) + _end_containers(scratch)


def _end_containers(scratch: Path) -> int:
    if not folder_in(scratch).is_dir():
        return 0
    from flyte_temporal.adapters.launchers.containers.down import end_containers

    # In a thread of its own: whoever calls this may have an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, end_containers(scratch, GRACE_S)).result()


def _note(attempt: Path) -> None:
    try:
        request_stop(attempt, Intent.PLATFORM)
    except OSError as error:
        _log.warning("Could not note that %s is stopped; it counts as a failure: %s", attempt, error)


def _ask(attempts: list[Path]) -> list[Path]:
    """Ask the tasks of some attempts to end, and give each its grace time; return the attempts that go on."""
    begun = time.monotonic()
    asked: set[Path] = set()
    waiting = dict.fromkeys(attempts, GRACE_S)
    while waiting:
        for attempt in waiting.keys() - asked:
            try:
                journal = read_journal(attempt)
                if journal is None or "task" not in journal.processes:
                    continue  # it has just been started, and will soon say who runs it
                waiting[attempt] = min(GRACE_S, json.loads(journal.order).get("grace_s", GRACE_S))
            except ValueError:
                del waiting[attempt]  # `_end` says so
                continue
            asked.add(attempt)
            _signal(journal.processes["task"], signal.SIGTERM)
        time.sleep(_LOOK_S)
        passed = time.monotonic() - begun
        waiting = {each: grace for each, grace in waiting.items() if passed < grace and is_held(each)}
    return [attempt for attempt in attempts if is_held(attempt)]


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
                    _signal(process, signal.SIGKILL)
        time.sleep(_LOOK_S)
        attempts = [attempt for attempt in attempts if is_held(attempt)]
    return attempts


def _signal(process: Process, number: signal.Signals) -> None:
    if not process.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            # A leader's group: the processes that user code has started go with it.
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
