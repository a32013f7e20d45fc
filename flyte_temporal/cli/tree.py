"""The live tree on a terminal. The only module that imports rich (0.2 s), so it is imported last and only there."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flyte_temporal.cli.handle import Update
from flyte_temporal.cli.nesting import Row, rows, shown
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.cli.results import duration, items_text, taken_from
from flyte_temporal.spec.execution import NodePhase

_LOOK: dict[NodePhase, tuple[str, str]] = {
    NodePhase.QUEUED: ("·", "dim"),
    NodePhase.RUNNING: ("●", "cyan"),
    NodePhase.PAUSED: ("‖", "yellow"),
    NodePhase.SUCCEEDED: ("✓", "green"),
    NodePhase.RECOVERED: ("✓", "green"),
    NodePhase.SKIPPED: ("-", "dim"),
    NodePhase.FAILED: ("✗", "bold red"),
    NodePhase.ABORTED: ("✗", "yellow"),
}
_FRAME_LINES = 3
"""Lines of the terminal that the tree leaves free: the heading, and the prompt below."""


class LiveTree:
    """Draws the nodes in place: name, state, duration, attempt; nested as they are in the workflow.

    Args:
        output: Where to; stderr is drawn on.
        console: rich's console, if it is not to be made from the stream.
    """

    def __init__(self, output: Output, console: Console | None = None) -> None:
        self._console = console or Console(file=output.stderr, highlight=False)
        self._update: Update | None = None
        self._live = Live(
            get_renderable=self.render, console=self._console, refresh_per_second=8, redirect_stdout=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, update: Update) -> None:
        """Draw a newer state; durations go on counting between updates."""
        self._update = update
        self._live.refresh()

    def say(self, text: str) -> None:
        """Print a line above the tree."""
        self._console.print(Text(text))

    def render(self) -> Table:
        """Return the tree as it is now."""
        table = Table.grid(padding=(0, 2))
        if self._update is None:
            return table
        chosen, left_out = shown(rows(self._update.nodes), self._console.height - _FRAME_LINES)
        now = datetime.now(UTC)
        for row in chosen:
            table.add_row(*_cells(row, now))
        if left_out:
            counts = ", ".join(f"{count} {phase.value}" for phase, count in sorted(left_out.items()))
            table.add_row(Text(f"… and {counts}", style="dim"))
        return table


def _cells(row: Row, now: datetime) -> tuple[Text, Text, Text, Text]:
    node = row.node
    symbol, style = _LOOK[node.phase]
    name = Text("  " * row.depth)
    name.append(f"{symbol} ", style=style)
    name.append(node.name)
    name.append(f"  {node.id}", style="dim")
    state = "CACHED" if node.cache.value == "HIT" else node.phase.value
    took = duration(node.started_at, node.finished_at or (None if node.phase.terminal else now))
    if node.error is not None:
        note = Text(visible(node.error.message).split("\n")[0], style="red")
    elif taken := taken_from(node):
        note = Text(taken, style="dim")
    elif node.attempts > 1:
        note = Text(f"attempt {node.attempts}", style="yellow")
    else:
        note = Text(items_text(node) or visible(node.reason), style="dim")
    return name, Text(state, style=style), Text(took, justify="right"), note
