"""What the commands need of an execution: the part of `client.Execution` that they use.

A protocol, so that watching and printing are tested without a stack, and importing them costs no client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord


class Update(Protocol):
    """State of an execution and of its nodes at one moment."""

    @property
    def execution(self) -> ExecutionRecord:
        """Return the execution."""

    @property
    def nodes(self) -> list[NodeRecord]:
        """Return its nodes."""


class Handle(Protocol):
    """An execution."""

    @property
    def id(self) -> str:
        """Return its id."""

    @property
    def ui_url(self) -> str:
        """Return where the Temporal UI shows it."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Return its outputs as plain JSON data."""

    def record(self) -> ExecutionRecord:
        """Return its state."""

    def wait(self, timeout_s: float | None = None) -> ExecutionRecord:
        """Return its final state."""

    def watch(self) -> Iterator[Update]:
        """Yield its state whenever it changed, until it is over."""

    def abort(self, reason: str = "") -> object:
        """Ask it to stop."""
