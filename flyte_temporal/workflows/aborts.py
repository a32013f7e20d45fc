"""Abort of one node: which node is meant, and whether it can still be ended. Called by the update `abort_node`."""

from __future__ import annotations

from collections.abc import Sequence

from flyte_temporal.errors import Conflict, NotFound
from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, NodeRecord
from flyte_temporal.spec.verdicts import NODE_ABORTED
from flyte_temporal.workflows.inbox import Inbox
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.tree import Tree

_SHOWN = 20


class Aborts:
    """Ends single nodes.

    Args:
        tree: The nodes.
        inbox: Has the loop look at once.
        states: All nodes that are held.
    """

    def __init__(self, tree: Tree, inbox: Inbox, states: Sequence[NodeState]) -> None:
        self._tree = tree
        self._inbox = inbox
        self._states = states

    def abort(self, request: calls.NodeAbort) -> NodeRecord:
        """Have one node fail for good, as after its last attempt.

        Raises:
            NotFound: If there is no such node, or it has not been reached.
            Conflict: If it has ended, or is being ended.
        """
        state = self.check(request)
        self._tree.doom(state, error_of(request, state))
        self._inbox.wake()
        return state.record()

    def check(self, request: calls.NodeAbort) -> NodeState:
        """Return the node; raises as `abort`."""
        return find(self._states, request.node)


def find(states: Sequence[NodeState], wanted: str) -> NodeState:
    """Return the node that a path or a name stands for, if it can be ended.

    Raises:
        NotFound: If there is none, or the nodes around it have not begun; names those that there are.
        Conflict: If several nodes have the name, or it has ended, or is being ended.
    """
    found = [s for s in states if s.path == wanted] or [s for s in states if s.name == wanted]
    if not found:
        known = ", ".join(f"{s.path} ({s.name})" for s in states if not s.phase.terminal)
        raise NotFound(
            f"The execution has reached no node {wanted!r}. Nodes that have not ended: {known[:1000] or 'none'}."
        )
    if len(found) > 1:
        paths = ", ".join(s.path for s in found[:_SHOWN])
        raise Conflict(f"Several nodes are named {wanted!r}: {paths}. Give the path of one of them.")
    state = found[0]
    if state.phase.terminal:
        raise Conflict(f"The node {state.path} ({state.name}) has ended: it is {state.phase}.")
    if state.scope.failing:
        raise Conflict(f"What the node {state.path} ({state.name}) belongs to is being stopped already.")
    if state.doom is not None:
        raise Conflict(f"The node {state.path} ({state.name}) is being ended: {state.doom.message}")
    return state


def error_of(request: calls.NodeAbort, state: NodeState) -> ErrorDocument:
    """Return the error with which an aborted node fails; it is final."""
    by = f" by {request.by}" if request.by else ""
    why = f": {request.reason}" if request.reason else ", without a reason"
    return ErrorDocument(
        kind=ErrorKind.USER,
        code=NODE_ABORTED,
        message=f"The node was aborted{by}{why}."[:4096],
        node=state.path,
        recoverable=False,
    )
