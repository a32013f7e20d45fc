"""`Patience`: what an attempt reads and stores is tried for longer than anything else.

An outage of the blob store must not cost a computation (reliability.md §2.3, row 11): while an attempt runs, and anew between
the end of the user's function and the manifest, `remote` tries again for minutes. Everything else gives up soon.
One process runs one attempt at a time, and uploads from several threads, so what holds is kept here, for the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Patience:
    """Whether an attempt has computed, and how long the store has been out since.

    Args:
        outage_s: How long an outage is waited out, in seconds.
        stopped: Whether the attempt is to stop: then it waits for nothing any more.
    """

    def __init__(self, outage_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        self._outage_s = outage_s
        self._stopped = stopped
        self._failing_since: float | None = None

    def begin(self) -> None:
        """Be patient from now on; again when the computation is over, which then has all of the time for its own.

        It ends with the block whose context manager this is.
        """
        global _held
        _held, self._failing_since = self, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _held  # noqa: PLW0603 - see the top of the module
        _held = None

    def lasts(self) -> bool:
        """Note that a call has failed; return whether it is worth another try."""
        now = time.monotonic()
        since = self._failing_since
        if since is None:
            since = self._failing_since = now
        return now - since < self._outage_s and not self._stopped()

    def wrote(self) -> None:
        """Note that something was stored: the outage is over. That something can be read does not say so."""
        self._failing_since = None


_held: Patience | None = None


def lasts() -> bool:
    """Note a call of the store that has failed; return whether it is to be tried again, however often it was."""
    return _held is not None and _held.lasts()


def wrote() -> None:
    """Note that something was stored."""
    if _held is not None:
        _held.wrote()
