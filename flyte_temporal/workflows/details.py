"""The Markdown that the Temporal UI shows as a run's current details: its nodes, bounded in size. Pure."""

from __future__ import annotations

from itertools import chain, islice

from flyte_temporal.spec.execution import NodePhase
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
        shown = sorted(self._all, key=_place) if len(self._all) <= ROWS else self._urgent()
        lines = [
            "| node | name | state | attempt | note |",
            "|---|---|---|---|---|",
            *(_row(state, self.namespace) for state in shown),
        ]
        if len(self._all) > ROWS:
            counts = ", ".join(f"{len(found)} {phase}" for phase, found in self._by_phase.items() if found)
            lines += ["", f"{len(self._all)} nodes: {counts}"]
        return "\n".join(lines)

    def _urgent(self) -> list[NodeState]:
        found = chain.from_iterable(self._by_phase[phase].values() for phase in _URGENCY)
        return list(islice(found, ROWS))


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
