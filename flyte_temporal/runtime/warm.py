"""A process of the warm pool: forked with the user's modules already imported, it runs one attempt after another.

It reads the names of claimed folders from its channel, each with the descriptor that holds the folder's lock. While
it waits, the end of the channel means that nobody needs it any more. While it works it does not look at the channel:
a worker that died changes nothing for an attempt at work.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.runtime import attempt, memory, output
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_store

PAGE_BYTES = 512


@dataclass(frozen=True)
class WarmSettings:
    """What all processes of one zygote share.

    Args:
        attempts: Folder of the attempts' scratch folders.
        cache: Folder of unpacked bundles.
        bundle: Digest of the bundle that the zygote has unpacked; empty if it has none.
        root: Where it is.
        max_tasks: Attempts after which the process is replaced.
        max_growth_bytes: Growth of its memory beyond which it is replaced, bytes.
    """

    attempts: Path
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


class WarmProcess:
    """The life of one process after its fork."""

    def __init__(self, channel: socket.socket, page: Page, settings: WarmSettings) -> None:
        self._channel = channel
        self._page = page
        self._settings = settings
        self._environment = dict(os.environ)
        self._me = scratch.this_process()
        self._first_rss = memory.resident(self._me.pid)
        self._done = 0
        self._storage: StorageConfig | None = None
        self._store: BlobStore | None = None
        self._peak_reset = _open_peak_reset()

    def serve(self) -> NoReturn:
        """Run attempts until nobody needs this process any more, or it is worn out."""
        output.prepare()
        _reseed()
        while True:
            name, journal = self._receive()
            self._page.publish(name)
            ending = self._run(name, journal)
            self._done += 1
            retire = self._worn_out(ending)
            # Files first, then the lock, then the word to the launcher: whoever hears of it sees it done.
            scratch.write_ending(journal, ending)
            self._page.publish("")
            os.close(journal)
            self._reply({**vars(ending), "retire": retire})
            if retire:
                os._exit(0)
            if self._environment != os.environ:
                os.environ.clear()
                os.environ.update(self._environment)

    def _receive(self) -> tuple[str, int]:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, 1024, 1)
        except ConnectionResetError:
            os._exit(0)
        if not data or not descriptors:
            os._exit(0)
        os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - positional by signature
        return data.decode().strip(), descriptors[0]

    def _reply(self, message: dict[str, object]) -> None:
        try:
            self._channel.send(json.dumps(message).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    def _run(self, name: str, journal: int) -> scratch.Ending:
        scratch.write_process(journal, "task", self._me)
        if self._peak_reset >= 0:
            os.write(self._peak_reset, b"5")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        folder = self._settings.attempts / name
        try:
            order = AttemptOrder.read(os.pread(journal, os.fstat(journal).st_size, 0).split(b"\n", 1)[0])
            output.redirect(folder / scratch.LOG)
            attempt.perform(order, folder, self._settings.cache, self._place(order, folder))
        except FlyteTemporalError as error:
            return scratch.Ending(
                attempt.NO_MANIFEST, f"No manifest was written: {error}", attempt.peak_rss()
            )
        return scratch.Ending(0, rss=attempt.peak_rss())

    def _place(self, order: AttemptOrder, folder: Path) -> attempt.Place | None:
        """Return the prepared place, or None if the bundle is another one than the zygote has unpacked."""
        bundle = order.environment.bundle
        if (bundle.sha256 if bundle else "") != self._settings.bundle:
            return None
        if self._store is None or order.storage != self._storage:
            self._store, self._storage = open_store(order.storage), order.storage
        attempt.enter_code(self._settings.root)
        return attempt.Place(folder, self._settings.root, self._store)

    def _worn_out(self, ending: scratch.Ending) -> bool:
        if self._done >= self._settings.max_tasks or _has_children():
            return True
        if ending.rss - self._first_rss <= self._settings.max_growth_bytes:
            return False
        now = memory.resident(self._me.pid) or ending.rss
        return now - self._first_rss > self._settings.max_growth_bytes


def _open_peak_reset() -> int:
    """Open the file of the kernel by which a process forgets its peak of memory; -1 where there is none."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _reseed() -> None:
    """Give this process random numbers of its own: after a fork, all have the generators of the zygote."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _has_children() -> bool:
    """Return whether user code left subprocesses behind, which end with this process."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
