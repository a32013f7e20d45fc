"""Where scopes stand to failure handlers, and to what bears failures. Pure."""

from __future__ import annotations

from flyte_temporal.workflows.scope import NodeState, Scope


def handler_of(handled: Scope | NodeState) -> Scope | None:
    """Return the failure handler that is at work for a workflow or a node; None if there is none."""
    scope = handled.scope if isinstance(handled, NodeState) else handled
    return next((each for each in scope.inner if each.handles is handled and not each.closed), None)


def is_handled(scope: Scope, below: Scope) -> bool:
    """Return whether a scope is a failure handler's, or in one, that is itself below another scope."""
    here: Scope | None = scope
    while here is not None and here is not below:
        if here.handles is not None:
            return True
        here = here.outer
    return False


def is_tolerated(scope: Scope | None) -> bool:
    """Return whether a scope, or one around it, goes on when something in it fails."""
    while scope is not None:
        if scope.tolerates:
            return True
        scope = scope.outer
    return False


def at_work_for(state: NodeState) -> list[Scope]:
    """Return the scopes that are at work for a node: its body, or the failure handler of that, or its own."""
    mine = (each for each in state.scope.inner if each.parent is state and not each.closed)
    found = (handler_of(each) if each.settled else each for each in mine)
    return [each for each in found if each is not None]
