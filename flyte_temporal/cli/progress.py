"""How progress is shown: one line per change where nobody looks, a live tree on a terminal (`tree`)."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from flyte_temporal.cli.handle import Update
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.cli.results import duration, taken_from
from flyte_temporal.spec.clusters import UNSERVED
from flyte_temporal.spec.execution import NodePhase, NodeRecord


class Progress(Protocol):
    """Shows updates as they come; a context manager, because a live display must be taken down."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state visible."""

    def show(self, update: Update) -> None:
        """Show a newer state."""

    def say(self, text: str) -> None:
        """Print a line of its own, that stays."""


class Lines:
    """One line on stderr for each node that changed its phase or attempt. For pipes, logs and JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._seen: dict[str, tuple[NodePhase, int, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, update: Update) -> None:
        """Print the nodes that changed."""
        for node in update.nodes:
            # Gates say how they are answered; why a task waits changes too often to be a line each time.
            now = (node.phase, node.attempts, node.reason if _is_told(node) else "")
            untold = node.phase is NodePhase.QUEUED and not node.reason.startswith(UNSERVED)
            if untold or self._seen.get(node.id) == now:
                continue
            self._seen[node.id] = now
            self._output.note("  " + line(node))

    def say(self, text: str) -> None:
        """Print a line."""
        self._output.note(text)


def _is_told(node: NodeRecord) -> bool:
    """Return whether somebody has to do something about what a node waits for."""
    return node.kind == "gate" or node.reason.startswith(UNSERVED)


def line(node: NodeRecord) -> str:
    """Return a node's state as one line."""
    parts = [f"{node.name} ({node.id})", node.phase.value]
    if took := duration(node.started_at, node.finished_at):
        parts.append(took)
    if node.attempts > 1:
        parts.append(f"attempt {node.attempts}")
    if node.cache.value == "HIT":
        parts.append("cache hit")
    if taken := taken_from(node):
        parts.append(taken)
    if node.reason and _is_told(node):
        parts.append(node.reason)
    if node.error is not None:
        parts.append(visible(node.error.message).split("\n")[0] or node.error.code)
    return "  ".join(parts)


def progress(output: Output) -> Progress:
    """Return the display that fits the stream."""
    if output.live and not output.json:
        from flyte_temporal.cli.tree import LiveTree

        return LiveTree(output)
    return Lines(output)
