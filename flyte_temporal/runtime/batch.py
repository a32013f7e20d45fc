"""What follows an attempt in the same process: read from the file that came with it, claimed one by one.

The other side is `adapters.launchers.batches`. The file has a word for the whole in its first line, then a line for each
attempt: its name, where in its order the task stands, and the order.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.resolving import Former

_OFF = b"off"


@dataclass(frozen=True)
class Claimed:
    """An attempt that is this process's to run.

    Args:
        name: Name of its files.
        task: Where in its order the task stands.
        journal: Descriptor of its journal, with the lock.
        order: What it is to do, if that was read already.
    """

    name: str
    task: slice
    journal: int
    order: AttemptOrder | None = None


@dataclass
class Following:
    """What follows; false if nothing does.

    Args:
        lines: A line for each attempt.
        go_on: Whether they run although one before them has failed.
        former: What the attempts before gave.
    """

    lines: deque[bytes] = field(default_factory=deque)
    go_on: bool = False
    former: Former = field(default_factory=Former)

    @classmethod
    def read(cls, descriptors: Sequence[int]) -> Following:
        """Read the file, if one came, and close it."""
        if not descriptors:
            return cls()
        with os.fdopen(descriptors[0], "rb") as file:
            file.seek(0)
            word, *lines = file.read().rstrip(b"\n").split(b"\n")
        return cls(deque(lines), word == b"go on")

    def __bool__(self) -> bool:
        return bool(self.lines)

    def continues(self, *, failed: bool) -> bool:
        """Return whether something is still to run, after an attempt that failed or did not."""
        return bool(self.lines) and (self.go_on or not failed)

    def next(self) -> tuple[str, slice, bytes]:
        """Return name, place of the task, and order of the next attempt."""
        name, start, stop, order = self.lines.popleft().split(b" ", 3)
        return name.decode(), slice(int(start), int(stop)), order

    def lacks(self, order: AttemptOrder) -> bool:
        """Return whether an attempt needs outputs that this process has not got: somebody else ran what gives them."""
        return not self.former.has(order.bindings)


def called_off(channel: socket.socket) -> bool:
    """Return whether nothing further of a batch is to begin; looks at the channel without waiting."""
    try:
        data = channel.recv(64, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    # While it works on a batch, nothing else is sent to a process; and nothing is read from a launcher that is gone.
    return not data or _OFF in data


def latest(data: bytes) -> str | None:
    """Return the line that gives work; None if there is only a word that came too late for a batch that was over."""
    lines = [line for line in data.split(b"\n") if line and line != _OFF]
    return lines[-1].decode() if lines else None
