"""The log of an attempt, in numbered chunks below its key.

A chunk is written by whoever holds the attempt's log at that moment: the process that runs it, its supervisor while
it runs, or the process that buries it. A small index beside the local file, under a lock of the kernel, makes sure
that each byte goes into exactly one chunk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys

CHUNK_BYTES = 1024 * 1024
"""Largest chunk."""

INTERVAL_S = 5.0
"""After this many seconds at most, what a running task printed can be read elsewhere."""

QUOTA_BYTES = 64 * 1024 * 1024
"""What is kept of one attempt's log."""

_DONE = "done"


@dataclass(frozen=True)
class AttemptLog:
    """The local log file of an attempt and its way into the blob store.

    Args:
        path: The file into which the task's stdout and stderr go.
        attempt_key: The attempt's folder in the blob store.
        quota: Bytes that are kept.
    """

    path: Path
    attempt_key: str
    quota: int = QUOTA_BYTES

    def pending(self, shipped: int) -> int:
        """Return how many bytes the file has beyond those that were shipped, without opening anything."""
        try:
            return max(0, self.path.stat().st_size - shipped)
        except FileNotFoundError:
            return 0

    def ship(self, store: BlobStore) -> int:
        """Upload what was not uploaded yet; return the number of chunks so far.

        Idempotent, and safe when several processes do it at once: one of them waits.

        Raises:
            StorageError: If the store refused or did not answer. What was not stored is tried again next time.
        """
        if not self.pending(0):
            return 0
        index = os.open(f"{self.path}.index", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(index, fcntl.LOCK_EX)
            return self._ship(store, index)
        finally:
            os.close(index)

    def tail(self, size: int = 2048) -> str:
        """Return the last bytes of the file as text, from the start of a line where there is one."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - size))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        if end > size:
            text = text.partition("\n")[2] or text
        return text.strip()

    def _ship(self, store: BlobStore, index: int) -> int:
        number, offset, done = _read_index(index)
        with self.path.open("rb") as file:
            file.seek(offset)
            while not done and (data := file.read(min(CHUNK_BYTES, self.quota - offset) or 1)):
                if offset >= self.quota:
                    data, done = cut_marker(self.quota).encode(), True
                # Not put_new: a process may have died after its upload and before its entry in the index.
                store.put(keys.log_chunk(self.attempt_key, number), data)
                number, offset = number + 1, offset + len(data)
                _write_index(index, number, offset, done=done)
        return number


def read_log(store: BlobStore, attempt_key: str, first: int = 0) -> Iterator[bytes]:
    """Yield the chunks of an attempt's log in order, as far as they are there.

    Args:
        store: The blob store.
        attempt_key: `AttemptId.key`.
        first: Number of the first chunk to read, to go on where an earlier call ended. Chunks may end in the middle
            of a line.
    """
    number = first
    while (data := store.get(keys.log_chunk(attempt_key, number))) is not None:
        yield data
        number += 1


def cut_marker(quota: int) -> str:
    """Return the last words of a log that is longer than what is kept of it."""
    return f"\n[flyte-temporal: the log is cut here, after {quota // (1024 * 1024)} MiB]\n"


def _read_index(index: int) -> tuple[int, int, bool]:
    words = os.pread(index, 100, 0).decode().split()
    return (int(words[0]), int(words[1]), words[2] == _DONE) if len(words) == 3 else (0, 0, False)


def _write_index(index: int, number: int, offset: int, *, done: bool) -> None:
    # Always the same length, so that one write replaces the entry as a whole.
    os.pwrite(index, f"{number:012d} {offset:015d} {_DONE if done else 'open'}\n".encode(), 0)
