"""One execution: starts ready nodes through a window, each by its kind, and takes in what has ended.

The loop is event-driven and bounded by counts, never by time: at most `limits.window` new commands in an activation
(a slow activation wedges the worker, temporal.md §0.1) and `limits.pending` activities at once (beyond 2,000 Temporal
refuses the workflow task for ever, §0.5).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from temporalio import workflow

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, NodeRecord, RunInput
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.workflows.aborts import error_of, find
from flyte_temporal.workflows.arrays import lists, open_array
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.body import Body, branch_body, workflow_body
from flyte_temporal.workflows.branches import choose, operands
from flyte_temporal.workflows.children import Children
from flyte_temporal.workflows.deadlines import Deadlines
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Ended, Inbox, pause
from flyte_temporal.workflows.leaving import Leaving
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.reads import Reads, load
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.restoring import Restoring, programs_of
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.snapshots import take
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.tree import Tree

OPENED = 2_000
"""Nodes made in one activation at most; some 20 µs each."""


@dataclass
class RunFailed(Exception):
    """The execution ended without success."""

    error: ErrorDocument


@dataclass
class ContinuedAsNew(Exception):
    """The execution goes on in another run."""

    snapshot: Snapshot


class Run:
    """The state of one execution and the loop that drives it.

    Args:
        given: The request.
        closure: What to run.
        snapshot: What an earlier run of the execution handed over.

    Raises:
        UnsupportedSpec: If the closure holds a kind of node that this build does not run.
        CompileError: If its nodes do not form a graph without cycles.
    """

    def __init__(self, given: RunInput, closure: Closure, snapshot: Snapshot | None = None) -> None:
        self.given = given
        self.states: list[NodeState] = []
        """All nodes that are held; those that had ended before this run are not."""
        self._snapshot = snapshot
        self._began = snapshot.began if snapshot else workflow.info().start_time
        self.records = Records(given, self.states, self._began)
        self._program = Program(closure, given.request.spec)
        self._tree = Tree(given, self.records, self.states, workflow.now)
        self._inbox = Inbox()
        self._attempts = Attempts(given, self._inbox, self.records.changed, self._began)
        self._children = Children(given, self._inbox)
        self._stops = Stops(given, self._inbox)
        self._deadlines = Deadlines(self._inbox.wake)
        self._reads = Reads(self._inbox)
        self.gates = Gates(self._program, self._inbox, given.request.id.name, self._started)
        self._window = _Window(given.limits.window, self._tree)
        self._leaving = Leaving(given, self._inbox)
        self._loading: asyncio.Task[dict[str, Program]] | None = None
        self._resuming: deque[NodeState] = deque()
        """Nodes that were at work in the run before this one."""
        self.restored = snapshot is None
        """Whether what an earlier run handed over is in place: before, messages have to wait."""
        if snapshot is not None:
            self.gates.take_over(snapshot.gates)
            self.records.take_over(snapshot.records)

    def _started(self) -> list[str]:
        return [state.child for state in self.states if state.child]

    async def execute(self) -> dict[str, LiteralValue]:
        """Run to the end.

        Returns:
            The outputs.

        Raises:
            RunFailed: If a node failed for good; everything else has ended by then.
            ContinuedAsNew: If it goes on in another run.
            asyncio.CancelledError: If the execution was cancelled; everything has ended by then.
        """
        try:
            await self._begin()
            await self._drive()
        except asyncio.CancelledError:
            self._leaving.stay()
            if self._loading is not None:
                self._restore(await self._loading)
            self._tree.stop_all()
            await self._drive()
            self._tree.mark_rest()
            raise
        if self._tree.failure is not None:
            raise RunFailed(self._tree.failure)
        return self._tree.result or {}

    async def _begin(self) -> None:
        if self._snapshot is not None:
            self._loading = asyncio.create_task(self._load(self._snapshot))
            # If the execution is aborted now, it is restored first, and then stopped.
            self._restore(await asyncio.shield(self._loading))
            return
        await self._breathe()
        main = workflow_body(self._program, self._program.main, dict(self.given.request.inputs), None)
        try:
            self._tree.open(main)
        except FlyteTemporalError as error:
            raise RunFailed(document_of(error, "")) from error

    async def _breathe(self) -> None:
        """End the activation in which a large closure was decoded: opening its nodes costs as much once more."""
        large = sum(len(each.nodes) for each in self._program.closure.workflows.values()) > OPENED
        if large and self.given.interpreter >= 3:
            await pause(0.001, "a large DAG is opened")

    async def _load(self, snapshot: Snapshot) -> dict[str, Program]:
        await self._breathe()
        found = {self._program.digest: self._program}
        for digest in programs_of(snapshot):
            if digest not in found:
                found[digest] = Program(await load(digest), digest)
        return found

    def _restore(self, programs: dict[str, Program]) -> None:
        if self._snapshot is None:  # pragma: no cover - it was loaded for one
            return
        self._loading = None
        self._resuming.extend(Restoring(self._snapshot, self._tree, programs).restore())
        self._leaving.resumed(len(self._resuming))
        for state in self.states:
            self._deadlines.watch_node(state)
        self.restored = True

    async def _drive(self) -> None:
        tree, inbox = self._tree, self._inbox
        while tree.ready or tree.ready_free or self._resuming or inbox.open:
            self._dispatch()
            self.records.flush()
            workflow.set_current_details(tree.board.markdown())
            if self._held_up():
                inbox.wake_soon()
            elif not inbox.open and not self._leaving.waits:
                continue
            self._watch_deadlines()
            ended = await inbox.ended()
            for each in ended:
                self._take(each)
            self._stops.flush()
            self._expire()
            if self._leaving.took(len(ended)) and self._may_leave():
                raise ContinuedAsNew(self._taken())
            if self._leaving.waits:
                self.records.settle()
        inbox.wake_never()
        self._leaving.stay()
        self._deadlines.stop()
        workflow.set_current_details(tree.board.markdown())

    def _may_leave(self) -> bool:
        """Return whether all is taken over, and something is left to hand over."""
        root = self._tree.root
        return not self._resuming and root is not None and not root.closed

    def _taken(self) -> Snapshot:
        stopping = dict.fromkeys(self._tree.to_cancel)
        stopping.update(dict.fromkeys(filter(self._inbox.stopping, self.states)))
        runs = (self._snapshot.runs if self._snapshot else 0) + 1
        return take(self._tree, self.gates, self.records, stopping, self._began, runs)

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
        while self._resuming and self._window.left():
            self._resume(self._resuming.popleft())
        self._stops.flush()
        while not self._resuming and tree.to_cancel and self._window.left():
            if self._inbox.cancel(tree.to_cancel.popleft()):
                self._window.take()
        while self._window.left() and not self._leaving.overdue:
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
        return room or bool(tree.to_cancel) or bool(tree.ready_free) or bool(self._resuming)

    def _start(self, state: NodeState) -> None:
        self._tree.begin(state)
        try:
            self._start_kind(state, state.scope.inputs_of(state))
        except FlyteTemporalError as error:
            self._tree.fail(state, document_of(error, state.path))

    def _resume(self, state: NodeState) -> None:
        """Ask again for what an earlier run had under way for a node."""
        if state in self._tree.to_cancel and self._ends_already(state):
            return
        try:
            inputs = state.scope.inputs_of(state)
            if not state.attempts:
                self._start_kind(state, inputs)
                return
            self._window.take()
            if isinstance(state.node.target, LaunchPlanTarget):
                self._children.resume(state, inputs)
            elif isinstance(state.node.target, TaskTarget):
                self._attempts.resume(state, inputs)
        except FlyteTemporalError as error:
            self._tree.fail(state, document_of(error, state.path))

    def _ends_already(self, state: NodeState) -> bool:
        """Go on ending an attempt that was asked to end: to ask for it again could start it again."""
        if not isinstance(state.node.target, TaskTarget) or not state.attempts:
            return False
        self._tree.to_cancel.remove(state)
        if state.due is not None:
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._window.take()
            self._stops.add(state)
        return True

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
        if ended.doubtful:
            self._stops.add(state)
        elif ended.cancelled:
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
            tree.succeed(state, ended.outputs or {})

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
        self._made = 0
        self._seen = -1

    def left(self) -> bool:
        """Return whether this activation may do more."""
        length = workflow.info().get_current_history_length()
        if length != self._seen:
            self._seen = length
            self._left = self._size
            self._made = self._tree.made
        return self._left > 0 and self._tree.made - self._made < OPENED

    def take(self) -> None:
        """Count a command."""
        self._left -= 1
