"""The connection of a zygote or a stem to its launcher: lines of JSON, some with a descriptor."""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from typing import Any


class Wire:
    """Our end of the connection; for a process with a single thread.

    Args:
        descriptor: Of the connected socket. No program that this process starts gets it.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional by signature
        self._socket: socket.socket | None = socket.socket(fileno=descriptor)
        self._unfinished = b""
        self._descriptors: deque[int] = deque()

    @property
    def open(self) -> bool:
        """Return whether the launcher is there, as far as is known."""
        return self._socket is not None

    def fileno(self) -> int:
        """Return what `select` waits for; -1 once it is closed."""
        return self._socket.fileno() if self._socket is not None else -1

    def hear(self) -> list[dict[str, Any]]:
        """Return the messages that are there; wait for some. Whether the launcher is gone, `open` tells afterwards."""
        if self._socket is None:
            return []
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 16)
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            self._hang_up()
            return []
        self._descriptors.extend(descriptors)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def take_descriptor(self) -> int:
        """Return the descriptor of the oldest message that came with one and whose has not been taken."""
        return self._descriptors.popleft()

    def say(self, message: dict[str, object]) -> None:
        """Tell the launcher something, if it is still there."""
        if self._socket is not None:
            try:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
            except (BrokenPipeError, ConnectionResetError):
                self._hang_up()

    def forget(self) -> None:
        """Let go of everything, in a process just forked."""
        self._hang_up()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
