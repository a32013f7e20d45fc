"""Notice of the end of a child process, in the event loop, without a thread per process where the kernel helps."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable


class ExitWatch:
    """Calls a function in the event loop when a process has ended.

    Args:
        process: The process.
        then: Called with its exit code, unless it was let go before.
    """

    def __init__(self, process: subprocess.Popen[bytes], then: Callable[[int], None]) -> None:
        self._process = process
        self._then: Callable[[int], None] | None = then
        self._loop = asyncio.get_running_loop()
        self._handle = -1
        if hasattr(os, "pidfd_open"):
            self._handle = os.pidfd_open(process.pid)
            self._loop.add_reader(self._handle, self._ended)
        else:
            waiting = self._loop.run_in_executor(None, process.wait)
            waiting.add_done_callback(lambda _: self._ended())

    def let_go(self) -> None:
        """Do not watch any more; the process goes on."""
        self._then = None
        self._close()
        # Without a return code, Popen would complain that nobody waits for it.
        if self._process.poll() is None:
            self._process.returncode = 0

    def _ended(self) -> None:
        self._close()
        code = self._process.wait()
        if self._then is not None:
            self._then(code)

    def _close(self) -> None:
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
