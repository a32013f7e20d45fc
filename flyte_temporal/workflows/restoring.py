"""From a snapshot back to a running execution: scopes through their constructors, parents first.

Called by `run` at the start of a run that continues another. Nothing is started here: what was at work is returned, and
`run` asks for it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.nodes import BranchTarget, Target, WorkflowTarget
from flyte_temporal.spec.snapshot import ScopeSnapshot, Snapshot
from flyte_temporal.workflows.arrays import Array
from flyte_temporal.workflows.body import Body, branch_body, handler_given, workflow_body
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import Carried, NodeState, Scope
from flyte_temporal.workflows.sharded import ShardedArray
from flyte_temporal.workflows.snapshots import apply
from flyte_temporal.workflows.tree import Tree


def programs_of(snapshot: Snapshot) -> list[str]:
    """Return the digests of the closures that the open scopes belong to, each once."""
    return list(dict.fromkeys(scope.program for scope in snapshot.scopes))


class Restoring:
    """Rebuilds scopes and nodes.

    Args:
        snapshot: What was handed over.
        tree: An empty tree, which is filled.
        programs: The closures by digest.
    """

    def __init__(self, snapshot: Snapshot, tree: Tree, programs: Mapping[str, Program]) -> None:
        self._snapshot = snapshot
        self._tree = tree
        self._programs = programs
        self._scopes: list[Scope] = []
        self._nodes: dict[int, NodeState] = {}
        self._rows = {row["order"]: row for row in snapshot.nodes}

    def restore(self) -> list[NodeState]:
        """Fill the tree; return the nodes that were at work without a scope of their own, in order."""
        snapshot, tree = self._snapshot, self._tree
        tree.board.take_over(snapshot.over, snapshot.lines)
        for given in snapshot.scopes:
            self._open(given)
        tree.made = snapshot.made
        nodes = self._nodes
        tree.ready.extend(nodes[order] for order in snapshot.ready)
        tree.ready_free.extend(nodes[order] for order in snapshot.ready_free)
        tree.to_cancel.extend(nodes[order] for order in snapshot.stopping)
        begun = [state for state in nodes.values() if state.phase is not NodePhase.QUEUED]
        for state in [*tree.ready, *tree.ready_free, *begun]:
            state.scope.active += 1
        holders = {scope.parent.order for scope in self._scopes if scope.parent is not None}
        at_work = (s for s in begun if s.phase is NodePhase.RUNNING and s.order not in holders)
        return sorted(at_work, key=lambda state: state.order)

    def _open(self, given: ScopeSnapshot) -> None:
        scope = self._make(given)
        scope.first_order, scope.marks = given.first, given.marks
        scope.errors, scope.given = list(given.errors), dict(given.given)
        scope.failing, scope.condemned, scope.settled = given.failing, given.condemned, given.settled
        scope.opened_at = given.opened_at
        for offset, (place, mark) in enumerate(zip(scope.places(), given.marks, strict=True)):
            if mark == ".":
                state = NodeState(scope, place.node, place.path, given.first + offset, place.index)
                row = self._rows.get(state.order)
                if row is not None:
                    apply(row, state)
                scope.states.append(state)
                self._nodes[state.order] = state
                self._tree.add(state)
        scope.take_over(Carried(given.inputs, given.outputs, given.counts, given.shard, given.parts))
        self._tree.attach(scope)
        self._tree.watch_deadline(scope)
        self._scopes.append(scope)

    def _make(self, given: ScopeSnapshot) -> Scope:
        program = self._programs[given.program]
        parent = None if given.parent is None else self._nodes[given.parent]
        inputs = dict(given.inputs)
        if given.outer is not None:
            return self._handler(self._scopes[given.outer], parent, given)
        if given.shard is not None and given.kind == "array":
            return Array(program, parent, given.shard)
        if parent is None:
            return workflow_body(program, program.main, inputs, None)
        if given.shard is not None:
            return ShardedArray(program, parent, given.shard, given.parts, given.counts["size"])
        match parent.node.target:
            case BranchTarget() as target:
                return branch_body(target.bodies()[given.case], parent)
            case WorkflowTarget() as target:
                return workflow_body(program, program.closure.workflows[target.workflow], inputs, parent)
            case _:
                return workflow_body(program, program.main, inputs, parent)

    @staticmethod
    def _handler(outer: Scope, parent: NodeState | None, given: ScopeSnapshot) -> Body:
        handled: Scope | NodeState = outer
        handler: Target | None = outer.on_failure
        if given.handles == "node" and parent is not None:
            handled, handler = parent, parent.node.on_failure
        if handler is None:  # pragma: no cover - it was opened for one
            raise TypeError(f"{outer.first_order} has no failure handler")
        return handler_given(handled, handler, dict(given.inputs))
