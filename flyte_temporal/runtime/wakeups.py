"""Signals as something that `select` can wait for, in the two single-threaded parents: supervisor and zygote."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType


class SignalPipe:
    """Turns signals into bytes of a pipe.

    Args:
        signals: Which ones; their default action no longer happens.
    """

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self._signals = tuple(signals)
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        for number in self._signals:
            signal.signal(number, _noted)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return the end that becomes readable when a signal came."""
        return self._read

    def wait(self, timeout_s: float | None) -> set[int]:
        """Return the signals that came; wait up to `timeout_s` seconds for one."""
        select.select([self._read], [], [], timeout_s)
        return self.take()

    def take(self) -> set[int]:
        """Return the signals that came, without waiting."""
        try:
            return set(os.read(self._read, 4096))
        except BlockingIOError:
            return set()

    def forget(self) -> None:
        """Restore the default actions; for the child after a fork."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.close(self._read)
        os.close(self._write)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number is in the pipe. SIG_IGN would keep it from getting there."""


def exit_code(status: int) -> int:
    """Return the exit code of a wait status, or the negative number of the signal."""
    return os.waitstatus_to_exitcode(status)


def kill_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if it still exists."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
    except PermissionError:
        # macOS says so for a group of which only zombies are left.
        return
