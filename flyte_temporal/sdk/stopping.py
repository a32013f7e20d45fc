"""`Stopping`: how a task hears that its attempt is to stop, while there is still time for a last save.

A stop comes as SIGTERM, and as SIGKILL when the grace time is over. As long as nobody asks, SIGTERM ends the process at
once, whatever it does. From the first question on (`stopping`, `on_stop`) it is a note that Python code looks at.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from flyte_temporal.errors import UserCodeError

_REPORT_S = 5.0
"""What is left of the grace time for the report on the attempt and its log."""

STOPPED = 128 + signal.SIGTERM
"""Exit code by which a task ends that was told to stop."""


class StopHook:
    """A registered call; as a context manager it is forgotten at the end of the block."""

    def __init__(self, callback: Callable[[], object], hooks: list[StopHook]) -> None:
        self.callback = callback
        self._hooks = hooks

    def forget(self) -> None:
        """Do not call it any more."""
        if self in self._hooks:
            self._hooks.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()


class Stopping:
    """Whether an attempt is to stop, and what is called then.

    Args:
        grace_s: Seconds between SIGTERM and SIGKILL; None in plain runs, which nobody stops so: then nothing is heard.
    """

    def __init__(self, grace_s: float | None = None) -> None:
        self._grace_s = grace_s
        self.heard = False
        """Whether a stop was heard."""
        self._listens = False
        self._before: object = signal.SIG_DFL
        self._hooks: list[StopHook] = []
        self._held = 0
        self._put_off = False
        self._deadline: threading.Timer | None = None

    @property
    def requested(self) -> bool:
        """Whether the attempt is to stop.

        Raises:
            UserCodeError: If it is asked for the first time outside of the main thread.
        """
        self._listen()
        return self.heard

    def on_stop(self, callback: Callable[[], object]) -> StopHook:
        """Have something called when the attempt is to stop, in the main thread, between two steps of its code.

        Afterwards the attempt ends. The last one that was registered is called first.

        Raises:
            UserCodeError: If it is the first one, and not registered in the main thread.
        """
        self._listen()
        hook = StopHook(callback, self._hooks)
        self._hooks.append(hook)
        return hook

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Put calls off until the end of the block: what is done in it is not to be done again in its middle."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._put_off and not self._held:
                self._put_off = False
                self._call()

    def close(self) -> None:
        """Hear nothing any more: SIGTERM does again what it did before."""
        self._hooks.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._listens:
            self._listens = False
            signal.signal(signal.SIGTERM, self._before)  # type: ignore[arg-type]

    def _listen(self) -> None:
        if self._listens or self._grace_s is None:
            return
        if threading.current_thread() is not threading.main_thread():
            raise UserCodeError(
                "Python hears of signals in the main thread only. Ask for `stopping`, or register with `on_stop`, once in the "
                "task's own thread before you do so in another one."
            )
        self._before = signal.signal(signal.SIGTERM, self._hear) or signal.SIG_DFL
        self._listens = True

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if not self.heard:
            self.heard = True
            self._limit()
        if self._held:
            self._put_off = True
        else:
            self._call()

    def _limit(self) -> None:
        """End this process, if it is still there, early enough for somebody to report on it."""
        grace_s = self._grace_s or 0.0
        left_s = grace_s - min(_REPORT_S, grace_s / 2)
        self._deadline = threading.Timer(left_s, os.kill, (os.getpid(), signal.SIGKILL))
        self._deadline.daemon = True
        self._deadline.start()

    def _call(self) -> None:
        if not self._hooks:
            return  # the task looks by itself
        while self._hooks:
            hook = self._hooks.pop()
            try:
                hook.callback()
            except Exception:  # noqa: BLE001 - the others are called all the same
                sys.stderr.write("flyte-temporal: a call registered with on_stop failed:\n")
                traceback.print_exc()
        # Not by the signal itself: what the task closes by `finally` and `with` is to be closed.
        raise SystemExit(STOPPED)
