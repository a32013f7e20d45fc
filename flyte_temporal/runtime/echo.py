"""What a task prints, on the standard output of its container as well: for `kubectl logs`, and for the last words of a pod.

The log file stays the one that is stored. The supervisor calls it where `storage.orders.ECHO` is set; apart from its log shipping because
that waits for a store, and this must not.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from flyte_temporal.storage.logs import QUOTA_BYTES

_EVERY_S = 0.25
_CHUNK = 64 * 1024


class Echo:
    """Copies a file that grows to a descriptor, in a thread.

    Args:
        path: The file; it need not be there yet.
        target: Descriptor to write to.
    """

    def __init__(self, path: Path, target: int = 1) -> None:
        self._path = path
        self._target = target
        self._offset = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def end(self) -> None:
        """Copy the rest and stop."""
        self._over.set()
        # Whoever should read may have stopped to: a result must not wait for that.
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while not self._over.wait(_EVERY_S):
                self._copy()
            self._copy()
        except OSError:
            # Nobody reads, or the file is gone: the stored log is what counts.
            return

    def _copy(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while self._offset < QUOTA_BYTES and (data := file.read(_CHUNK)):
                written = os.write(self._target, data)
                self._offset += written
                file.seek(self._offset)
