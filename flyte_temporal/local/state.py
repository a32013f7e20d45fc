"""`stack.json`: what the supervisor tells others, and its successor, about itself. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from flyte_temporal.local.processes import Identity


@dataclass(frozen=True)
class StackState:
    """A stack that runs, or what is left to remember of one that ran.

    Args:
        protocol: Version of the socket's protocol.
        version: Version of this library.
        python: Interpreter that runs it; tells the virtual environment.
        supervisor: The process, None when it has ended.
        children: Temporal server and worker.
        temporal_port: Port of the Temporal server, kept from start to start.
        ui_port: Port of the Temporal UI, likewise.
        socket: Path of the API's socket.
    """

    protocol: int = 0
    version: str = ""
    python: str = ""
    supervisor: Identity | None = None
    children: dict[str, Identity] = field(default_factory=dict)
    temporal_port: int = 0
    ui_port: int = 0
    socket: str = ""

    @property
    def running(self) -> bool:
        """Return whether its supervisor is alive."""
        return self.supervisor is not None and self.supervisor.alive

    def stopped(self) -> StackState:
        """Return what is to be remembered after the end: the ports."""
        return replace(self, supervisor=None, children={}, socket="")


def read_state(path: Path) -> StackState:
    """Return what the file says; the empty state if there is none, or none that can be read."""
    try:
        written = json.loads(path.read_bytes())
        supervisor = written.pop("supervisor")
        children = {name: Identity(**child) for name, child in written.pop("children").items()}
        return StackState(
            **written, supervisor=Identity(**supervisor) if supervisor else None, children=children
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        # Written by another release, or cut by a power failure: nothing in it is worth refusing to start.
        return StackState()


def write_state(path: Path, state: StackState) -> None:
    """Replace the file as a whole."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(state)))
    new.replace(path)
