"""The first worker as a fork of the supervisor.

Both need the same libraries, and importing them twice at the same time is most of what a cold start costs (2 s of CPU
each on a slow machine with two cores). Only at the start, while the supervisor has one thread and no event loop: later workers, and all on systems other than
Linux, are fresh processes. The worker is addressed by its module's name, as in `python -m`; nothing of it is used here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from flyte_temporal.local.processes import MARK

_WORKER = "flyte_temporal.worker"

_SHARED = (
    "flyte_temporal.worker.wiring",
    "flyte_temporal.adapters.store.sql",
    "flyte_temporal.adapters.launchers.pool",
    "flyte_temporal.adapters.launchers.process",
    "flyte_temporal.local.host",
    "flyte_temporal.local.wiring",
)


class Forked:
    """A forked process, with the part of `subprocess.Popen` that keeping it needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        while self.returncode is None:
            if not self._reap(0):
                # Another thread has reaped it and is about to note the code.
                time.sleep(0.001)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            # Another thread may have reaped it, and be about to note the code.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self.send_signal(signal.SIGKILL)

    def _reap(self, options: int) -> bool:
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:
            return False
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)
        return True


def can_fork() -> bool:
    """Return whether a fork is sound here and now: on Linux, and from a process with a single thread."""
    return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1


def preload() -> None:
    """Import what supervisor and worker need.

    Raises:
        ImportError: If a library is missing or broken.
    """
    for name in _SHARED:
        importlib.import_module(name)


def fork_worker(log: Path, folder: Path, private: Sequence[int], waits_at: int | None = None) -> Forked:
    """Start the worker as a fork of this process.

    Args:
        log: File for its output.
        folder: Its working directory.
        private: Descriptors that it must not keep: the home's lock, the pipe of the report.
        waits_at: Pipe at which it waits for a line before it begins; None to begin at once.
    """
    # Objects made so far are left alone by the collector, so that their memory stays shared.
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Forked(pid)
    try:
        _become_worker(log, folder, private, waits_at)
    except BaseException:  # noqa: BLE001 - nothing may return into the supervisor's code
        traceback.print_exc()
    finally:
        os._exit(1)


def _become_worker(log: Path, folder: Path, private: Sequence[int], waits_at: int | None) -> NoReturn:
    os.setsid()
    os.chdir(folder)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in private:
        os.close(descriptor)
    given = os.open(os.devnull, os.O_RDONLY) if waits_at is None else waits_at
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((given, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(given)
    os.close(output)
    Path("/proc/self/comm").write_text(MARK)
    logging.getLogger().handlers.clear()
    sys.argv = [_WORKER] if waits_at is None else [_WORKER, "--wait"]
    runpy.run_module(_WORKER, run_name="__main__", alter_sys=True)
    os._exit(0)
