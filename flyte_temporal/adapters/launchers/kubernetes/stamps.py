"""`Lines`: the log of a container as the cluster sends it, each line with its time, and the log as it was written. Pure.

The times are how one goes on where one was after a connection was cut, or a worker replaced: bytes cannot be counted from the
beginning, because the kubelet gives the newest file only, and begins another one after 10 MiB.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
_LONG = 4096
"""What is known of a line that is not over is passed on from this length on."""
_SECOND = 10**9


class _Fate(Enum):
    """What becomes of a line: it was passed on earlier; it is among the newest ones; another one's time is newer."""

    OLD = 1
    NEW = 2
    LATE = 3


class Lines:
    """Takes the times off, and leaves out what was passed on before.

    Args:
        nanos: Time of the last line that was passed on; 0 = none was.
        taken: Bytes passed on of the lines of that very time.
    """

    def __init__(self, nanos: int = 0, taken: int = 0) -> None:
        self.nanos = nanos
        self.taken = taken
        self._skip = taken
        self._sifting = nanos > 0
        self._rest = b""
        self._inside = False
        self._fate = _Fate.NEW
        self._known: tuple[bytes, bytes, int] = b"", b"", 0

    @property
    def since(self) -> str:
        """From when on the cluster is to be asked; empty = from the beginning. It knows whole seconds only."""
        if not self.nanos:
            return ""
        return datetime.fromtimestamp(self.nanos // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def feed(self, data: bytes) -> bytes:
        """Return what is new in a piece of the stream."""
        *whole, rest = (self._rest + data).split(b"\n")
        found = [self._line(line + b"\n", over=True) for line in whole]
        self._rest = b""
        if len(rest) > _LONG:
            found.append(self._line(rest, over=False))
        else:
            self._rest = rest
        return b"".join(found)

    def end(self) -> bytes:
        """Return what was held back at the end of the stream: a last line without an end."""
        rest, self._rest = self._rest, b""
        return self._line(rest, over=False) if rest else b""

    def _line(self, text: bytes, *, over: bool) -> bytes:
        if not self._inside:
            text = self._begin(text)
        self._inside = not over
        if self._fate is _Fate.OLD:
            return b""
        if self._fate is _Fate.NEW:
            if self._skip:
                passed = min(self._skip, len(text))
                self._skip -= passed
                text = text[passed:]
            self.taken += len(text)
        return text

    def _begin(self, line: bytes) -> bytes:
        """Decide on a line; return it without its time."""
        found = _STAMP.match(line)
        nanos = self._nanos(found) if found else None
        if found is None or nanos is None:
            # The end of a long line that began before `since`, or words of the kubelet's own, which are no line of the log.
            self._fate = _Fate.OLD if self._sifting else _Fate.LATE
            return line
        if nanos > self.nanos:
            self.nanos, self.taken, self._skip, self._sifting = nanos, 0, 0, False
            self._fate = _Fate.NEW
        elif nanos == self.nanos:
            self._fate = _Fate.NEW
        else:
            # Two streams of one container may overtake each other by a moment.
            self._fate = _Fate.OLD if self._sifting else _Fate.LATE
        return line[found.end() :]

    def _nanos(self, found: re.Match[bytes]) -> int | None:
        second, fraction, zone = found.groups()
        if self._known[:2] != (second, zone):
            try:
                moment = datetime.fromisoformat((second + zone).decode())
            except ValueError:
                return None
            self._known = second, zone, round(moment.timestamp()) * _SECOND
        return self._known[2] + int((fraction or b"").ljust(9, b"0"))
