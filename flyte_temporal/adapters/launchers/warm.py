"""Warm processes as the pool sees them, and what makes them interchangeable."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from flyte_temporal.adapters.launchers.lines import Lines
from flyte_temporal.adapters.launchers.queueing import Entry
from flyte_temporal.adapters.launchers.settings import interpreter_of
from flyte_temporal.spec.attempt import AttemptOrder


@dataclass(eq=False)
class Warm:
    """One warm process.

    Args:
        number: Its number, unique in this worker.
        channel: Our end of its channel.
        pid: Its process id, once it is forked.
        entry: What it works on.
        stopping: Whether it is being stopped; it gets no further work.
        hung_up: Whether its end of the channel is closed: it has died, or ended.
    """

    number: int
    channel: socket.socket
    pid: int | None = None
    entry: Entry | None = None
    stopping: bool = False
    hung_up: bool = False

    def __post_init__(self) -> None:
        self.lines = Lines(self.channel)
        """What it says."""

    def call_off(self) -> None:
        """Tell it to begin nothing more of its batch; one that has just ended takes no notice."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(b"off\n")


@dataclass(frozen=True)
class ZygoteKey:
    """What processes must have in common to be interchangeable."""

    interpreter: str
    bundle: str
    storage: str
    environment: tuple[tuple[str, str], ...]


def key_of(order: AttemptOrder) -> ZygoteKey:
    """Return the key of the processes that can run an order."""
    environment = order.environment
    return ZygoteKey(
        interpreter=interpreter_of(environment.interpreter),
        bundle=environment.bundle.sha256 if environment.bundle else "",
        storage=order.storage.root,
        environment=tuple(sorted(environment.env.items())),
    )
