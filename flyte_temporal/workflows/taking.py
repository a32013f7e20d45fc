"""`Taking`: what follows from an end, or from an answer, for its node. Called by the loop of `run`, in order of arrival."""

from __future__ import annotations

from dataclasses import dataclass

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.execution import CacheStatus, NodePhase
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Ended
from flyte_temporal.workflows.lookups import Lookups
from flyte_temporal.workflows.openings import Openings
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.recovering import gate_outputs
from flyte_temporal.workflows.repairs import Repairs
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.tree import Tree


@dataclass(frozen=True)
class Taking:
    """Whom an end may concern."""

    tree: Tree
    openings: Openings
    lookups: Lookups
    repairs: Repairs
    stops: Stops
    records: Records
    gates: Gates

    def take(self, ended: Ended) -> None:
        """Take in an end, or an answer."""
        state, tree = ended.state, self.tree
        state.ahead = False
        if ended.answer is not None:
            self._take_answer(state, ended.answer)
            return
        if ended.stored is not None:
            state.cache = state.cache if ended.stored else CacheStatus.PUT_FAILED
            tree.changed(state)
            return
        self.lookups.ended(state)
        self.repairs.ended(state)
        if ended.doubtful and (state.scope.failing or state.doom is not None or not ended.left):
            self.stops.add(state)
        elif ended.cancelled or (ended.again and ended.error is None and state.scope.failing):
            tree.abort(state)
        elif state.doom is not None and (ended.outputs is None or ended.closure is not None):
            tree.fail(state, state.doom)
        elif ended.left:
            tree.leave(state, known=not ended.doubtful)
        elif ended.again:
            tree.again(state, ended.error)
        elif ended.error is not None:
            tree.fail(state, ended.error)
        elif ended.shard is not None:
            tree.shard_ended(state, ended.shard)
        elif ended.goes_on:
            self._continue(ended)
        else:
            tree.succeed(
                state, ended.outputs or {}, NodePhase.RECOVERED if ended.copied else NodePhase.SUCCEEDED
            )

    def _take_answer(self, state: NodeState, answer: lookup_calls.LookupAnswer) -> None:
        tree = self.tree
        if state.scope.failing or state.doom is not None:
            tree.abort(state)
        elif not self.lookups.settle(state, answer):
            self.records.changed(state)
        elif answer.recalled is not None and answer.recalled.done:
            self._take_recalled(state, answer.recalled)
        elif answer.hit is not None:
            tree.succeed(state, dict(answer.hit.outputs))
            self.records.changed(state)
        else:
            tree.queue(state)

    def _take_recalled(self, state: NodeState, found: lookup_calls.Recalled) -> None:
        """Go on with what an earlier execution has given, as if it had been given now."""
        target = state.node.target
        if found.closure is not None:
            self.records.changed(state)
            self.take(Ended(state, closure=found.closure))
        elif isinstance(target, GateTarget):
            self.gates.recalled(state)
            outputs = gate_outputs(target, state.scope.inputs_of(state), state.reply)
            self.tree.succeed(state, outputs, NodePhase.RECOVERED)
        else:
            self.tree.succeed(state, dict(found.outputs), NodePhase.RECOVERED)

    def _continue(self, ended: Ended) -> None:
        state = ended.state
        if state.scope.failing:
            # What it would go on with may not start any more.
            self.tree.abort(state)
            return
        try:
            if ended.closure is not None:
                program = Program(ended.closure, state.spec)
                self.openings.open(workflow_body(program, program.main, {}, state))
            elif ended.read is not None:
                self.openings.go_on(state, ended.read)
            elif ended.split is not None and state.whole is not None:
                self.openings.open_map(state, state.whole, ended.split)
        except FlyteTemporalError as error:
            self.tree.fail(state, document_of(error, state.path))
