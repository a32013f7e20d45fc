"""`Window`: how much one activation may do. Called by `run`, whose loop it bounds by counts, never by time."""

from __future__ import annotations

from temporalio import workflow

from flyte_temporal.workflows.tree import Tree

OPENED = 2_000
"""Nodes made in one activation at most; some 20 µs each."""


class Window:
    """Counts commands and new nodes per activation; activations are told apart by the length of the history.

    Args:
        size: Commands of an activation at most.
        tree: Counts the nodes.
    """

    def __init__(self, size: int, tree: Tree) -> None:
        self._size = size
        self._tree = tree
        self._left = size
        self._made = 0
        self._seen = -1

    def left(self) -> bool:
        """Return whether this activation may do more."""
        length = workflow.info().get_current_history_length()
        if length != self._seen:
            self._seen = length
            self._left = self._size
            self._made = self._tree.made
        return self._left > 0 and self._tree.made - self._made < OPENED

    def take(self, commands: int = 1) -> None:
        """Count a command, or one that costs as much as several."""
        self._left -= commands
