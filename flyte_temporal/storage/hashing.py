"""`Digest`: SHA-256 in a thread of its own, beside the reading or writing of the same bytes.

Used by everything that copies or streams a file. Apart from it because hashing is the slowest part of a copy on local
storage (1 GiB/s on one core, where the copy itself takes a third of that): side by side, a copy takes as long as its
hash, not the sum of both.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable

_ASIDE = 256 * 1024
_WAITING = 4


class Digest:
    """The SHA-256 of bytes that are given in pieces, in order.

    Memory stays bounded: at most four pieces wait. Pieces below 256 KiB are hashed at once, since handing them over costs
    more; a file of small pieces never starts a thread. Not safe to be fed from several threads.
    """

    def __init__(self) -> None:
        self.size = 0
        self._found = hashlib.sha256()
        self._pieces: queue.Queue[bytes | Callable[[], bytes] | None] | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def update(self, data: bytes) -> None:
        """Add bytes, which must not change any more."""
        self.size += len(data)
        if self._pieces is None and len(data) < _ASIDE:
            self._found.update(data)
        else:
            self._hand_over(data)

    def update_later(self, size: int, read: Callable[[], bytes]) -> None:
        """Add `size` bytes that `read` returns; it is called in the thread."""
        self.size += size
        self._hand_over(read)

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, and end the thread; more bytes may follow.

        Raises:
            OSError: What a `read` of `update_later` raised.
        """
        self.close()
        if self._error is not None:
            raise self._error
        return self._found.hexdigest()

    def close(self) -> None:
        """End the thread; nothing happens if there is none."""
        if self._thread is not None and self._pieces is not None:
            self._pieces.put(None)
            self._thread.join()
        self._thread = self._pieces = None

    def _hand_over(self, piece: bytes | Callable[[], bytes]) -> None:
        if self._pieces is None:
            self._pieces = queue.Queue(_WAITING)
            self._thread = threading.Thread(target=self._work, args=(self._pieces,), daemon=True)
            self._thread.start()
        self._pieces.put(piece)

    def _work(self, pieces: queue.Queue[bytes | Callable[[], bytes] | None]) -> None:
        while (piece := pieces.get()) is not None:
            if self._error is not None:
                continue  # whoever waits to hand over the next piece must not wait for ever
            try:
                self._found.update(piece if isinstance(piece, bytes) else piece())
            except BaseException as error:  # noqa: BLE001 - raised where the digest is asked for
                self._error = error
