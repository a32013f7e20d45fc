"""The Markdown that the Temporal UI shows as a run's current details: its nodes, bounded in size. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain, islice

from flyte_temporal.spec.execution import ExecutionPhase, NodePhase
from flyte_temporal.spec.snapshot import NodeLine
from flyte_temporal.workflows.scope import NodeState

ROWS = 40
"""Most rows shown; a table of every node of a large DAG would be rebuilt and sent for each activation."""

FAILURES = 3
"""Most failures told in full, above the table."""

_TRACEBACK = 1500
"""Characters of a traceback that are shown, from its end."""

_SIGN = {
    NodePhase.QUEUED: "…",
    NodePhase.RUNNING: "▶",
    NodePhase.PAUSED: "‖",
    NodePhase.SUCCEEDED: "✔",
    NodePhase.RECOVERED: "✔",
    NodePhase.FAILED: "✘",
    NodePhase.ABORTED: "⊘",
    NodePhase.SKIPPED: "»",
}
"""Signs that every font has; emoji are missing on many a server."""

_URGENCY = (NodePhase.PAUSED, NodePhase.FAILED, NodePhase.RUNNING, NodePhase.ABORTED)


class Board:
    """Counts and the few rows worth showing, kept up to date by phase changes, so that drawing costs O(ROWS)."""

    def __init__(self) -> None:
        self.namespace = "default"
        """Temporal's namespace, for links."""
        self.notice = ""
        """What somebody is to do, above the table."""
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

    @property
    def held(self) -> list[NodeState]:
        """Return the nodes that wait to be repaired, in listing order."""
        return sorted(self._by_phase[NodePhase.PAUSED].values(), key=lambda state: state.order)

    @property
    def holds(self) -> bool:
        """Return whether there are any."""
        return bool(self._by_phase[NodePhase.PAUSED])

    def add(self, state: NodeState) -> None:
        """Put a node on the board."""
        self._all.append(state)
        self._by_phase[state.phase][state.path] = state

    def move(self, state: NodeState, phase: NodePhase) -> None:
        """Give a node another phase."""
        self._by_phase[state.phase].pop(state.path, None)
        state.phase = phase
        self._by_phase[phase][state.path] = state

    def markdown(self, end: str = "") -> str:
        """Return what became of the run, its failures, and its nodes: all of a small run, else the urgent ones.

        Args:
            end: How the run has ended, in words; empty while it goes on.
        """
        shown = self._everything() if self._total <= ROWS else self._urgent()
        lines = [f"**{end or 'RUNNING'}** · {self._counts()}", ""]
        if self.notice and not end:
            lines += [self.notice, ""]
        for state in islice(self._by_phase[NodePhase.FAILED].values(), FAILURES):
            lines += _failure(state)
        lines += ["| node | name | state | attempt | note |", "|---|---|---|---|---|", *shown]
        return "\n".join(lines)

    @property
    def _total(self) -> int:
        return len(self._all) + self._over.total()

    def _counts(self) -> str:
        numbers = ((phase, len(found) + self._over[phase]) for phase, found in self._by_phase.items())
        counts = (f"{number} {phase}" for phase, number in numbers if number)
        return f"{self._total} nodes: {', '.join(counts)}"

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


def _failure(state: NodeState) -> list[str]:
    """Return the failure of a node, unless it is that of a node inside it, which tells it itself."""
    error = state.error
    if error is None or error.node not in {"", state.path}:
        return []
    told = error.traceback or error.message
    shown = told if len(told) <= _TRACEBACK else f"…{told[-_TRACEBACK:]}"
    # A fence longer than any that may be inside.
    name = "" if state.name == state.path else f" {state.name}"
    first = _first_line(error.message)[:500]
    return [f"Node `{state.path}`{name} failed: {error.code}: {first}", "", "~~~~~~", shown, "~~~~~~", ""]


def ending(phase: ExecutionPhase, reason: str) -> str:
    """Return how a run has ended, in words."""
    first = _first_line(reason)[:300]
    return f"{phase.value}: {first}" if first else phase.value


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _row(state: NodeState, namespace: str) -> str:
    note = "" if state.phase.terminal else state.reason
    if state.source is not None:
        name = state.source.execution
        how = "copied" if state.phase is NodePhase.RECOVERED else f"{state.cache}"
        note = f"{how} from [{name}](/namespaces/{namespace}/workflows/{name}) {state.source.node}"
    if state.error is not None:
        note = f"{state.error.code}: {_first_line(state.error.message)[:120]}"
    sign, gap = _SIGN[state.phase], "\u00a0\u00a0"
    escaped = note.replace("|", "\\|")
    # The gaps keep columns apart in Temporal's UI, whose tables have none; the first keeps a state in one line.
    return (
        f"| `{state.path}`{gap} | {state.name}{gap} | {sign}\u00a0{state.phase}{gap} | {state.attempts or ''}{gap} "
        f"| {escaped} |"
    )
