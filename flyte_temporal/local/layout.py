"""Where the files of one home are. Standard library only: it is read before anything else is imported."""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.storage.markers import keep_out_of_code

_SOCKET_BYTES = 100
"""Unix sockets take paths of 104 (macOS) to 108 bytes (Linux), with the zero at the end."""


@dataclass(frozen=True)
class Layout:
    """Paths below one home.

    Args:
        home: The home, resolved.
    """

    home: Path

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor for its whole life."""
        return self.home / "stack.lock"

    @property
    def state(self) -> Path:
        """What is known about the running stack, and the ports to use again."""
        return self.home / "stack.json"

    @property
    def logs(self) -> Path:
        """Logs of supervisor, worker and Temporal."""
        return self.home / "logs"

    @property
    def temporal_db(self) -> Path:
        """Database of the Temporal server."""
        return self.home / "temporal.db"

    @property
    def metadata_db(self) -> Path:
        """Our own database."""
        return self.home / "metadata.db"

    @property
    def storage(self) -> Path:
        """The blob store."""
        return self.home / "storage"

    @property
    def attempts(self) -> Path:
        """Working folders of attempts."""
        return self.home / "attempts"

    @property
    def cache(self) -> Path:
        """Unpacked bundles."""
        return self.home / "cache"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the home, for its owner alone.

        Raises:
            PlatformUnavailable: If it cannot be made or written.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.home.chmod(0o700)
            # A home may lie among its user's code. If it is that folder itself, only our part of it is marked.
            if not any(self.home.iterdir()):
                keep_out_of_code(self.home)
            for folder in (self.logs, self.attempts, self.cache, self.storage):
                folder.mkdir(mode=0o700, exist_ok=True)
                keep_out_of_code(folder)
            with tempfile.TemporaryFile(dir=self.home) as probe:
                probe.write(b"\0" * 4096)
                probe.flush()
        except OSError as error:
            raise PlatformUnavailable(
                f"The home {self.home} cannot be used: {error.strerror or error}. Make it writable (and the disk not "
                "full), or set FLYTE_TEMPORAL_HOME to another folder."
            ) from error

    def socket(self) -> Path:
        """Return a path for the API's socket; in a private folder elsewhere if the home's name is too long."""
        natural = self.home / "api.sock"
        if len(os.fsencode(natural)) <= _SOCKET_BYTES:
            return natural
        return Path(tempfile.mkdtemp(prefix="flyte-temporal-")) / "api.sock"

    def try_lock(self) -> int | None:
        """Take the lock of the home; return its descriptor, or None if another supervisor has it."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor
