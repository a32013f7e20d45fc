"""Nodes as a tree: what stands below what, and which rows to show when there are more than fit a screen. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flyte_temporal.control.nesting import nested
from flyte_temporal.spec.execution import NodePhase, NodeRecord


@dataclass(frozen=True)
class Row:
    """A node and how far it is indented."""

    depth: int
    node: NodeRecord


def rows(nodes: Sequence[NodeRecord]) -> list[Row]:
    """Return nodes with each below the node that holds it, siblings in their order.

    A node whose parent has no record (it is on its way) stands below the nearest ancestor that has one.
    """
    in_order = sorted(nodes, key=lambda each: each.order)
    return [Row(depth, node) for depth, node in nested(in_order)]


def shown(all_rows: Sequence[Row], height: int) -> tuple[list[Row], Counter[NodePhase]]:
    """Choose the rows that fit, and count those left out by phase.

    What is at work or failed is shown before what is done, and that before what waits.

    Args:
        all_rows: The rows in order.
        height: Number of lines at hand.
    """
    if len(all_rows) <= height:
        return list(all_rows), Counter()
    ranked = sorted(range(len(all_rows)), key=lambda i: (_rank(all_rows[i].node.phase), i))
    kept = set(ranked[: max(height - 1, 1)])
    return (
        [row for i, row in enumerate(all_rows) if i in kept],
        Counter(row.node.phase for i, row in enumerate(all_rows) if i not in kept),
    )


def _rank(phase: NodePhase) -> int:
    if phase in {NodePhase.FAILED, NodePhase.ABORTED}:
        return 0
    if phase in {NodePhase.RUNNING, NodePhase.PAUSED}:
        return 1
    return 3 if phase is NodePhase.QUEUED else 2
