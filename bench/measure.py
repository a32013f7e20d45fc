"""CPU time of process trees from /proc, and the table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def _stats() -> dict[int, tuple[int, float]]:
    """Return parent and CPU milliseconds (own and of reaped children) of each process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        found[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) * _TICK_MS)
    return found


def cpu_ms(pid: int) -> float:
    """Return the CPU milliseconds that a process and everything below it have used."""
    stats = _stats()
    children: dict[int, list[int]] = {}
    for child, (parent, _) in stats.items():
        children.setdefault(parent, []).append(child)
    total, todo = 0.0, [pid]
    while todo:
        current = todo.pop()
        total += stats.get(current, (0, 0.0))[1]
        todo += children.get(current, [])
    return total


@dataclass
class Sample:
    """One run of one shape in one series."""

    shape: str
    series: str
    nodes: int
    seconds: float
    server_ms: float
    worker_ms: float
    events: int


def rows(samples: list[Sample]) -> list[dict[str, object]]:
    """Return medians by shape and series, in order of appearance."""
    found = []
    for shape, series in dict.fromkeys((s.shape, s.series) for s in samples):
        own = [s for s in samples if (s.shape, s.series) == (shape, series)]
        found.append(
            {
                "shape": shape,
                "series": series,
                "nodes_per_s": round(median(s.nodes / s.seconds for s in own), 1),
                "server_cpu_ms": round(median(s.server_ms / s.nodes for s in own), 2),
                "worker_cpu_ms": round(median(s.worker_ms / s.nodes for s in own), 2),
                "events_per_node": round(median(s.events / s.nodes for s in own), 2),
            }
        )
    return found


def table(samples: list[Sample], found: list[dict[str, object]]) -> str:
    """Return a Markdown table; ratios are medians of the ratios within one round."""
    lines = [
        "| shape | series | nodes/s | ratio to hand | server ms/node | worker ms/node | events/node |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        hand = [s for s in samples if (s.shape, s.series) == (row["shape"], "hand")]
        own = [s for s in samples if (s.shape, s.series) == (row["shape"], row["series"])]
        ratio = median(h.seconds / h.nodes * o.nodes / o.seconds for h, o in zip(hand, own, strict=True))
        lines.append(
            f"| {row['shape']} | {row['series']} | {row['nodes_per_s']} | {ratio:.2f} | {row['server_cpu_ms']} "
            f"| {row['worker_cpu_ms']} | {row['events_per_node']} |"
        )
    return "\n".join(lines)
