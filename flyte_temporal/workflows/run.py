"""One execution: opens scopes, starts ready nodes through a window, takes in what has ended.

The loop is event-driven and bounded by counts, never by time: at most `limits.window` new commands in an activation
(a slow activation wedges the worker, temporal.md §0.1) and `limits.pending` activities at once (beyond 2,000 Temporal
refuses the workflow task for ever, §0.5).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from temporalio import workflow

from flyte_temporal.errors import UnsupportedSpec, UserCodeError
from flyte_temporal.spec.entities import Closure, WorkflowSpec
from flyte_temporal.spec.execution import ErrorDocument, NodePhase, RunInput
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import TaskTarget, WorkflowTarget
from flyte_temporal.workflows.attempts import Attempts, Ended
from flyte_temporal.workflows.details import Board
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.plan import Graph
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.scope import NodeState, Scope


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
        self.closure = closure
        self.states: list[NodeState] = []
        self.records = Records(given.request.id, self.states)
        self._board = Board()
        self._graphs: dict[str, Graph] = {}
        self._ready: deque[NodeState] = deque()
        self._to_cancel: deque[NodeState] = deque()
        self._attempts = Attempts(given, closure)
        self._budget = _Window(given.limits.window)
        self._result: dict[str, LiteralValue] | None = None
        self._failure: ErrorDocument | None = None
        self._main = closure.main()
        self._check(self._main)

    def _check(self, spec: WorkflowSpec) -> None:
        if spec.name in self._graphs:
            return
        self._graphs[spec.name] = Graph(spec.nodes)
        for node in spec.nodes:
            match node.target:
                case TaskTarget() if node.target.task in self.closure.tasks:
                    pass
                case WorkflowTarget() if node.target.workflow in self.closure.workflows:
                    self._check(self.closure.workflows[node.target.workflow])
                case _:
                    raise UnsupportedSpec(
                        f"Node {node.id} of {spec.name} is of kind {node.target.kind!r}, which this version of "
                        "flyte-temporal does not run."
                    )

    async def execute(self) -> dict[str, LiteralValue]:
        """Run to the end.

        Returns:
            The outputs.

        Raises:
            RunFailed: If a node failed for good; everything else has ended by then.
            asyncio.CancelledError: If the execution was cancelled; everything has ended by then.
        """
        self._open(self._main, dict(self.given.request.inputs), None)
        try:
            await self._drive()
        except asyncio.CancelledError:
            self._abort()
            await self._drive()
            self._mark_rest()
            raise
        if self._failure is not None:
            raise RunFailed(self._failure)
        return self._result or {}

    async def _drive(self) -> None:
        while self._ready or self._attempts.pending:
            self._dispatch()
            self.records.flush()
            workflow.set_current_details(self._board.markdown())
            if self._held_up():
                self._attempts.wake_soon()
            elif not self._attempts.pending:
                continue
            for ended in await self._attempts.ended():
                self._take(ended)
        self._attempts.wake_never()
        workflow.set_current_details(self._board.markdown())

    def _dispatch(self) -> None:
        while self._to_cancel and self._budget.left():
            if self._attempts.cancel(self._to_cancel.popleft()):
                self._budget.take()
        while self._ready and self._attempts.pending < self._most():
            if isinstance(self._ready[0].node.target, TaskTarget) and not self._budget.left():
                return
            self._start(self._ready.popleft())

    def _most(self) -> int:
        wanted = self.given.request.max_parallelism
        return min(self.given.limits.pending, wanted) if wanted else self.given.limits.pending

    def _held_up(self) -> bool:
        """Return whether more could be asked for if only the window of this activation were larger."""
        if self._budget.left():
            return False
        return bool(self._to_cancel) or (bool(self._ready) and self._attempts.pending < self._most())

    def _start(self, state: NodeState) -> None:
        target = state.node.target
        state.started_at = state.started_at or workflow.now()
        self._board.move(state, NodePhase.RUNNING)
        try:
            inputs = state.scope.node_inputs(state.node)
        except UserCodeError as error:
            self._fail(state, document_of(error, state.path))
            return
        if isinstance(target, WorkflowTarget):
            self.records.changed(state)
            self._open(self.closure.workflows[target.workflow], inputs, state)
        else:
            self._budget.take()
            self._attempts.start(state, inputs)

    def _open(self, spec: WorkflowSpec, inputs: dict[str, LiteralValue], parent: NodeState | None) -> None:
        scope = Scope(spec, self._graphs[spec.name], self.closure, inputs, parent)
        for node in spec.nodes:
            state = NodeState(scope=scope, node=node, path=scope.prefix + node.id, order=len(self.states))
            scope.states[node.id] = state
            self.states.append(state)
            self._board.add(state)
        self._enqueue(scope, scope.progress.first())
        self._close_if_done(scope)

    def _enqueue(self, scope: Scope, names: list[str]) -> None:
        scope.active += len(names)
        self._ready.extend(scope.states[name] for name in names)

    def _take(self, ended: Ended) -> None:
        state = ended.state
        if ended.outputs is not None:
            self._succeed(state, ended.outputs)
        elif ended.cancelled:
            self._finish(state, NodePhase.ABORTED)
        elif ended.again:
            if state.scope.failing:
                self._fail(state, ended.error)
            else:
                self._board.move(state, NodePhase.QUEUED)
                self._ready.append(state)
        else:
            self._fail(state, ended.error)

    def _succeed(self, state: NodeState, outputs: dict[str, LiteralValue]) -> None:
        scope = state.scope
        scope.outputs[state.node.id] = outputs
        state.error = None
        ready = scope.progress.finish(state.node.id)
        if not scope.failing:
            self._enqueue(scope, ready)
        self._finish(state, NodePhase.SUCCEEDED)

    def _fail(self, state: NodeState, error: ErrorDocument | None) -> None:
        scope = state.scope
        if error is not None:
            state.error = error
            scope.errors.append(error)
        if scope.fails_at_once and not scope.failing:
            self._stop(scope)
        self._finish(state, NodePhase.FAILED)

    def _finish(self, state: NodeState, phase: NodePhase) -> None:
        self._board.move(state, phase)
        state.finished_at = workflow.now()
        if not isinstance(state.node.target, TaskTarget):
            self.records.changed(state)
        state.scope.active -= 1
        self._close_if_done(state.scope)

    def _close_if_done(self, scope: Scope) -> None:
        if scope.active or scope.closed:
            return
        scope.closed = True
        for state in scope.states.values():
            if not state.phase.terminal:
                self._board.move(state, NodePhase.SKIPPED)
        outputs: dict[str, LiteralValue] = {}
        if not scope.errors and not scope.failing:
            try:
                outputs = scope.results()
            except UserCodeError as error:
                scope.errors.append(document_of(error, scope.parent.path if scope.parent else ""))
        self._close(scope, outputs)

    def _close(self, scope: Scope, outputs: dict[str, LiteralValue]) -> None:
        parent = scope.parent
        if parent is None:
            self._failure = scope.errors[0] if scope.errors else None
            self._result = outputs
        elif scope.errors:
            self._fail(parent, scope.errors[0])
        elif scope.failing:
            self._finish(parent, NodePhase.ABORTED)
        else:
            self._succeed(parent, outputs)

    def _stop(self, scope: Scope) -> None:
        """Let nothing new start in a scope and below it, and cancel what runs."""
        scope.failing = True
        inside = [s for s in self._ready if _within(s, scope)]
        if inside:
            gone = set(map(id, inside))
            self._ready = deque(s for s in self._ready if id(s) not in gone)
        for state in inside:
            state.scope.active -= 1
        for state in self.states:
            if not state.phase.terminal and _within(state, scope):
                state.scope.failing = True
                self._to_cancel.append(state)
        for state in inside:
            if state.scope is not scope:
                self._close_if_done(state.scope)

    def _abort(self) -> None:
        root = self.states[0].scope if self.states else None
        if root is not None and not root.failing:
            self._stop(root)

    def _mark_rest(self) -> None:
        for state in self.states:
            if state.phase is NodePhase.RUNNING:
                self._board.move(state, NodePhase.ABORTED)
            elif not state.phase.terminal:
                self._board.move(state, NodePhase.SKIPPED)


def _within(state: NodeState, scope: Scope) -> bool:
    here: Scope | None = state.scope
    while here is not None:
        if here is scope:
            return True
        here = here.parent.scope if here.parent else None
    return False


class _Window:
    """Counts new commands per activation; activations are told apart by the length of the history."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self._seen = -1

    def left(self) -> int:
        """Return how many more commands this activation may make."""
        length = workflow.info().get_current_history_length()
        if length != self._seen:
            self._seen = length
            self._left = self._size
        return self._left

    def take(self) -> None:
        """Count a command."""
        self._left -= 1
