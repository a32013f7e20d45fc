"""A spare process: everything imported, nothing begun. It takes a dead worker's place within milliseconds.

Importing is most of what a worker's restart costs (2 s of CPU on a slow machine); a spare has done it while there was
time. It waits at its standard input for a line; the end of the input (the supervisor is gone) ends it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flyte_temporal.config.home import child_environment
from flyte_temporal.local import forking
from flyte_temporal.local.processes import Process

WAIT = "--wait"
"""Argument by which a worker is told to import everything, then to wait for a line."""


class Spare:
    """A process that waits.

    Args:
        process: The process.
        descriptor: Writing end of its standard input.
    """

    def __init__(self, process: Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor

    def use(self) -> Process | None:
        """Let it begin and return it; None if it is dead."""
        try:
            if self.process.poll() is not None:
                return None
            os.write(self._descriptor, b"\n")
        except OSError:
            return None
        finally:
            self._close()
        return self.process

    def dismiss(self) -> None:
        """End it without having used it."""
        self._close()
        self.process.kill()
        self.process.wait()

    def _close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def forked(log: Path, folder: Path, private: Sequence[int]) -> Spare:
    """Return a spare that is a fork of this process; see `forking` for when that is sound."""
    reading, writing = os.pipe()
    try:
        process = forking.fork_worker(log, folder, [*private, writing], waits_at=reading)
    except OSError:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Spare(process, writing)


def spawned(command: Sequence[str], environment: dict[str, str], log: Path, folder: Path) -> Spare:
    """Return a spare that is a fresh process and imports what it needs by itself."""
    reading, writing = os.pipe()
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, WAIT],
                stdin=reading,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=child_environment(environment),
                start_new_session=True,
            )
    except OSError:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Spare(process, writing)
