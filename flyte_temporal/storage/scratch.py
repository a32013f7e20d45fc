"""What one attempt leaves on this machine, and the journal by which launchers and processes agree about it.

The promise "never two live copies of one attempt" rests on this module and on the kernel alone:

- A journal is made under a temporary name, locked (`flock`), and then linked to its final name. So it appears at
  once, complete and locked, and exactly one of several launchers makes it.
- The process that runs the attempt holds the lock for its whole life: it got the open file from the launcher. The
  kernel frees it when the last copy of the open file is closed, however the process died.
- A journal is used for one process only, ever. A free lock means that the process is gone.

The journal is one file with a JSON document per line: the order, then who runs it, then how it ended. One file,
because a short task must not pay for five. Read by `runtime` and by the launchers, which may not import each other.
All files of an attempt begin with one path, `where`: `<where>.journal`, `<where>.stop`, and `<where>.d` for the files
of a process that runs this attempt only.
"""

# ruff: noqa: PTH104, PTH108, PTH112, PTH123
# Plain strings as paths: the warm path of the pool goes through here; pathlib would double what it costs.
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.identifiers import AttemptId

LOG = "log"
FILES = "files"
"""The working directory of a task."""
VALUES = "values"
"""What is fetched for it, apart so that a task can return its working directory."""

_JOURNAL = ".journal"
_STOP = ".stop"
_FOLDER = ".d"
NEW = ".new-"
OLD = ".old-"


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
    """A process, told apart from a later one of the same number by the time of its start.

    Args:
        pid: Its number.
        started: When it was started, in the words of the kernel.
        folder: Where it keeps its log and its files.
        at: When it began with the attempt, seconds since 1970.
    """

    pid: int
    started: str
    folder: str = ""
    at: float = 0.0

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
        checkpoint: The last checkpoint that it saved, as JSON.
    """

    order: bytes
    processes: dict[str, Process]
    ending: Ending | None
    checkpoint: dict[str, Any] | None = None

    @property
    def log(self) -> Path | None:
        """Return the log file of the task, if its process got so far."""
        task = self.processes.get("task")
        return Path(task.folder) / LOG if task else None


def attempt_name(attempt: AttemptId) -> str:
    """Return the name of an attempt's files: readable, and unique by the digest at its end."""
    unique = hashlib.sha256(attempt.key.encode()).hexdigest()[:24]
    return f"{attempt.execution.name[:60]}-{attempt.node[-80:]}-{attempt.number}-{unique}"


def claim(root: Path, name: str, order: bytes) -> int | None:
    """Make an attempt's journal, locked; return its file descriptor.

    Args:
        root: Folder of all attempts; it exists.
        name: `attempt_name` of the attempt.
        order: The order as JSON without line breaks.

    Returns:
        The descriptor that holds the lock, or None if the journal exists: somebody else was first.

    Raises:
        LauncherError: If the journal cannot be made.
    """
    final = f"{root}/{name}{_JOURNAL}"
    if os.path.lexists(final):
        return None
    temporary = f"{root}/{NEW}{secrets.token_hex(8)}"
    journal = -1
    try:
        journal = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(journal, fcntl.LOCK_EX)
        write_whole(journal, order + b"\n")
        os.link(temporary, final)
    except FileExistsError:
        os.close(journal)
        return None
    except OSError as error:
        if journal >= 0:
            os.close(journal)
        raise LauncherError(f"Could not make {final}, the journal of an attempt: {error}.") from error
    finally:
        _unlink(temporary)
    return journal


def exists(where: Path) -> bool:
    """Return whether the attempt was ever claimed."""
    return os.path.lexists(f"{where}{_JOURNAL}")


def is_held(where: Path) -> bool:
    """Return whether a process holds the lock of this attempt, that is: whether it is at work."""
    try:
        journal = os.open(f"{where}{_JOURNAL}", os.O_RDONLY | os.O_CLOEXEC)
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


def read_journal(where: Path) -> Journal | None:
    """Return what the journal says, or None if there is no such attempt."""
    try:
        with open(f"{where}{_JOURNAL}", "rb") as file:
            order, *lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    processes: dict[str, Process] = {}
    ending = checkpoint = None
    for line in lines:
        entry = _entry(line)
        if "role" in entry:
            role = entry.pop("role")
            processes[role] = Process(**entry)
        elif "code" in entry:
            ending = Ending(**entry)
        elif "checkpoint" in entry:
            checkpoint = entry["checkpoint"]
    return Journal(order, processes, ending, checkpoint)


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(line) if line else {}
    except ValueError:
        # Half a line, of a process that was killed while it wrote.
        return {}
    return entry


def own_folder(where: Path) -> Path:
    """Return the folder for the files of a process that runs this attempt only."""
    return Path(f"{where}{_FOLDER}")


def write_process(journal: int, role: str, process: Process) -> None:
    """Write down who runs the attempt, from now on: role `supervisor` or `task`."""
    entry = {**vars(process), "role": role, "at": time.time()}
    write_whole(journal, json.dumps(entry).encode() + b"\n")


def write_ending(journal: int, ending: Ending) -> None:
    """Write down how the attempt's process ended."""
    write_whole(journal, json.dumps(vars(ending)).encode() + b"\n")


def write_checkpoint(journal: int, checkpoint: bytes) -> None:
    """Write down, as JSON, what the attempt has saved."""
    write_whole(journal, b'{"checkpoint":' + checkpoint + b"}\n")


def open_journal(where: Path) -> int:
    """Open the journal to append, without the lock."""
    return os.open(f"{where}{_JOURNAL}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def request_stop(where: Path, intent: Intent = Intent.CANCEL) -> None:
    """Leave a note that the attempt is being stopped, for whoever describes its death; the first intent stands.

    Args:
        where: Its place on this machine.
        intent: Why.
    """
    try:
        note = os.open(f"{where}{_STOP}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        os.write(note, intent.encode())
    finally:
        os.close(note)


def stop_reason(where: Path) -> Intent:
    """Return why the attempt is being stopped; `Intent.NONE` if nobody asked to stop it."""
    try:
        with open(f"{where}{_STOP}", encoding="utf-8") as note:
            found = note.read()
    except FileNotFoundError:
        return Intent.NONE
    # Half a word, or one of another release, is still a request.
    return Intent(found) if found in {*Intent} and found else Intent.CANCEL


def remove(root: Path, name: str) -> Path | None:
    """Remove all that an attempt left.

    Returns:
        What is left to be removed with `shutil.rmtree`, if it has a folder of its own: that may take long.
    """
    where = f"{root}/{name}"
    try:
        _unlink(f"{where}{_JOURNAL}")
        _unlink(f"{where}{_STOP}")
        if os.path.isdir(f"{where}{_FOLDER}"):
            old = f"{root}/{OLD}{secrets.token_hex(8)}"
            os.rename(f"{where}{_FOLDER}", old)
            return Path(old)
    except OSError as error:
        raise LauncherError(f"Could not remove {where}: {error}.") from error
    return None


def this_process(folder: Path) -> Process:
    """Return the calling process, which keeps its log and files in `folder`."""
    return Process(os.getpid(), start_time(os.getpid()) or "", str(folder))


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


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
