"""Lines of JSON that a process of ours says over a socket, as the event loop finds them; the other side is `runtime.wire`."""

from __future__ import annotations

import json
import socket
from typing import Any


class Lines:
    """What is heard over one connection.

    Args:
        connection: The connection; once it is non-blocking, nothing here waits.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unfinished = b""

    def take(self) -> list[dict[str, Any]] | None:
        """Return the messages that are there, perhaps none; None if the other end is gone and all has been taken."""
        try:
            data = self._connection.recv(65536)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        return [json.loads(line) for line in lines]
