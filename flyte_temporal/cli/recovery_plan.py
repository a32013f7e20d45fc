"""What recovering an execution will copy and run, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flyte_temporal.control.documents import Fate, PlannedNode, RecoveryPlan
from flyte_temporal.control.nesting import parent

ROWS = 60
"""Most lines; what is copied is left out before what is not."""

_SIGN = {Fate.COPIED: "✓", Fate.RUNS: "▶", Fate.OPEN: "?"}


def plan_document(plan: RecoveryPlan) -> dict[str, Any]:
    """Return a plan as plain data."""
    return {
        "recovers": plan.source,
        "copied": sum(node.fate is Fate.COPIED for node in plan.nodes),
        "runs": sum(node.fate is Fate.RUNS for node in plan.nodes),
        "open": sum(node.fate is Fate.OPEN for node in plan.nodes),
        "nodes": [
            {
                "id": node.id,
                "name": node.name,
                "kind": node.kind,
                "fate": node.fate.value,
                "reason": node.reason or None,
                "source": None
                if node.source is None
                else {"execution": node.source.execution, "node": node.source.node},
            }
            for node in plan.nodes
        ],
        "notes": list(plan.notes),
    }


def plan_lines(plan: RecoveryPlan) -> list[str]:
    """Return a plan as lines for a person: the counts, then the nodes, copied items of maps in one line with their map."""
    counts = Counter(node.fate for node in plan.nodes)
    copied, runs, open_ = (counts[fate] for fate in (Fate.COPIED, Fate.RUNS, Fate.OPEN))
    decided = f", {open_} decided on the way" if open_ else ""
    lines = [f"Recovers {plan.source}: {copied} of {len(plan.nodes)} nodes copied, {runs} run{decided}."]
    shown, left_out = _shown(plan.nodes)
    widths = [max((len(part(node)) for node in shown), default=0) for part in (_place, _name)]
    items = Counter(parent(node.id) for node in plan.nodes if _is_copied_item(node))
    lines += [_line(node, widths, plan.source, items[node.id]) for node in shown]
    if left_out:
        lines.append(f"  … and {', '.join(f'{n} {fate.value}' for fate, n in sorted(left_out.items()))}")
    return [*lines, *plan.notes]


def _shown(nodes: Sequence[PlannedNode]) -> tuple[list[PlannedNode], Counter[Fate]]:
    """Choose the lines that are shown, and count what is left out."""
    kept = nodes = [node for node in nodes if not _is_copied_item(node)]
    if len(kept) > ROWS:
        told = [node for node in kept if node.fate is not Fate.COPIED][:ROWS]
        chosen = {node.id for node in told}
        kept = [node for node in kept if node.id in chosen]
    return kept, Counter(node.fate for node in nodes) - Counter(node.fate for node in kept)


def _is_copied_item(node: PlannedNode) -> bool:
    return node.id.endswith("]") and node.fate is Fate.COPIED


def _line(node: PlannedNode, widths: Sequence[int], source: str, items: int) -> str:
    said = _said(node, source) + (f" ({items:,} items copied)" if items else "")
    return f"  {_SIGN[node.fate]} {_place(node):<{widths[0]}}  {_name(node):<{widths[1]}}  {said}".rstrip()


def _said(node: PlannedNode, source: str) -> str:
    if node.fate is Fate.COPIED:
        where = node.source
        if where is None or (where.execution, where.node) == (source, node.id):
            return "copied"
        return f"copied from {where.execution} {where.node}"
    if node.fate is Fate.RUNS:
        return f"runs: {node.reason}"
    return f"open: {node.reason}; copied if that is as before"


def _place(node: PlannedNode) -> str:
    depth = 0
    above = parent(node.id)
    while above:
        depth, above = depth + 1, parent(above)
    return "  " * depth + node.id


def _name(node: PlannedNode) -> str:
    return node.name
