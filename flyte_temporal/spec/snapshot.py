"""What a run hands over to its successor when it continues as new: what is open, and nothing of what is over.

Third argument of the interpreter. Made and read by `workflows.snapshots` only; a document of its own because a newer
worker must read what an older one wrote.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import JsonValue, PlainSerializer

from flyte_temporal.spec.calls import GateState
from flyte_temporal.spec.document import Document, Stored
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, Fix, NodePhase, NodeRecord
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.repairs import Pause
from flyte_temporal.spec.runs import Shard


def _written(literal: LiteralValue) -> dict[str, Any]:
    if type(literal) is Inline and literal.type is None and literal.hash is None:
        return {"kind": "inline", "value": literal.value}
    return literal.model_dump(mode="json")


Kept = Annotated[LiteralValue, PlainSerializer(_written)]
"""A literal of which a snapshot may hold tens of thousands: the plain ones are written without asking the model."""


class ScopeSnapshot(Document):
    """An open scope. Nodes are referred to by their order numbers, which are unique in an execution.

    Args:
        kind: Whether it is a workflow, a branch's case, a map, a map in shards, or a failure handler.
        program: Digest of the closure that it belongs to.
        first: Order number of its first node; the others follow without a gap.
        marks: One letter per node: `.` not ended; ended well: `d` was done here, `w` by wish (`recover --from`), `c` was copied or
            left out; `x` ended otherwise.
        parent: Node whose body it is; None for the execution itself.
        outer: Position of the scope that it is stopped with, for a failure handler.
        handles: Whether a failure handler is that of its parent node, or of its outer scope.
        case: Which of the bodies of a branch it is.
        inputs: Its inputs.
        outputs: Outputs of ended nodes that something open still needs, by node id or position.
        given: Its own outputs, once only its failure handler still runs.
        errors: Failures of its nodes for good.
        opened_at: When it was opened, for its deadline.
        failing: Whether nothing new may start.
        condemned: Whether it fails because it was told to.
        settled: Whether all its nodes have ended.
        counts: Numbers that only its kind knows.
        shard: For a map, its items.
        parts: For a map in shards, its lists in parts.
    """

    kind: Literal["workflow", "branch", "array", "sharded", "handler"]
    program: str
    first: int
    marks: str
    parent: int | None = None
    outer: int | None = None
    handles: Literal["", "node", "scope"] = ""
    case: int = 0
    inputs: dict[str, LiteralValue] = {}
    outputs: dict[str, dict[str, Kept]] = {}
    given: dict[str, LiteralValue] = {}
    errors: tuple[ErrorDocument, ...] = ()
    opened_at: datetime | None = None
    failing: bool = False
    condemned: bool = False
    settled: bool = False
    counts: dict[str, int] = {}
    shard: Shard | None = None
    parts: dict[str, tuple[LiteralValue, ...]] = {}


class NodeLine(Document):
    """A row of the board for a node that is over and otherwise forgotten.

    Args:
        place: Where it stands among the others.
        phase: How it ended.
        text: The row.
    """

    place: tuple[int, ...]
    phase: NodePhase
    text: str


class Snapshot(Stored):
    """A run between two histories.

    Args:
        runs: How many runs of this execution came before.
        began: When the first of them started, UTC.
        made: Number of nodes made so far: the next order number.
        scopes: Open scopes, outer ones first.
        nodes: Open nodes that have begun or tried, each as the fields of its state that are not the default.
        ready: Tasks and launch plans that may run, in order.
        ready_free: Other nodes that may run, in order.
        stopping: Nodes that are at work and were asked to end.
        over: Number of nodes that are over, by phase.
        lines: Rows of the board for some of them.
        gates: All gates that are known, with their answers.
        records: Ends of nodes whose records were not confirmed yet.
        pause: Who paused the execution, if somebody did.
        given_up: Whether nodes that fail are no longer held, though that was asked for.
        waiting: Executions that it has started and that wait to be repaired, by the paths of their nodes.
        fixes: Code that was brought into it.
        phase: Its phase as it was made known.
        told: Whether the execution that started it was told last that it waits; None = that follows from the phase.
    """

    runs: int
    began: datetime
    made: int
    scopes: tuple[ScopeSnapshot, ...]
    nodes: tuple[dict[str, JsonValue], ...] = ()
    ready: tuple[int, ...] = ()
    ready_free: tuple[int, ...] = ()
    stopping: tuple[int, ...] = ()
    over: dict[NodePhase, int] = {}
    lines: tuple[NodeLine, ...] = ()
    gates: tuple[GateState, ...] = ()
    records: tuple[NodeRecord, ...] = ()
    pause: Pause | None = None
    given_up: bool = False
    waiting: dict[str, str] = {}
    fixes: tuple[Fix, ...] = ()
    phase: ExecutionPhase = ExecutionPhase.RUNNING
    told: bool | None = None
