"""The Markdown that the Temporal UI shows as a run's current details: its nodes, bounded in size. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain, islice

from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.snapshot import NodeLine
from flyte_temporal.workflows.scope import NodeState

ROWS = 40
"""Most rows shown; a table of every node of a large DAG would be rebuilt and sent for each activation."""

_SIGN = {
    NodePhase.QUEUED: "⏳",
    NodePhase.RUNNING: "▶️",
    NodePhase.PAUSED: "⏸️",
    NodePhase.SUCCEEDED: "✅",
    NodePhase.RECOVERED: "✅",
    NodePhase.FAILED: "❌",
    NodePhase.ABORTED: "⛔",
    NodePhase.SKIPPED: "⏭️",
}
_URGENCY = (NodePhase.FAILED, NodePhase.RUNNING, NodePhase.ABORTED, NodePhase.PAUSED)


class Board:
    """Counts and the few rows worth showing, kept up to date by phase changes, so that drawing costs O(ROWS)."""

    def __init__(self) -> None:
        self.namespace = "default"
        """Temporal's namespace, for links."""
        self._all: list[NodeState] = []
        self._by_phase: dict[NodePhase, dict[str, NodeState]] = {phase: {} for phase in NodePhase}
        self._over: Counter[NodePhase] = Counter()
        """Nodes that were over before this run."""
        self._lines: tuple[NodeLine, ...] = ()
        """Rows of some of them."""

    def take_over(self, over: Mapping[NodePhase, int], lines: tuple[NodeLine, ...]) -> None:
        """Count and show what was over before this run."""
        self._over, self._lines = Counter(over), lines

    def over(self) -> dict[NodePhase, int]:
        """Return the number of nodes that are over, by phase."""
        now = {phase: len(found) for phase, found in self._by_phase.items() if phase.terminal and found}
        return dict(self._over + Counter(now))

    def lines(self) -> tuple[NodeLine, ...]:
        """Return the rows of those that are over, as many as are shown at all, what went wrong first."""
        ended = (p for p in sorted(NodePhase, key=_urgency) if p.terminal)
        states = chain.from_iterable(self._by_phase[phase].values() for phase in ended)
        new = [
            NodeLine(place=_place(s), phase=s.phase, text=_row(s, self.namespace))
            for s in islice(states, ROWS)
        ]
        found = sorted([*self._lines, *new], key=lambda line: _urgency(line.phase))
        return tuple(found[:ROWS])

    def add(self, state: NodeState) -> None:
        """Put a node on the board."""
        self._all.append(state)
        self._by_phase[state.phase][state.path] = state

    def move(self, state: NodeState, phase: NodePhase) -> None:
        """Give a node another phase."""
        self._by_phase[state.phase].pop(state.path, None)
        state.phase = phase
        self._by_phase[phase][state.path] = state

    def markdown(self) -> str:
        """Return all nodes of a small run; of a large one the failed and the running, then counts."""
        total = len(self._all) + self._over.total()
        shown = self._everything() if total <= ROWS else self._urgent()
        lines = ["| node | name | state | attempt | note |", "|---|---|---|---|---|", *shown]
        if total > ROWS:
            numbers = ((p, len(found) + self._over[p]) for p, found in self._by_phase.items())
            counts = ", ".join(f"{number} {phase}" for phase, number in numbers if number)
            lines += ["", f"{total} nodes: {counts}"]
        return "\n".join(lines)

    def _everything(self) -> list[str]:
        rows = [(_place(state), _row(state, self.namespace)) for state in self._all]
        rows += [(line.place, line.text) for line in self._lines]
        return [row for _, row in sorted(rows)]

    def _urgent(self) -> list[str]:
        found: list[str] = []
        for phase in _URGENCY:
            found += [line.text for line in self._lines if line.phase is phase]
            found += [_row(s, self.namespace) for s in islice(self._by_phase[phase].values(), ROWS)]
        return found[:ROWS]


def _urgency(phase: NodePhase) -> int:
    return _URGENCY.index(phase) if phase in _URGENCY else len(_URGENCY)


def _place(state: NodeState) -> tuple[int, ...]:
    """Return what puts a node right behind the node that holds it."""
    found = [state.order]
    while (holder := state.scope.parent) is not None:
        found.append(holder.order)
        state = holder
    return tuple(reversed(found))


def _row(state: NodeState, namespace: str) -> str:
    note = state.reason if state.phase is NodePhase.RUNNING else ""
    if state.source is not None:
        name = state.source.execution
        how = "copied" if state.phase is NodePhase.RECOVERED else f"{state.cache}"
        note = f"{how} from [{name}](/namespaces/{namespace}/workflows/{name}) {state.source.node}"
    if state.error is not None:
        first = next(iter(state.error.message.splitlines()), "")
        note = f"{state.error.code}: {first[:120]}"
    error = note.replace("|", "\\|")
    return f"| `{state.path}` | {state.name} | {_SIGN[state.phase]} {state.phase} | {state.attempts or ''} | {error} |"
