"""From a running execution to its snapshot: what the next run must know, and nothing of what is over.

Called by `run` when it continues as new; `restoring` is the way back. Costs one step per node that is held and one per
edge of a value that is kept, because a slow activation wedges the worker (docs/decisions/0035).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, cast, get_type_hints

from pydantic import BaseModel, JsonValue, create_model

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.snapshot import ScopeSnapshot, Snapshot
from flyte_temporal.workflows.arrays import Array
from flyte_temporal.workflows.body import Body
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.scope import NodeState, Scope
from flyte_temporal.workflows.sharded import ShardedArray
from flyte_temporal.workflows.tree import Tree

DERIVED = frozenset({"scope", "node", "path", "index", "order"})
"""Fields of `NodeState` that follow from its scope and its place there. All others are carried."""

ENDED_WELL = frozenset({NodePhase.SUCCEEDED, NodePhase.RECOVERED, NodePhase.SKIPPED})
"""What lets the nodes behind it run, in a scope that is not settled: there a branch without a case is all that is SKIPPED."""


def _row_model() -> type[BaseModel]:
    """Return a model of the carried fields, made from the dataclass: a field added there is carried by itself."""
    hints = get_type_hints(NodeState)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], None)
        for field in dataclasses.fields(NodeState)
        if field.name not in DERIVED
    }
    return create_model("NodeRow", __base__=Document, order=(int, ...), **fields)


_Row = _row_model()
_FRESH = NodeState(cast("Any", None), cast("Any", None), "", 0)
_DEFAULTS: dict[str, Any] = {
    field.name: getattr(_FRESH, field.name)
    for field in dataclasses.fields(NodeState)
    if field.name not in DERIVED
}


def row_of(state: NodeState) -> dict[str, JsonValue] | None:
    """Return the fields of a node's state that are not the default; None if all are."""
    found = {name: value for name, default in _DEFAULTS.items() if (value := getattr(state, name)) != default}
    if not found:
        return None
    made = _Row.model_construct(_fields_set=set(found), order=state.order, **found)
    written: dict[str, JsonValue] = made.model_dump(mode="json", include={"order", *found})
    return written


def apply(row: Mapping[str, JsonValue], state: NodeState) -> None:
    """Set the fields of a node's state from its row."""
    read = _Row.model_validate(row)
    for name in read.model_fields_set - {"order"}:
        setattr(state, name, getattr(read, name))


def take(
    tree: Tree, gates: Gates, records: Records, stopping: Iterable[NodeState], began: datetime, runs: int
) -> Snapshot:
    """Return the snapshot of an execution.

    Args:
        tree: Its scopes and nodes.
        gates: Its gates.
        records: What it has written.
        stopping: Nodes that were asked to end.
        began: When its first run started.
        runs: The number of runs so far, this one included.
    """
    # In the order in which they were opened: what holds another one is older.
    scopes = sorted(tree.root.tree() if tree.root else (), key=lambda scope: scope.first_order)
    places = {id(scope): position for position, scope in enumerate(scopes)}
    rows = (row_of(state) for scope in scopes for state in scope.states if not state.phase.terminal)
    return Snapshot(
        runs=runs,
        began=began,
        made=tree.made,
        scopes=tuple(_scope(scope, places) for scope in scopes),
        nodes=tuple(row for row in rows if row is not None),
        ready=tuple(state.order for state in (*tree.ready, *tree.forming.waiting())),
        ready_free=tuple(state.order for state in tree.ready_free),
        stopping=tuple(state.order for state in stopping),
        over=tree.board.over(),
        lines=tree.board.lines(),
        gates=tuple(gates.states()),
        records=records.untaken(),
    )


def marks_of(scope: Scope) -> str:
    """Return how the nodes of a scope have ended, a letter each."""
    marks = list(scope.marks) or ["."] * len(scope.states)
    for state in scope.states:
        if state.phase.terminal:
            marks[state.order - scope.first_order] = _mark(state)
    return "".join(marks)


def _mark(state: NodeState) -> str:
    if state.phase not in ENDED_WELL:
        return "x"
    if not state.ran:
        return "c"
    return "w" if state.rerun else "d"


def _scope(scope: Scope, places: Mapping[int, int]) -> ScopeSnapshot:
    marks = marks_of(scope)
    carried = scope.carried(marks)
    handles: Literal["", "node", "scope"] = ""
    if scope.handles is not None:
        handles = "node" if isinstance(scope.handles, NodeState) else "scope"
    return ScopeSnapshot(
        kind=_kind(scope),
        program=scope.program.digest,
        first=scope.first_order,
        marks=marks,
        parent=scope.parent.order if scope.parent is not None else None,
        outer=places[id(scope.outer)] if handles else None,
        handles=handles,
        case=scope.case if isinstance(scope, Body) else 0,
        inputs=carried.inputs,
        outputs=carried.outputs,
        given=scope.given,
        errors=tuple(scope.errors),
        opened_at=scope.opened_at,
        failing=scope.failing,
        condemned=scope.condemned,
        settled=scope.settled,
        counts=carried.counts,
        shard=carried.shard,
        parts=carried.parts,
    )


def _kind(scope: Scope) -> Literal["workflow", "branch", "array", "sharded", "handler"]:
    if scope.handles is not None:
        return "handler"
    if isinstance(scope, Array):
        return "array"
    if isinstance(scope, ShardedArray):
        return "sharded"
    return "branch" if scope.parent is not None and scope.parent.node.target.kind == "branch" else "workflow"
