"""One execution: starts ready nodes through a window, each by its kind, and takes in what has ended.

The loop is event-driven and bounded by counts, never by time: at most `limits.window` new commands in an activation
(a slow activation wedges the worker, temporal.md §0.1) and `limits.pending` activities at once (beyond 2,000 Temporal
refuses the workflow task for ever, §0.5).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from temporalio import workflow

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    CacheStatus,
    ErrorDocument,
    ExecutionPhase,
    NodePhase,
    NodeRecord,
    RunInput,
)
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.workflows.aborts import error_of, find
from flyte_temporal.workflows.arrays import lists, open_array
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.body import Body, branch_body, workflow_body
from flyte_temporal.workflows.branches import choose, operands
from flyte_temporal.workflows.children import Children
from flyte_temporal.workflows.deadlines import Deadlines
from flyte_temporal.workflows.details import ending
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.lookups import Lookups
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.reads import Reads
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.recovering import Recovering, gate_outputs
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.stores import Stores
from flyte_temporal.workflows.tree import Tree

OPENED = 2_000
"""Nodes made in one activation at most; some 20 µs each."""

HELD_BACK = 1_000
"""Changes of nodes that are not written while answers of the cache come in, which they do within milliseconds: a chain of
hits would else pay a write for each of its nodes, and again for all at the end."""


@dataclass
class RunFailed(Exception):
    """The execution ended without success."""

    error: ErrorDocument


class Run:
    """The state of one execution and the loop that drives it.

    Args:
        given: The request.
        closure: What to run.

    Raises:
        UnsupportedSpec: If the closure holds a kind of node that this build does not run.
        CompileError: If its nodes do not form a graph without cycles.
    """

    def __init__(self, given: RunInput, closure: Closure) -> None:
        self.given = given
        self.states: list[NodeState] = []
        self.records = Records(given.request.id, self.states)
        self._program = Program(closure, given.request.spec)
        self._tree = Tree(given, self.records, self.states, workflow.now)
        self._tree.board.namespace = workflow.info().namespace
        self._inbox = Inbox()
        self._attempts = Attempts(given, self._inbox, self.records.changed)
        self._recovering = Recovering(given.request.recover)
        self._children = Children(given, self._inbox, self._recovering)
        self.lookups = Lookups(given, self._inbox, self._recovering)
        self._stores = Stores(given.request.id, self._inbox)
        self._stops = Stops(given, self._inbox)
        self._deadlines = Deadlines(self._inbox.wake)
        self._reads = Reads(self._inbox)
        self.gates = Gates(self._program, self._inbox, given.request.id.name, self._started)
        self._window = _Window(given.limits.window, self._tree)

    def _started(self) -> list[str]:
        return [state.child for state in self.states if state.child]

    async def execute(self) -> dict[str, LiteralValue]:
        """Run to the end.

        Returns:
            The outputs.

        Raises:
            RunFailed: If a node failed for good; everything else has ended by then.
            asyncio.CancelledError: If the execution was cancelled; everything has ended by then.
        """
        main = self._program.main
        try:
            self._tree.open(workflow_body(self._program, main, dict(self.given.request.inputs), None))
        except FlyteTemporalError as error:
            raise RunFailed(document_of(error, "")) from error
        try:
            await self._drive()
        except asyncio.CancelledError:
            self._tree.stop_all()
            await self._drive()
            self._tree.mark_rest()
            raise
        if self._tree.failure is not None:
            raise RunFailed(self._tree.failure)
        return self._tree.result or {}

    def show_end(self, phase: ExecutionPhase, reason: str) -> None:
        """Show in the current details how the run has ended."""
        workflow.set_current_details(self._tree.board.markdown(ending(phase, reason)))

    async def _drive(self) -> None:
        tree, inbox = self._tree, self._inbox
        while tree.ready or tree.ready_free or tree.to_store or inbox.open:
            self._dispatch()
            self.lookups.flush()
            self._stores.flush(tree.to_store)
            if not self.lookups.busy or self.records.waiting >= HELD_BACK:
                self.records.flush()
            workflow.set_current_details(tree.board.markdown())
            if self._held_up():
                inbox.wake_soon()
            elif not inbox.open:
                continue
            self._watch_deadlines()
            for ended in await inbox.ended():
                self._take(ended)
            self._stops.flush()
            self._expire()
        inbox.wake_never()
        self._deadlines.stop()
        workflow.set_current_details(tree.board.markdown())

    def _watch_deadlines(self) -> None:
        opened, self._tree.deadlines = self._tree.deadlines, []
        for scope, limit in opened:
            self._deadlines.watch_scope(scope, limit)
        self._deadlines.arm()

    def _expire(self) -> None:
        """Fail what has reached its time-out."""
        tree = self._tree
        for due in self._deadlines.passed():
            if due.over:
                continue
            if isinstance(due.of, NodeState):
                tree.doom(due.of, due.error())
            else:
                tree.condemn(due.of, due.error())

    def abort_node(self, request: calls.NodeAbort) -> NodeRecord:
        """Have one node fail for good, as after its last attempt.

        Raises:
            NotFound: If there is no such node, or it has not been reached.
            Conflict: If it has ended, or is being ended.
        """
        state = find(self.states, request.node)
        self._tree.doom(state, error_of(request, state))
        self._inbox.wake()
        return state.record()

    def check_abort(self, request: calls.NodeAbort) -> None:
        """Raise what `abort_node` would raise."""
        find(self.states, request.node)

    def _dispatch(self) -> None:
        tree = self._tree
        while tree.to_cancel and self._window.left():
            stopped = tree.to_cancel.popleft()
            if not self.lookups.cancel(stopped) and self._inbox.cancel(stopped):
                self._window.take()
        while self._window.left():
            if tree.ready_free:
                self._start(tree.ready_free.popleft())
            elif tree.ready and self._inbox.pending < self._most():
                self._start(tree.ready.popleft())
            else:
                return

    def _most(self) -> int:
        wanted = self.given.request.max_parallelism or self._program.main.max_parallelism
        return min(self.given.limits.pending, wanted) if wanted else self.given.limits.pending

    def _held_up(self) -> bool:
        """Return whether more could be asked for if only the window of this activation were larger."""
        if self._window.left():
            return False
        tree = self._tree
        room = bool(tree.ready) and self._inbox.pending < self._most()
        return room or bool(tree.to_cancel) or bool(tree.ready_free)

    def _start(self, state: NodeState) -> None:
        self._tree.begin(state)
        try:
            self._recovering.mark(state)
            if self._looks_up(state) and self.lookups.take(state):
                return
            self._start_kind(state, state.scope.inputs_of(state))
        except FlyteTemporalError as error:
            self._tree.fail(state, document_of(error, state.path))

    def _looks_up(self, state: NodeState) -> bool:
        # What somebody has answered in this run wins over what somebody answered before.
        match state.node.target:
            case TaskTarget():
                return True
            case GateTarget():
                return not self.gates.answered(state)
            case _:
                return False

    def _start_kind(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        target, program = state.node.target, state.scope.program
        match target:
            case TaskTarget():
                self._window.take()
                self._attempts.start(state, inputs)
                if self.given.interpreter >= 3 and state.attempts == 1:
                    self._deadlines.watch_node(state)
            case WorkflowTarget():
                self._open(workflow_body(program, program.closure.workflows[target.workflow], inputs, state))
            case LaunchPlanTarget():
                self._window.take()
                self._children.start(state, inputs)
                self._tree.changed(state)
            case GateTarget():
                self._window.take()
                self.gates.start(state, inputs)
                self._tree.changed(state)
            case BranchTarget():
                self._read_or_go_on(state, operands(target, inputs))
            case ArrayTarget():
                self._read_or_go_on(state, lists(state, inputs))

    def _read_or_go_on(self, state: NodeState, request: calls.ReadRequest | None) -> None:
        """Go on with a branch or a map at once, or after what it needs has been read."""
        if request is None:
            self._go_on(state, calls.ReadResult())
        else:
            self._window.take()
            self._reads.start(state, request)

    def _go_on(self, state: NodeState, read: calls.ReadResult) -> None:
        target, inputs = state.node.target, state.scope.inputs_of(state)
        if not isinstance(target, BranchTarget):
            self._tree.open(open_array(state, inputs, read))
            return
        chosen = choose(target, inputs, read)
        for body in target.bodies():
            if body is not chosen:
                self._tree.pass_over(branch_body(body, state))
        if chosen is None:
            self._tree.skip(state)
        else:
            self._open(branch_body(chosen, state))

    def _open(self, body: Body) -> None:
        self.gates.meet(body.program, body.spec.nodes, body.prefix)
        self._tree.open(body)

    def _take(self, ended: Ended) -> None:
        state, tree = ended.state, self._tree
        if ended.answer is not None:
            self._take_answer(state, ended.answer)
            return
        if ended.stored is not None:
            state.cache = state.cache if ended.stored else CacheStatus.PUT_FAILED
            tree.changed(state)
            return
        self.lookups.ended(state)
        if ended.doubtful:
            self._stops.add(state)
        elif ended.cancelled or (ended.again and ended.error is None and state.scope.failing):
            tree.abort(state)
        elif state.doom is not None and (ended.outputs is None or ended.closure is not None):
            tree.fail(state, state.doom)
        elif ended.again:
            tree.again(state, ended.error)
        elif ended.error is not None:
            tree.fail(state, ended.error)
        elif state.scope.failing and (ended.closure is not None or ended.read is not None):
            # What it would go on with may not start any more.
            tree.abort(state)
        elif ended.closure is not None or ended.read is not None:
            try:
                self._continue(ended)
            except FlyteTemporalError as error:
                tree.fail(state, document_of(error, state.path))
        else:
            tree.succeed(
                state, ended.outputs or {}, NodePhase.RECOVERED if ended.copied else NodePhase.SUCCEEDED
            )

    def _take_answer(self, state: NodeState, answer: calls.LookupAnswer) -> None:
        tree = self._tree
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

    def _take_recalled(self, state: NodeState, found: calls.Recalled) -> None:
        """Go on with what an earlier execution has given, as if it had been given now."""
        target = state.node.target
        if found.closure is not None:
            self.records.changed(state)
            self._take(Ended(state, closure=found.closure))
        elif isinstance(target, GateTarget):
            self.gates.recalled(state)
            outputs = gate_outputs(target, state.scope.inputs_of(state), state.reply)
            self._tree.succeed(state, outputs, NodePhase.RECOVERED)
        else:
            self._tree.succeed(state, dict(found.outputs), NodePhase.RECOVERED)

    def _continue(self, ended: Ended) -> None:
        state = ended.state
        if ended.closure is not None:
            program = Program(ended.closure, state.spec)
            self._open(workflow_body(program, program.main, {}, state))
        elif ended.read is not None:
            self._go_on(state, ended.read)


class _Window:
    """Counts commands and new nodes per activation; activations are told apart by the length of the history."""

    def __init__(self, size: int, tree: Tree) -> None:
        self._size = size
        self._tree = tree
        self._left = size
        self._opened = 0
        self._seen = -1

    def left(self) -> bool:
        """Return whether this activation may do more."""
        length = workflow.info().get_current_history_length()
        if length != self._seen:
            self._seen = length
            self._left = self._size
            self._opened = self._tree.opened
        return self._left > 0 and self._tree.opened - self._opened < OPENED

    def take(self) -> None:
        """Count a command."""
        self._left -= 1
