"""Which nodes of a run may take over what an earlier execution gave, and what has come of that. Pure.

Called by `lookups`, which asks for earlier results, and by `run` and `children`.
"""

from __future__ import annotations

from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.basis import Basis, basis_of_gate, basis_of_task
from flyte_temporal.spec.execution import GateReply, NodePhase, NodeRef, Recovery
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import GateTarget, TaskTarget
from flyte_temporal.workflows.scope import Earlier, NodeState, Scope


class Recovering:
    """The recovery of a run, if it is one.

    Args:
        recovery: What the request says.
    """

    def __init__(self, recovery: Recovery | None) -> None:
        self.recovery = recovery

    def mark(self, state: NodeState) -> None:
        """Note, before a node starts, whether it is to be run again by wish: itself, what it is in, or what it comes after.

        All that it comes after has started before it.
        """
        if self.recovery is None or not self.recovery.rerun:
            return
        parent = state.scope.parent
        state.rerun = (
            self.recovery.asks_for(state.path)
            or (parent is not None and parent.rerun)
            or any(self._touched(earlier) for earlier in state.scope.upstream(state))
        )

    def _touched(self, earlier: Earlier) -> bool:
        return earlier.rerun or (self.recovery is not None and self.recovery.asks_within(earlier.path))

    def may_recall(self, state: NodeState) -> bool:
        """Return whether an earlier result of a node may stand for a new one; if not by wish, its record says so."""
        if self.recovery is None or state.attempts or in_handler(state):
            return False
        if state.fix:
            state.anew = "its code was fixed while it ran"
            return False
        if state.rerun:
            state.anew = BY_WISH
            return False
        if isinstance(state.node.target, GateTarget):
            # Whoever answered had seen what came before: that must be as it was.
            fresh = [earlier.path for earlier in state.scope.upstream(state) if earlier.ran]
            if fresh:
                state.anew = f"{fresh[0]}, which it comes after, was run anew"
                return False
        return True

    def basis(self, state: NodeState) -> Basis | None:
        """Return what the result of a node would rest on; None if it is of a kind that gives none of its own.

        Raises:
            UserCodeError: If its inputs cannot be taken.
        """
        target = state.node.target
        match target:
            case TaskTarget():
                task = state.scope.program.closure.tasks[target.task].overridden(state.node.overrides)
                return basis_of_task(task, state.scope.inputs_of(state))
            case GateTarget():
                return basis_of_gate(target, state.scope.inputs_of(state))
            case _:
                return None

    @staticmethod
    def settle(state: NodeState, found: lookup_calls.Recalled) -> None:
        """Note what was found of a node."""
        if not found.done:
            state.anew, state.checkpoint_from = found.reason, found.checkpoint_from
            return
        state.source, state.basis, state.reply = found.source, found.basis, found.reply
        state.spec = found.spec
        if found.source is not None:
            state.attempt_key = found.source.attempt_key


BY_WISH = "it was asked for"


def gate_outputs(
    gate: GateTarget, inputs: dict[str, LiteralValue], reply: GateReply | None
) -> dict[str, LiteralValue]:
    """Return what a gate gives that got an answer; a sleep gets none, and gives nothing."""
    if reply is None:
        return {}
    return {"o0": inputs["value"] if gate.gate == "approve" else Inline(value=reply.value)}


def phase_of(scope: Scope) -> NodePhase:
    """Return the phase of a node whose body has ended well: RECOVERED if nothing in it was run and something copied.

    Where it comes from is noted as well.
    """
    parent = scope.parent
    if parent is None or parent.ran:
        return NodePhase.SUCCEEDED
    copied = copied_from(scope)
    if copied is None:
        return NodePhase.SUCCEEDED
    parent.source = parent.source or NodeRef(execution=copied.execution, node=parent.path)
    return NodePhase.RECOVERED


def copied_from(scope: Scope) -> NodeRef | None:
    """Return where the first node of a scope was copied from; None if one was run, or none was copied."""
    copied = (s.source for s in scope.states if s.phase is NodePhase.RECOVERED and s.source is not None)
    return None if scope.ran else next(copied, None)


def in_handler(state: NodeState) -> bool:
    """Return whether a node belongs to a failure handler: that acts on the failure of this run, not of an earlier one."""
    scope: Scope | None = state.scope
    while scope is not None:
        if scope.handles is not None:
            return True
        scope = scope.outer
    return False
