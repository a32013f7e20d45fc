"""What a task may change in its interpreter that the next task of the same warm process would notice.

Cheap things are put back. What cannot be put back for certain (closed or replaced streams, the search path of
imports, which belongs to modules that are imported already) makes the process one that is replaced. Modules, and the
state that user code keeps in them, are shared by the tasks of a process on purpose.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
_STREAMS = ("stdin", "stdout", "stderr")


class InterpreterState:
    """How the interpreter is between two tasks, as it was when this object was made.

    Environment variables and files are the business of the process itself.
    """

    def __init__(self) -> None:
        self._streams = [getattr(sys, name) for name in _STREAMS]
        self._looks = [_look(stream) for stream in self._streams]
        self._settings = _settings()
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._output = _output()

    def spoiled(self) -> bool:
        """Return whether a task changed what is not put back, so that the process must not run another one."""
        streams = [getattr(sys, name, None) for name in _STREAMS]
        return (
            any(now is not then for now, then in zip(streams, self._streams, strict=True))
            or [_look(stream) for stream in streams] != self._looks
            or _settings() != self._settings
            or _output() != self._output
        )

    def restore(self) -> None:
        """Put back what can be put back; called between two tasks, when the output goes where it shall go."""
        os.umask(self._umask)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._output = _output()


def _settings() -> tuple[Any, ...]:
    return list(sys.path), list(sys.argv), sys.getrecursionlimit(), sys.gettrace(), sys.getprofile()


def _look(stream: Any) -> tuple[Any, ...]:
    try:
        return (
            stream.closed,
            getattr(stream, "encoding", ""),
            getattr(stream, "errors", ""),
            getattr(stream, "line_buffering", False),
        )
    except (AttributeError, ValueError):
        # None, or a stream whose buffer was detached.
        return ()


def _output() -> list[tuple[int, int]] | None:
    """Return which files descriptors 1 and 2 are; None if one is closed."""
    try:
        return [(found.st_dev, found.st_ino) for found in (os.fstat(1), os.fstat(2))]
    except OSError:
        return None
