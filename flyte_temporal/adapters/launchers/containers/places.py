"""What a launcher of containers keeps of an attempt on this machine: a lock, and whether its container was ever started.

Engines start an ended container again when told to, and make one anew under the name of one that somebody removed. So
both are decided under a lock, which the program that starts a container holds too: whoever gets it knows that nobody is
about to, and who does not get it finds a container that runs, soon. The file stays until the attempt is released, or
forgotten (`leftovers`).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.identifiers import AttemptId

SUFFIX = ".container"


@dataclass(frozen=True)
class Data:
    """Folders on this machine for the container of an image without our runtime.

    Args:
        inputs: With a file for each input.
        outputs: In which the command leaves one for each output.
        log: What it writes.
    """

    inputs: Path
    outputs: Path
    log: Path


class Stage(StrEnum):
    """How far an attempt is."""

    NEW = "new"
    BEGUN = "begun"
    """Its container has been started, or was about to be."""
    NEVER = "never"
    """It was stopped before that, and does not begin any more."""


@dataclass
class Place:
    """The file of an attempt, locked.

    Args:
        lock: Descriptor of the file.
        note: What stands in it.
    """

    lock: int
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """Return how far the attempt is."""
        return Stage(self.note.get("stage", Stage.NEW))

    def write(self, stage: Stage) -> None:
        """Note how far it is."""
        self.note["stage"] = stage.value
        data = json.dumps(self.note).encode() + b"\n"
        os.pwrite(self.lock, data, 0)
        os.ftruncate(self.lock, len(data))


def folder_in(scratch: Path) -> Path:
    """Return the folder of these files in the folder of a machine's attempts."""
    return scratch / "containers"


class Places:
    """The folder of a launcher's files.

    Args:
        folder: It.
        program: The engine's program, for whoever finds the files.
    """

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self._program = folder, program
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LauncherError(f"Could not make the scratch folder {folder}: {error}.") from error

    def data(self, name: str) -> Data:
        """Return where the data of a container without our runtime is."""
        own = self.folder / f"{name}.d"
        return Data(own / "inputs", own / "outputs", own / "log")

    def pid_file(self, name: str) -> Path:
        """Return the file in which podman notes the first process of a container."""
        return self.folder / f"{name}.pid"

    def pid(self, name: str) -> int:
        """Return the first process of a container that has just been started; 0 if that is not written down."""
        try:
            return int(self.pid_file(name).read_text())
        except (OSError, ValueError):
            return 0

    def was_begun(self, name: str) -> bool:
        """Return whether a container was started, or was about to be, by whoever had the lock."""
        with suppress(OSError, ValueError):
            note = json.loads((self.folder / f"{name}{SUFFIX}").read_bytes() or b"{}")
            return bool(note.get("stage") == Stage.BEGUN)
        return False

    @contextmanager
    def locked(self, name: str, attempt: AttemptId, storage: StorageConfig) -> Iterator[Place | None]:
        """Hold the lock of an attempt inside the block; None if somebody else holds it.

        Whoever starts a container holds it, and after that perhaps its monitor, which inherits the descriptor.

        Args:
            name: Name of its container.
            attempt: It.
            storage: Its blob store.

        Raises:
            LauncherError: If the file cannot be made.
        """
        path = self.folder / f"{name}{SUFFIX}"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LauncherError(f"Could not make {path}: {error}.") from error
        try:
            if not _take(lock):
                yield None
                return
            note = _noted(os.pread(lock, 1024**2, 0)) or {
                "program": self._program,
                "attempt": attempt.model_dump(mode="json"),
                "storage": storage.model_dump(mode="json"),
            }
            yield Place(lock, note)
        finally:
            os.close(lock)

    def remove(self, name: str) -> None:
        """Forget an attempt; its file goes last, so that what is left of a worker that is killed meanwhile is found by it."""
        shutil.rmtree(self.folder / f"{name}.d", ignore_errors=True)
        for path in (self.pid_file(name), self.folder / f"{name}{SUFFIX}"):
            path.unlink(missing_ok=True)

    def remove_old(self, name: str, age_s: float) -> bool:
        """Forget an attempt whose file nobody has written for so many seconds, nor holds; return whether it is forgotten."""
        try:
            lock = os.open(self.folder / f"{name}{SUFFIX}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if time.time() - os.fstat(lock).st_mtime < age_s or not _take(lock):
                return False
            self.remove(name)
        finally:
            os.close(lock)
        return True

    def notes(self) -> dict[str, dict[str, Any]]:
        """Return what stands in each file, by name of container."""
        found = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            with suppress(OSError):
                found[path.name.removesuffix(SUFFIX)] = _noted(path.read_bytes())
        return found


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _noted(data: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(data or b"{}")
    except ValueError:
        # Half a note, of a worker that was killed while it wrote: its container was not started yet.
        return {}
    return found
