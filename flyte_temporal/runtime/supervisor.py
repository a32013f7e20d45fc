"""The parent of one task process: forwards signals, reaps, uploads the log while the task runs, buries what died.

It is PID 1 of a container, or the first process of an attempt of the `process` launcher. User code never runs in it,
so whatever user code does to its own process, somebody is left to say what happened.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import LauncherError, StorageError
from flyte_temporal.runtime import attempt, deaths, memory, orphans, output
from flyte_temporal.runtime.echo import Echo
from flyte_temporal.runtime.wakeups import SignalPipe, exit_code, kill_group
from flyte_temporal.spec.attempt import NO_MANIFEST, AttemptOrder, Intent
from flyte_temporal.storage import orders, scratch
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.logs import INTERVAL_S, AttemptLog

_MEMORY_CHECK_S = 0.05
_ASK_S = 2.0


@dataclass(frozen=True)
class Assignment:
    """What one supervisor is for.

    Args:
        order: The order.
        desk: Where it runs.
        journal: Descriptor of the journal, which holds the attempt's lock.
        asks_store: Whether the reason of a stop is in the blob store, not beside the journal: in a container.
    """

    order: AttemptOrder
    desk: attempt.Desk
    journal: int
    asks_store: bool = False


def supervise(assignment: Assignment) -> int:
    """Run one attempt in a child process and return when it is over.

    Returns:
        The child's exit code, or 128 and the number of the signal that killed it.
    """
    folder = assignment.desk.folder
    try:
        (folder / scratch.FILES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LauncherError(f"Could not make the folder {folder} of an attempt: {error}.") from error
    kills = memory.kernel_kills()
    orphans.adopt()
    heard = (
        signal.SIGCHLD,
        signal.SIGTERM,
        signal.SIGINT,
        *((signal.SIGQUIT,) if assignment.asks_store else ()),
    )
    signals = SignalPipe(heard)
    child = os.fork()
    if child == 0:
        _become_task(signals, assignment)
    _set_group(child)
    scratch.write_process(assignment.journal, "supervisor", scratch.this_process(folder))
    task = scratch.Process(child, scratch.start_time(child) or "", str(folder))
    scratch.write_process(assignment.journal, "task", task)
    shipping = _LogShipping(assignment)
    shipping.start()
    echo = Echo(folder / scratch.LOG) if os.environ.get(orders.ECHO) else None
    if echo is not None:
        echo.start()
    death = _watch(child, signals, assignment)
    # What user code left behind would write into a log that nobody reads any more.
    kill_group(child, signal.SIGKILL)
    orphans.end_children()
    if echo is not None:
        echo.end()
    shipping.end()
    if death.code < 0 and memory.kernel_kills() > kills:
        death = deaths.Death(death.code, death.rss, oom=True, stopped=death.stopped)
    _conclude(assignment.desk.where, death)
    return death.code if death.code >= 0 else 128 - death.code


def _become_task(signals: SignalPipe, assignment: Assignment) -> None:
    """Go on as the task process; never returns."""
    code = NO_MANIFEST
    try:
        signals.forget()
        _set_group(0)
        output.redirect(assignment.desk.folder / scratch.LOG)
        output.prepare()
        code = attempt.run_in_process(
            assignment.order, assignment.desk, assignment.journal, contained=assignment.asks_store
        )
        output.flush()
    finally:
        # No clean-up of the interpreter: threads and C libraries of user code may hang or crash in it.
        os._exit(code)


def _set_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        # The other of the two, parent or child, was faster.
        return


def _watch(child: int, signals: SignalPipe, assignment: Assignment) -> deaths.Death:
    limit = memory.memory_limit(assignment.order.task)
    stopped = oom = False
    while True:
        for number in signals.wait(_MEMORY_CHECK_S if limit else None):
            if number != signal.SIGCHLD:
                stopped = True
                scratch.request_stop(assignment.desk.where, _intent(assignment))
                # Nobody outside of a container can end the task alone: SIGQUIT asks for that, when its time is up.
                kill_group(child, signal.SIGKILL if number == signal.SIGQUIT else signal.Signals(number))
        ended = _reap(child)
        if ended is not None:
            code, rss = ended
            return deaths.Death(code, rss, oom=oom, stopped=stopped)
        if limit and not oom and memory.resident(child) > limit:
            oom = True
            kill_group(child, signal.SIGKILL)


def _intent(assignment: Assignment) -> Intent:
    """Return why we are told to stop, as far as can be known soon: the task's time to end in is running."""
    found: list[Intent] = []

    def ask() -> None:
        with suppress(StorageError):
            found.append(orders.stop_reason(open_store(assignment.order.storage), assignment.order.attempt))

    if assignment.asks_store:
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(min(_ASK_S, assignment.order.grace_s / 4))
    if not assignment.asks_store or not found:
        return Intent.CANCEL
    return found[0] or Intent.TAKEN


def _reap(child: int) -> tuple[int, int] | None:
    """Collect every child that ended, adopted ones too (PID 1); return exit code and peak memory of the task."""
    found = None
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            unit = 1 if sys.platform == "darwin" else 1024
            found = exit_code(status), usage.ru_maxrss * unit


def _conclude(where: Path, death: deaths.Death) -> None:
    journal = scratch.read_journal(where)
    if journal is None:
        # A launcher that saw the end in the journal has already released the attempt.
        return
    if journal.ending is None or (death.code not in {0, NO_MANIFEST}):
        deaths.bury(where, death)


class _LogShipping:
    """Uploads the log while the task runs; in a thread, so that a slow store does not hold up signals."""

    def __init__(self, assignment: Assignment) -> None:
        self._config = assignment.order.storage
        self._log = AttemptLog(assignment.desk.folder / scratch.LOG, assignment.order.attempt.key)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        shipped, last = 0, time.monotonic()
        while not self._over.wait(1.0):
            waiting = self._log.pending(shipped)
            due = time.monotonic() - last >= INTERVAL_S - 1 or waiting >= 1024 * 1024
            if waiting and due:
                try:
                    self._log.ship(open_store(self._config))
                    shipped, last = shipped + waiting, time.monotonic()
                except StorageError as error:
                    sys.stderr.write(f"flyte-temporal: the log waits: {error}\n")
