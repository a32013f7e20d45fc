"""A process of the warm pool: forked with the user's modules already imported, it runs one attempt after another.

It reads the names of claimed attempts from its channel, each with the descriptor that holds the attempt's lock, and
perhaps with a file that tells what it shall run next, one after the other (`runtime.batch`). While it waits, the end of
the channel means that nobody needs it any more. While an attempt runs it does not look at the channel: a worker that
died changes nothing for an attempt at work. Between two attempts of a batch it does, and begins no further one for a
worker that died or that thought better of it.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.runtime import attempt, memory, orphans, output
from flyte_temporal.runtime.batch import Claimed, Following, called_off, latest
from flyte_temporal.runtime.interpreter_state import InterpreterState
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_for_attempt, open_store
from flyte_temporal.storage.sealing import remove

PAGE_BYTES = 512
_GATHER_S = 0.01


@dataclass(frozen=True)
class WarmSettings:
    """What all processes of one zygote share.

    Args:
        attempts: Folder of the attempts' journals.
        folders: Folder of the processes' own folders.
        cache: Folder of unpacked bundles.
        bundle: Digest of the bundle that the zygote has unpacked; empty if it has none.
        root: Where it is.
        max_tasks: Attempts after which the process is replaced.
        max_growth_bytes: Growth of its memory beyond which it is replaced, bytes.
    """

    attempts: Path
    folders: Path
    cache: Path
    bundle: str
    root: Path | None
    max_tasks: int
    max_growth_bytes: int


class Page:
    """Memory shared with the zygote, in which a process says what it works on, so that it can be buried."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, PAGE_BYTES)

    def publish(self, name: str) -> None:
        """Say what this process works on; empty = nothing."""
        data = name.encode()
        self._map[1 : 1 + len(data)] = data
        self._map[0] = len(data)  # last, so that the zygote never reads half a name

    def read(self) -> str:
        """Return what the process works on, or worked on when it died."""
        return self._map[1 : 1 + self._map[0]].decode()

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()


def folder_of(settings: WarmSettings, pid: int) -> Path:
    """Return the folder in which a process of the pool keeps its log and the files of its tasks."""
    return settings.folders / f"{pid}-{scratch.start_time(pid)}"


class WarmProcess:
    """The life of one process after its fork."""

    def __init__(self, channel: socket.socket, page: Page, settings: WarmSettings) -> None:
        self._channel = channel
        self._page = page
        self._settings = settings
        self._folder = folder_of(settings, os.getpid())
        self._me = scratch.this_process(self._folder)
        self._first_rss = memory.resident(self._me.pid)
        self._done = 0
        self._code: tuple[StorageConfig, attempt.Code] | None = None
        self._task: tuple[bytes, TaskSpec] | None = None
        self._environment = dict(os.environ)
        self._expected: dict[Any, Any] | None = None
        self._unsent = b""
        self._sent_at = 0.0
        self._peak_reset = _open_peak_reset()
        self._log = self._folder / scratch.LOG
        self._files = self._folder / scratch.FILES
        self._values = self._folder / scratch.VALUES

    def serve(self) -> NoReturn:
        """Run attempts until nobody needs this process any more, or it is worn out."""
        self._files.mkdir(parents=True, exist_ok=True)
        output.redirect(self._log)
        output.prepare()
        _reseed()
        orphans.adopt()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        state = InterpreterState()
        while True:
            first, following = self._receive()
            claimed: Claimed | None = first
            while claimed is not None:
                self._page.publish(claimed.name)
                ending, failed = self._run(claimed, following)
                self._done += 1
                # A library whose helper processes were ended may not work without them.
                retire = orphans.end_children() or self._worn_out(ending) or state.spoiled()
                # The note first, then the lock, then the word to the launcher: whoever hears of it sees it done.
                scratch.write_ending(claimed.journal, ending)
                self._page.publish("")
                os.close(claimed.journal)
                over = retire or not following.continues(failed=failed) or called_off(self._channel)
                self._reply({"name": claimed.name, **vars(ending), **({"retire": retire} if over else {})})
                if retire:
                    self._leave()
                self._tidy()
                state.restore()
                claimed = None if over else self._claim_next(following)

    def _receive(self) -> tuple[Claimed, Following]:
        """Wait for work: an attempt with its lock, and what follows it."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._channel, 1024, 2)
            except ConnectionResetError:
                self._leave()
            if not data:
                self._leave()
            line = latest(data)
            if line is not None and descriptors:
                break
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional by signature
        name, start, stop = line.split()
        return Claimed(name, slice(int(start), int(stop)), descriptors[0]), Following.read(descriptors[1:])

    def _claim_next(self, following: Following) -> Claimed | None:
        """Claim the next attempt of a batch that nobody else runs or has run; None if there is none."""
        while following:
            name, task, written = following.next()
            try:
                claimed = self._claim(name, task, written, following)
            except FlyteTemporalError as error:
                claimed = f"could not begin: {error}"
            if isinstance(claimed, Claimed):
                return claimed
            over = claimed is not None or not following
            self._reply({"name": name, "left": claimed, **({"retire": False} if over else {})})
            if over:
                return None
        return None

    def _claim(self, name: str, task: slice, written: bytes, following: Following) -> Claimed | str | None:
        """Claim an attempt of a batch; return None if it is not ours to run, or in words why nothing more can be begun."""
        order = self._read(written, task)
        if following.lacks(order):
            return "it needs what another process gives"
        journal = scratch.claim(self._settings.attempts, name, written)
        if journal is None:
            return None
        store = self._code[1].store if self._code is not None else open_store(order.storage)
        if not attempt.is_done(order, store):
            return Claimed(name, task, journal, order)
        # By another process, and what that left here was removed: it must not run again.
        scratch.remove(self._settings.attempts, name)
        os.close(journal)
        return None

    def _reply(self, message: dict[str, object]) -> None:
        """Tell the launcher of an end; within a batch, several short ones at once."""
        self._unsent += json.dumps(message).encode() + b"\n"
        now = time.monotonic()
        if "retire" not in message and now - self._sent_at < _GATHER_S:
            # It wakes the worker, which costs as much as a short attempt. Who cannot wait reads the journals.
            return
        self._sent_at = now
        try:
            self._channel.sendall(self._unsent)
        except (BrokenPipeError, ConnectionResetError):
            self._leave()
        self._unsent = b""

    def _leave(self) -> NoReturn:
        remove(self._folder)
        # No clean-up of the interpreter: threads and C libraries of user code may hang or crash in it.
        os._exit(0)

    def _run(self, claimed: Claimed, following: Following) -> tuple[scratch.Ending, bool]:
        """Run an attempt; return how it ended, and whether it failed."""
        scratch.write_process(claimed.journal, "task", self._me)
        if self._peak_reset >= 0:
            os.write(self._peak_reset, b"5")
        desk = attempt.Desk(self._settings.attempts / claimed.name, self._folder, self._settings.cache)
        try:
            order = claimed.order or self._read(_first_line(claimed.journal), claimed.task)
            os.environ.update(attempt.environment_of(order))
            # The variables of every attempt may stay: the next one overwrites them all.
            self._expected = environment_bytes() if not order.task.policy.env else None
            manifest = attempt.perform(order, desk, self._open(order), following.former)
        except FlyteTemporalError as error:
            return attempt.no_manifest(error), True
        if following and manifest.outputs is not None:
            following.former.add(order.attempt.node, order.task, manifest.outputs)
        return scratch.Ending(0, rss=attempt.peak_rss()), manifest.error is not None

    def _read(self, data: bytes, task: slice) -> AttemptOrder:
        """Return the order; the task in it, which is most of it, is mostly the one that was read last time."""
        written = data[task]
        if self._task is None or self._task[0] != written:
            order = AttemptOrder.read(data)
            self._task = written, order.task
            return order
        fields = json.loads(data[: task.start] + b"null" + data[task.stop :])
        return AttemptOrder.model_validate({**fields, "task": self._task[1]})

    def _open(self, order: AttemptOrder) -> attempt.Code | None:
        """Return the prepared store and code, or None if the bundle is another one than the zygote has unpacked."""
        bundle = order.environment.bundle
        if (bundle.sha256 if bundle else "") != self._settings.bundle:
            return None
        if self._code is None or order.storage != self._code[0]:
            self._code = order.storage, attempt.Code(self._settings.root, open_for_attempt(order.storage))
        attempt.enter_code(self._settings.root)
        return self._code[1]

    def _tidy(self) -> None:
        """Leave nothing of an attempt to the next one: what it printed, its files, its changes of the environment."""
        if os.fstat(1).st_size:
            self._log.unlink(missing_ok=True)
            Path(f"{self._log}.index").unlink(missing_ok=True)
            output.redirect(self._log)
        if not _is_empty(self._files):
            remove(self._files)
            self._files.mkdir(exist_ok=True)
        if self._values.exists():
            remove(self._values)
        if environment_bytes() != self._expected:
            os.environ.clear()
            os.environ.update(self._environment)

    def _worn_out(self, ending: scratch.Ending) -> bool:
        if self._done >= self._settings.max_tasks:
            return True
        if ending.rss - self._first_rss <= self._settings.max_growth_bytes:
            return False
        now = memory.resident(self._me.pid) or ending.rss
        return now - self._first_rss > self._settings.max_growth_bytes


def _first_line(journal: int) -> bytes:
    return os.pread(journal, os.fstat(journal).st_size, 0).split(b"\n", 1)[0]


def _is_empty(folder: Path) -> bool:
    """Return whether a folder is there and empty; user code may have removed its working directory, or closed it."""
    try:
        return not os.listdir(folder)  # noqa: PTH208 - the cheapest look into a folder that is nearly always empty
    except OSError:
        return False


def _open_peak_reset() -> int:
    """Open the file of the kernel by which a process forgets its peak of memory; -1 where there is none."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def environment_bytes() -> dict[Any, Any]:
    """Return a copy of the environment, as the bytes that `os.environ` keeps, which is fifty times faster to compare."""
    return dict(getattr(os.environ, "_data", os.environ))


def _reseed() -> None:
    """Give this process random numbers of its own: after a fork, all have the generators of the zygote."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
