"""`ProcessLauncher`: a fresh interpreter per attempt, under a supervisor that outlives the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.adapters.launchers.exits import ExitWatch
from flyte_temporal.adapters.launchers.queueing import Entry, QueueingLauncher
from flyte_temporal.adapters.launchers.settings import (
    DEFAULT_SIZE,
    PoolConfig,
    interpreter_of,
    process_environment,
)
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState
from flyte_temporal.storage import scratch

if TYPE_CHECKING:
    from flyte_temporal.config.settings import Settings


class ProcessLauncher(QueueingLauncher):
    """Runs each attempt in an interpreter of its own.

    Args:
        folder: Folder for everything of this machine's attempts.
        cache: Folder of unpacked bundles; by default below it.
        size: Attempts at once; further ones wait. By default the number of processors, at least 2.
    """

    def __init__(self, folder: Path, cache: Path | None = None, size: int = DEFAULT_SIZE) -> None:
        super().__init__(PoolConfig(folder, size, cache=cache))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""
        for entry in self._entries.values():
            if entry.runner is not None:
                entry.runner.let_go()
                entry.runner = None
        for supervisor in self._running.values():
            # One that has told its end and is not gone yet: without a code, Popen would complain.
            if supervisor.poll() is None:
                supervisor.returncode = 0
        self._running.clear()
        self._let_go()

    def _pump(self) -> None:
        while self._queue and len(self._running) < self._config.size:
            entry = self._queue.popleft()
            claimed = self._claim(entry)
            if claimed is not None:
                try:
                    self._launch(entry, claimed)
                finally:
                    os.close(claimed)

    def _launch(self, entry: Entry, journal: int) -> None:
        where = self._config.attempts / entry.name
        folder = scratch.own_folder(where)
        environment = entry.order.environment
        interpreter = interpreter_of(environment.interpreter)
        command = [interpreter, "-P", "-m", "flyte_temporal.runtime", "--attempt", str(where)]
        command += ["--journal", str(journal), "--cache", str(self._config.bundles)]
        try:
            folder.mkdir()
            with (folder / "supervisor.log").open("wb") as log:
                supervisor = subprocess.Popen(
                    command,
                    pass_fds=(journal,),
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=process_environment(environment.env),
                )
        except OSError as error:
            scratch.remove(self._config.attempts, entry.name)
            message = f"Could not start {interpreter}: {error.strerror or error}. Nothing runs."
            failure = LauncherError(message)
            entry.end(AttemptState(phase=AttemptPhase.EXITED, message=message, ran=False))
            raise failure from error
        self._running[entry.name] = supervisor
        entry.run(ExitWatch(supervisor, lambda code: self._ended(entry, code)), supervisor.pid)

    def _ended(self, entry: Entry, code: int) -> None:
        """Note the end of a supervisor."""
        entry.runner = None
        self._running.pop(entry.name)
        where = self._config.attempts / entry.name
        journal = scratch.read_journal(where)
        if journal is not None and not journal.processes and journal.ending is None:
            words = (
                (scratch.own_folder(where) / "supervisor.log")
                .read_text(encoding="utf-8", errors="replace")[-2000:]
                .strip()
            )
            entry.end(
                AttemptState(
                    phase=AttemptPhase.EXITED,
                    exit_code=code,
                    message=f"The runtime did not start (exit code {code}). {words}".strip(),
                    ran=False,
                )
            )
        else:
            # If the supervisor was killed, the task may still run: its lock tells.
            self._adopt(entry)
        self._pump_safely()

    def _pump_safely(self) -> None:
        while self._queue:
            before = len(self._queue)
            try:
                self._pump()
            except LauncherError:
                # The attempt that could not be started says so in its state; the next one may use another Python.
                if len(self._queue) < before:
                    continue
            return

    async def _stop_own(self, entry: Entry, grace_s: float) -> None:
        supervisor = self._running[entry.name]
        supervisor.send_signal(signal.SIGTERM)
        await asyncio.wait((entry.over,), timeout=grace_s)
        if not entry.over.done():
            entry.end(await self._journal(entry.name).stop(0.0))


def make(settings: Settings) -> ProcessLauncher:
    """Return a launcher with the settings of this installation."""
    own = settings.worker
    return ProcessLauncher(own.scratch, own.cache, own.pool_size)
