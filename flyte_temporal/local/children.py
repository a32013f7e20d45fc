"""A child process that is kept alive: started, watched, restarted with back-off, its log kept small."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.config.home import child_environment
from flyte_temporal.local.processes import Identity, Process, identify
from flyte_temporal.local.spares import Spare

_log = logging.getLogger(__name__)

_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Pause before a restart, by the number of quick deaths in a row: at once the first time."""

_QUICK_S = 15.0
"""A process that lived for less died quickly."""

_FAILING = 3
"""After so many quick deaths of its own, whoever needs the process is told instead of waiting."""

_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that somebody else ended: no sign that it cannot run."""

_SPARE_AFTER_S = 5.0
"""How long a process must have lived before a spare is made: a cold start has better use for the processors."""

_NEXT_SPARE_AFTER_S = 1.5
"""The same for a process that took another's place, so that a second death soon after costs no more than the first:
by then what was left behind is at work again."""

_OUTSIDE_PAUSE_S = 0.5
"""The longest pause after a death by somebody else's hand, who may kill many at once."""


@dataclass(frozen=True)
class Program:
    """What to run.

    Args:
        name: For people, and the name of the log.
        command: Program and arguments.
        environment: Variables besides those of this process.
        log: File for its output.
        folder: Its working directory.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    folder: Path


class Child:
    """Keeps one program running.

    Args:
        program: The program.
        changed: Called when there is another process.
        make_spare: Makes a process that can take its place at once; None for programs that start quickly.
        check: Called before each restart; what it raises, or that it does not return, keeps the process dead.
    """

    def __init__(
        self,
        program: Program,
        changed: Callable[[], None],
        make_spare: Callable[[], Spare] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._program = program
        self._changed = changed
        self._make_spare = make_spare
        self._check = check
        self.spare: Spare | None = None
        self._process: Process | None = None
        self._began = 0.0
        self._log_start = 0
        self._quick_deaths = 0
        self._failures = 0
        self._stopping = asyncio.Event()
        self.identity: Identity | None = None
        self.restarts = 0
        self.died = asyncio.Event()
        """Set when the process has died; cleared by whoever acts on it."""
        self.problem = ""
        """Why it does not run or died last, in a sentence; empty while all is well."""

    @property
    def failing(self) -> bool:
        """Return whether it dies again and again."""
        return self._failures >= _FAILING

    def start(self, made: Callable[[], Process] | None = None) -> None:
        """Start the process. Needs no event loop, so that it can be done before anything is imported.

        Args:
            made: Makes the process in another way than from the program's command.
        """
        self._log_start = self._program.log.stat().st_size if self._program.log.exists() else 0
        self._process = made() if made else self._spawn()
        self._began = time.monotonic()
        self.identity = identify(self._process.pid)
        self._changed()

    def _spawn(self) -> Process:
        program = self._program
        with program.log.open("ab") as log:
            return subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.folder,
                env=child_environment(program.environment),
                # Ctrl-C in a terminal is for the supervisor, which stops its children in order.
                start_new_session=True,
            )

    async def keep(self) -> None:
        """Watch the process and restart it whenever it ends, until `stop` is called."""
        while not self._stopping.is_set():
            if self._process is None:
                await self._try_start()
                continue
            code = await self._exit(self._process)
            if self._stopping.is_set():
                return
            self._process = None
            await self._died(code)

    async def stop(self, grace_s: float) -> None:
        """End the process for good: SIGTERM, then SIGKILL after `grace_s` seconds."""
        self._stopping.set()
        if self.spare is not None:
            self.spare.dismiss()
            self.spare = None
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self._exit(process)
        except TimeoutError:
            _log.warning("%s did not end within %g s and is killed.", self._program.name, grace_s)
            process.kill()
            await self._exit(process)

    def rotate(self, limit: int) -> None:
        """Cut the log when it is larger than `limit` bytes; one older file is kept.

        The file is copied and emptied, because the process keeps it open (for appending).
        """
        rotate(self._program.log, limit)

    def output(self, size: int = 2000) -> str:
        """Return the end of what the present or last process has written."""
        try:
            with self._program.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start if self._log_start <= end else 0, end - size))
                return log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def kill(self) -> None:
        """Kill it and its spare at once, and do not wait for their end."""
        self._stopping.set()
        for process in (self._process, self.spare.process if self.spare else None):
            if process is not None:
                process.kill()

    async def _try_start(self) -> None:
        self._check()
        ready = self.spare.use() if self.spare else None
        self.spare = None
        try:
            self.start((lambda: ready) if ready else None)
        except OSError as error:
            self.problem = f"{self._program.name} cannot be started: {error}."
            self._quick_deaths += 1
            self._failures += 1
            _log.exception("%s", self.problem)
            await asyncio.sleep(_PAUSES_S[-1])

    async def _died(self, code: int) -> None:
        self.died.set()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        quick = time.monotonic() - self._began < _QUICK_S
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        self._failures = self._failures + 1 if quick and code not in _OUTSIDE else 0
        pause = _PAUSES_S[min(self._quick_deaths, len(_PAUSES_S) - 1) - (self._quick_deaths > 0)]
        if code in _OUTSIDE:
            pause = min(pause, _OUTSIDE_PAUSE_S)
        lines = self.output().splitlines()
        said = f" It said: {lines[-1][:500]}" if lines and code > 0 else ""
        self.problem = f"{self._program.name} ended by {how}.{said} Its log is {self._program.log}."
        _log.warning("%s Restart in %g s.", self.problem, pause)
        await asyncio.sleep(pause)
        if not self._stopping.is_set():
            self.restarts += 1
            await self._try_start()
            asyncio.get_running_loop().call_later(_NEXT_SPARE_AFTER_S, self.keep_spare)

    def settle(self) -> None:
        """Forget old deaths once the process has lived for a while."""
        if self._process is not None and time.monotonic() - self._began > _QUICK_S:
            self._quick_deaths = self._failures = 0
            self.problem = ""

    def keep_spare(self) -> None:
        """Have a spare ready, once the process has lived for a while."""
        wait = _NEXT_SPARE_AFTER_S if self.restarts else _SPARE_AFTER_S
        if self._make_spare is None or self._process is None or self._stopping.is_set():
            return
        if time.monotonic() - self._began < wait:
            return
        if self.spare is not None and self.spare.process.poll() is None:
            return
        try:
            self.spare = self._make_spare()
        except OSError as error:
            _log.warning("No spare of %s could be made: %s", self._program.name, error)

    @staticmethod
    async def _exit(process: Process) -> int:
        # A thread per process and not the loop's own child watcher: the child was started before there was a loop.
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def tell(code: int) -> None:
            if not ended.done():
                ended.set_result(code)

        def wait() -> None:
            code = process.wait()
            # The loop may have ended; then nobody asks any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, code)

        threading.Thread(target=wait, daemon=True, name=f"wait for {process.pid}").start()
        return await ended


def rotate(log: Path, limit: int) -> None:
    """Cut a log file; see `Child.rotate`."""
    try:
        if log.stat().st_size <= limit:
            return
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
    except OSError as error:
        _log.warning("The log %s was not rotated: %s", log, error)
