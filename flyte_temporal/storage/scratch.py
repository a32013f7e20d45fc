"""The folder of one attempt on this machine, and the journal in it by which launchers and processes agree.

The promise "never two live copies of one attempt" rests on this module and on the kernel alone:

- A folder is made under a temporary name, with its journal already locked (`flock`), and renamed to its final name.
  So it appears at once, complete and locked, and exactly one of several launchers makes it.
- The process that runs the attempt holds the lock for its whole life: it got the open file from the launcher. The
  kernel frees it when the last copy of the file is closed, however the process died.
- A folder is used for one process only, ever. A free lock means that the process is gone.

The journal is one file with a JSON document per line: the order, then who runs it, then how it ended. One file,
because a short task must not pay for five. Read by `runtime` and by the launchers, which may not import each other.
"""

# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH110, PTH112, PTH123
# Plain strings as paths: the warm path of the pool goes through here; pathlib would double what it costs.
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.identifiers import AttemptId

JOURNAL = "journal"
LOG = "log"
STOP = "stop"
FILES = "files"

_NEW = ".new-"
_OLD = ".old-"
_UNFINISHED_S = 60.0


@dataclass(frozen=True)
class Ending:
    """How the process of an attempt ended.

    Args:
        code: Exit code, or the negative number of the signal.
        message: What happened, in words; empty if nothing is to be said.
        rss: Largest resident memory in bytes.
        oom: Whether it ran out of memory, as far as is known.
    """

    code: int
    message: str = ""
    rss: int = 0
    oom: bool = False


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one of the same number by the time of its start."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Return whether it still runs (a zombie does not)."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True)
class Journal:
    """What the journal of an attempt says.

    Args:
        order: The order, as JSON.
        processes: Who runs it: the supervisor, if there is one, and the leader of the group of the user's code.
        ending: How it ended, if somebody could still write that down.
    """

    order: bytes
    processes: dict[str, Process]
    ending: Ending | None


def folder_name(attempt: AttemptId) -> str:
    """Return the name of an attempt's folder: readable, and unique by the digest at its end."""
    unique = hashlib.sha256(attempt.key.encode()).hexdigest()[:24]
    return f"{attempt.execution.name[:60]}-{attempt.node[-80:]}-{attempt.number}-{unique}"


def claim(root: Path, name: str, order: bytes) -> int | None:
    """Make an attempt's folder, with its journal locked; return the journal's file descriptor.

    Args:
        root: Folder of all attempts; it exists.
        name: `folder_name` of the attempt.
        order: The order as JSON without line breaks.

    Returns:
        The descriptor that holds the lock, or None if the folder exists: somebody else was first.

    Raises:
        LauncherError: If the folder cannot be made.
    """
    final = f"{root}/{name}"
    if os.path.lexists(final):
        return None
    temporary = f"{root}/{_NEW}{secrets.token_hex(8)}"
    journal = -1
    try:
        os.mkdir(temporary, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        journal = os.open(f"{temporary}/{JOURNAL}", flags, 0o600)
        fcntl.flock(journal, fcntl.LOCK_EX)
        write_whole(journal, order + b"\n")
        try:
            os.rename(temporary, final)
        except OSError:
            if not os.path.lexists(final):
                raise
        else:
            return journal
    except OSError as error:
        _discard(temporary, journal)
        raise LauncherError(f"Could not make the folder {final} of an attempt: {error}.") from error
    _discard(temporary, journal)
    return None


def is_held(folder: Path) -> bool:
    """Return whether a process holds the lock of this attempt, that is: whether it is at work."""
    try:
        journal = os.open(f"{folder}/{JOURNAL}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that several observers do not see each other. Closing it frees it at once.
        fcntl.flock(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(journal)
    return False


def read_journal(folder: Path) -> Journal | None:
    """Return what the journal says, or None if there is no such attempt."""
    try:
        with open(f"{folder}/{JOURNAL}", "rb") as file:
            order, *lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    processes: dict[str, Process] = {}
    ending = None
    for line in lines:
        entry = json.loads(line) if line else {}
        if "role" in entry:
            processes[entry["role"]] = Process(entry["pid"], entry["started"])
        elif "code" in entry:
            ending = Ending(**entry)
    return Journal(order, processes, ending)


def write_process(journal: int, role: str, process: Process) -> None:
    """Write down who runs the attempt: role `supervisor` or `task`."""
    entry = {"role": role, "pid": process.pid, "started": process.started}
    write_whole(journal, json.dumps(entry).encode() + b"\n")


def write_ending(journal: int, ending: Ending) -> None:
    """Write down how the attempt's process ended."""
    write_whole(journal, json.dumps(vars(ending)).encode() + b"\n")


def open_journal(folder: Path) -> int:
    """Open the journal to append, without the lock."""
    return os.open(f"{folder}/{JOURNAL}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def request_stop(folder: Path) -> None:
    """Leave a note that the attempt is being stopped on request, for whoever describes its death."""
    (folder / STOP).touch()


def stop_requested(folder: Path) -> bool:
    """Return whether somebody asked to stop the attempt."""
    return os.path.exists(f"{folder}/{STOP}")


def remove(root: Path, name: str) -> Path | None:
    """Remove the folder of an attempt that is over; it disappears at once, not file by file.

    Returns:
        What is left to be removed with `shutil.rmtree`, if the task left files: that may take long.
    """
    old = f"{root}/{_OLD}{secrets.token_hex(8)}"
    try:
        os.rename(f"{root}/{name}", old)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LauncherError(f"Could not remove {root}/{name}: {error}.") from error
    return None if _removed(old) else Path(old)


def sweep(root: Path) -> None:
    """Remove what a launcher left unfinished when it was killed: half-made and half-removed folders.

    Young ones are left alone, because another launcher may be about to rename them.
    """
    for entry in os.scandir(root):
        if entry.name.startswith((_OLD, _NEW)) and time.time() - entry.stat().st_mtime > _UNFINISHED_S:
            shutil.rmtree(entry.path, ignore_errors=True)


def this_process() -> Process:
    """Return the calling process."""
    return Process(os.getpid(), start_time(os.getpid()) or "")


def start_time(pid: int) -> str | None:
    """Return when a process started, in the words of the kernel; None if there is none, or a zombie.

    Without /proc (macOS) it is the empty string for every process that exists.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if os.path.isdir("/proc/self"):
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return ""
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode()


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of some bytes to a file."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _discard(temporary: str, journal: int) -> None:
    if journal >= 0:
        os.close(journal)
    shutil.rmtree(temporary, ignore_errors=True)


def _removed(folder: str) -> bool:
    # Most folders hold two or three files; shutil.rmtree costs ten times as much for these.
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        return False
    return True
