"""The log of an attempt that is read as a stream by workers, in the same chunks as any other log.

Apart from `logs`, whose writers share a file and a lock: here two workers that know nothing of each other may write the same
log, one of which the other has replaced. Whoever creates a chunk first has written it, and the other goes on behind it; so
nothing is there twice, and nothing is missing.
"""

from __future__ import annotations

import threading

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore, Put
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import Stored, canonical_bytes
from flyte_temporal.storage.logs import CHUNK_BYTES, QUOTA_BYTES, cut_marker


class LogPlace(Stored):
    """How far a log has been stored. What is written of it is true for ever: that so many chunks end there.

    Args:
        chunks: Number of chunks.
        size: Bytes in them.
        nanos: Time of the last line in them, in nanoseconds; 0 = nothing yet.
        taken: Bytes of the lines of that very time which are in them.
        over: Whether nothing comes after them.
    """

    chunks: int = 0
    size: int = 0
    nanos: int = 0
    taken: int = 0
    over: bool = False


class StreamedLog:
    """A log on its way into the blob store. `add` is for the event loop, all else for threads.

    Args:
        store: The blob store.
        attempt_key: The attempt's folder there.
        quota: Bytes that are kept.
    """

    def __init__(self, store: BlobStore, attempt_key: str, quota: int = QUOTA_BYTES) -> None:
        self._store = store
        self._key = attempt_key
        self._quota = quota
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._ahead = 0
        """Bytes that others have stored beyond what was given here."""
        self._noted = LogPlace()
        self._open_line = False
        self.chunks = 0
        self.size = 0
        self.over = False

    @property
    def pending(self) -> int:
        """Bytes that wait to be stored."""
        return len(self._pending)

    def resume(self) -> LogPlace:
        """Find out how far the log is stored; return from where on it is to be given.

        Raises:
            StorageError: If the store did not answer.
        """
        written = self._store.get(keys.log_place(self._key))
        place = LogPlace.read(written) if written is not None else LogPlace()
        number, ahead = place.chunks, 0
        # A worker may have died between a chunk and its note, or be at it now.
        while (info := self._store.head(keys.log_chunk(self._key, number))) is not None:
            number, ahead = number + 1, ahead + info.size
        self._noted, self._ahead = place, ahead
        self.chunks, self.size = number, place.size + ahead
        self.over = place.over or self.size > self._quota
        return place

    def add(self, data: bytes) -> None:
        """Take in what comes next."""
        self._pending += data

    def flush(self, nanos: int, taken: int) -> None:
        """Store what waits, and note how far that is; see `LogPlace`. Called again after an error, it goes on.

        Raises:
            StorageError: If the store refused or did not answer.
        """
        with self._lock:
            self._store_pending()
            if not self._ahead and not self.over:
                self._note(nanos, taken)

    def end(self, words: str) -> None:
        """Store a last line that says why the log ends here, unless it has ended.

        Raises:
            StorageError: If the store refused or did not answer.
        """
        with self._lock:
            if self.over:
                return
            self._store_pending()
            self._finish(f"[flyte-temporal: {words}]\n")

    def _store_pending(self) -> None:
        while self._pending and not self.over:
            if self._ahead:
                passed = min(self._ahead, len(self._pending))
                del self._pending[:passed]
                self._ahead -= passed
                continue
            room = self._quota - self.size
            if room <= 0:
                self._finish(cut_marker(self._quota).removeprefix("\n"))
                return
            piece = bytes(self._pending[: min(CHUNK_BYTES, room)])
            self._open_line = not piece.endswith(b"\n")
            self._ahead += self._put(piece)
        if self.over:
            self._pending.clear()

    def _put(self, piece: bytes) -> int:
        """Store the next chunk, unless there is one already; return its size."""
        key, size = keys.log_chunk(self._key, self.chunks), len(piece)
        if self._store.put_new(key, piece) is Put.CONFLICT:
            info = self._store.head(key)
            if info is None:
                raise StorageError(f"{key} is there, and the store does not show it yet.")
            size = info.size
        self.chunks, self.size = self.chunks + 1, self.size + size
        return size

    def _finish(self, marker: str) -> None:
        self._put((("\n" if self._open_line else "") + marker).encode())
        self.over = True
        self._pending.clear()
        self._note(self._noted.nanos, self._noted.taken)

    def _note(self, nanos: int, taken: int) -> None:
        place = LogPlace(chunks=self.chunks, size=self.size, nanos=nanos, taken=taken, over=self.over)
        if place != self._noted:
            self._store.put(keys.log_place(self._key), canonical_bytes(place))
            self._noted = place
