"""Starts ready nodes through the window of an activation, each by its kind, and asks again for what an earlier run had begun.

Bounded by counts, never by time: at most `limits.window` new commands in an activation (a slow activation wedges the worker,
temporal.md §0.1) and `limits.pending` activities at once (beyond 2,000 Temporal refuses the workflow task for ever, §0.5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from temporalio import workflow

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows.arrays import lists
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.batches import Batches
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.branches import operands
from flyte_temporal.workflows.children import Children
from flyte_temporal.workflows.deadlines import Deadlines
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.leaving import Leaving
from flyte_temporal.workflows.lookups import Lookups
from flyte_temporal.workflows.openings import Openings
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.repairs import Repairs
from flyte_temporal.workflows.scope import NodeState, Stage, around
from flyte_temporal.workflows.sharded import Room, ShardedArray
from flyte_temporal.workflows.shards import Shards
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.tree import Tree
from flyte_temporal.workflows.window import Window


@dataclass
class Starting:
    """What a run asks for, as far as its window lets it; its fields are the parts of the run that it asks."""

    given: RunInput
    program: Program
    tree: Tree
    inbox: Inbox
    window: Window
    leaving: Leaving
    stops: Stops
    deadlines: Deadlines
    fixes: Fixes
    recovering: Recovering
    lookups: Lookups
    repairs: Repairs
    gates: Gates
    openings: Openings
    attempts: Attempts
    batches: Batches
    children: Children
    shards: Shards
    resuming: deque[NodeState] = field(default_factory=deque)
    """Nodes that were at work in the run before this one."""

    def dispatch(self) -> None:
        """Start, ask again for and stop as much as the window has room for."""
        tree = self.tree
        while self.resuming and self.window.left():
            self._resume(self.resuming.popleft())
        self.stops.take(tree.to_prove)
        while not self.resuming and tree.to_cancel and self.window.left():
            stopped = tree.to_cancel.popleft()
            if self.repairs.let_go(stopped) or self.lookups.cancel(stopped):
                continue
            if self._cancel(stopped):
                self.window.take()
        if self.fixes.all and tree.forming:
            # Each goes on its own now: it may have been mended, and a batch is of one code.
            tree.ready.extend(tree.forming.drain())
        while self.window.left() and not self.leaving.overdue and not self.repairs.paused:
            if tree.ready_free:
                self._start(tree.ready_free.popleft())
            elif tree.ready and not self.fixes.all and tree.forming.takes(tree.ready[0]):
                self._gather(tree.ready.popleft())
            elif not self._start_one():
                return

    def _start_one(self) -> bool:
        """Start an activity, if one may start; return whether one did."""
        tree = self.tree
        if self.inbox.pending >= self._most():
            return False
        if tree.ready:
            self._start(tree.ready.popleft())
            return True
        group = tree.forming.next(self.inbox.pending, workflow.now())
        if len(group) > 1:
            self.window.take(1 + len(group) // 20)
            self.batches.start(group)
            for state in group:
                if state.stage is Stage.LOOKED_UP:
                    state.stage = Stage.NEW
                elif state.token:
                    self.deadlines.watch_node(state)
        elif group:
            self._start(group[0])
        return bool(group)

    def _cancel(self, state: NodeState) -> bool:
        if not state.is_shard or self.tree.aborting:
            return self.inbox.cancel(state)
        return self.shards.stop(state)

    def _wanted(self) -> int:
        """Return how many attempts and children somebody wants at once at most; 0 = that is left to the limits."""
        if self.given.shard is not None:
            return self.given.shard.parallel
        return self.given.request.max_parallelism or self.program.main.max_parallelism

    def _most(self) -> int:
        wanted = self._wanted()
        return min(self.given.limits.pending, wanted) if wanted else self.given.limits.pending

    def held_up(self) -> bool:
        """Return whether more could be asked for if only the window of this activation were larger."""
        if self.window.left():
            return False
        tree = self.tree
        if self.repairs.paused:
            return bool(tree.to_cancel or self.resuming)
        room = bool(tree.ready or tree.forming) and self.inbox.pending < self._most()
        return room or bool(tree.to_cancel) or bool(tree.ready_free) or bool(self.resuming)

    def _start(self, state: NodeState) -> None:
        self.tree.begin(state)
        try:
            self._begin_work(state)
        except FlyteTemporalError as error:
            self.tree.forming.landed(state)
            self.tree.fail(state, document_of(error, state.path))

    def _gather(self, state: NodeState) -> None:
        """Let a task wait for others to travel with, once it is known that it must be computed."""
        try:
            if not state.token:
                self.recovering.mark(state)
                # That it was looked up is taken note of when it starts: one that goes alone passes here and there.
                if state.stage is not Stage.LOOKED_UP and self.lookups.take(state):
                    self.tree.begin(state)
                    self.deadlines.watch_node(state)
                    return
            self.tree.forming.add(state)
        except FlyteTemporalError as error:
            self.tree.fail(state, document_of(error, state.path))

    def _begin_work(self, state: NodeState) -> None:
        if isinstance(state.scope, ShardedArray):
            self._start_shard(state, state.scope)
            return
        if self.given.interpreter >= 3 and state.stage is Stage.NEW and state.attempts == state.fresh_from:
            # From its first lookup on: it may wait for long before its first attempt.
            self.deadlines.watch_node(state)
        self.recovering.mark(state)
        before = state.fix
        self.fixes.mark(state)
        if state.fix != before:
            # Looked up by the key of the code that it will not run with: what it gives must not be remembered by that.
            if state.token:
                state.memo = None
            elif state.stage is Stage.LOOKED_UP:
                state.stage = Stage.NEW
            for outer in around(state):
                # A dynamic task gives what its nodes give: by its own key only if it has run with the same code.
                outer.memo = outer.memo if outer.fix == state.fix else None
        # With a token it was looked up, and its attempt may be at work: an answer now would end it without that.
        if state.token or not (self._looks_up(state) and self.lookups.take(state)):
            self._start_kind(state, state.scope.inputs_of(state))

    def _looks_up(self, state: NodeState) -> bool:
        # What somebody has answered in this run wins over what somebody answered before.
        match state.node.target:
            case TaskTarget():
                return True
            case GateTarget():
                return not self.gates.answered(state)
            case _:
                return False

    def _start_shard(self, state: NodeState, scope: ShardedArray) -> None:
        self.window.take()
        most = self._most()
        # Without a wish of somebody's, the limit is Temporal's for one workflow: then each shard has its own.
        shared = bool(self._wanted())
        shard = scope.order(state, Room(most, most - self.inbox.pending if shared else most))
        self.shards.start(state, shard, weight=shard.parallel if shared else 1)

    def _resume(self, state: NodeState) -> None:
        """Ask again for what an earlier run had under way for a node."""
        if state in self.tree.to_cancel and self._ends_already(state):
            return
        try:
            if isinstance(state.scope, ShardedArray):
                self.window.take()
                shard = state.scope.shard(state)
                self.shards.resume(state, shard, weight=shard.parallel if self._wanted() else 1)
                return
            inputs = state.scope.inputs_of(state)
            if not state.asked:
                self._begin_work(state)
                return
            self.window.take()
            if isinstance(state.node.target, LaunchPlanTarget):
                self.children.resume(state, inputs)
            elif isinstance(state.node.target, TaskTarget):
                self.attempts.resume(state, inputs)
        except FlyteTemporalError as error:
            self.tree.fail(state, document_of(error, state.path))

    def _ends_already(self, state: NodeState) -> bool:
        """Go on ending an attempt that was asked to end: to ask for it again could start it again."""
        if not isinstance(state.node.target, TaskTarget) or not state.asked:
            return False
        self.tree.to_cancel.remove(state)
        if state.due is not None:
            self.inbox.push(Ended(state, cancelled=True))
        else:
            self.window.take()
            self.stops.add(state)
        return True

    def _start_kind(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        target, program = state.node.target, state.scope.program
        match target:
            case TaskTarget():
                self.window.take()
                self.attempts.start(state, inputs)
            case WorkflowTarget():
                self.openings.open(
                    workflow_body(program, program.closure.workflows[target.workflow], inputs, state)
                )
            case LaunchPlanTarget():
                self.window.take()
                self.children.start(state, inputs)
                self.tree.changed(state)
            case GateTarget():
                self.window.take()
                self.gates.start(state, inputs)
                self.tree.changed(state)
            case BranchTarget():
                self.openings.read_or_go_on(state, operands(target, inputs))
            case ArrayTarget():
                self.openings.read_or_go_on(state, lists(state, inputs))
