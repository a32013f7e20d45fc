"""`Tree`: all scopes and nodes of a run: opens scopes, takes in the ends of nodes, closes scopes, stops what is to stop.

Called by `run`, which starts what `ready` holds and cancels what `to_cancel` holds. Apart from it because nothing here
knows Temporal but for the clock: it is the book-keeping, the loop is elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

from flyte_temporal.errors import LimitExceeded, UserCodeError
from flyte_temporal.spec.execution import ErrorDocument, NodePhase
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import BranchTarget, LaunchPlanTarget, TaskTarget
from flyte_temporal.spec.runs import SHARDED_ORDER, RunInput, RunOutput
from flyte_temporal.spec.types import NONE
from flyte_temporal.spec.verdicts import DEADLINE_EXCEEDED, NODE_ABORTED
from flyte_temporal.workflows.body import Body, branch_body, handler_body
from flyte_temporal.workflows.details import Board
from flyte_temporal.workflows.failures import document_of, ended_outside, gathered, split
from flyte_temporal.workflows.forming import Forming
from flyte_temporal.workflows.handlers import at_work_for, is_handled, is_tolerated
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.recovering import in_handler, phase_of
from flyte_temporal.workflows.scope import NodeState, Place, Scope
from flyte_temporal.workflows.sharded import ShardedArray

PATH_BYTES = 200
"""Longest path of a node: a column of the metadata store, and a part of ids."""

AT_WORK = frozenset({NodePhase.RUNNING, NodePhase.PAUSED})
"""Phases of nodes that have begun and not ended: something runs for them, or they are held."""

FINAL = frozenset({NODE_ABORTED, DEADLINE_EXCEEDED})
"""Failures that nobody is asked about: they were wished, or there is no time left."""


class Tree:
    """The scopes and nodes of a run.

    Args:
        given: The run's input, with its limit of nodes and its version of the interpreter.
        records: Where changes of nodes are noted that no activity records.
        states: All nodes; the list grows, and others read it.
        now: The clock.
    """

    def __init__(
        self, given: RunInput, records: Records, states: list[NodeState], now: Callable[[], datetime]
    ) -> None:
        self.states = states
        self.board = Board()
        self.ready: deque[NodeState] = deque()
        """Tasks and launch plans that may run: what the limits count."""
        self.ready_free: deque[NodeState] = deque()
        """Other nodes that may run."""
        self.forming = Forming(given)
        """Tasks that may run and wait for others to travel with."""
        self.to_cancel: deque[NodeState] = deque()
        self.to_prove: deque[NodeState] = deque()
        """Nodes that were to be asked for again when they were stopped: their attempts may be at work, and are to end."""
        self.to_store: deque[tuple[NodeState, dict[str, LiteralValue]]] = deque()
        """Dynamic tasks that have ended, with outputs that are to be remembered."""
        self.made = SHARDED_ORDER + given.shard.offset if given.shard else 0
        """The next order number: from the first one on, they count the nodes made in this run and those before it."""
        self.result: dict[str, LiteralValue] | None = None
        self.failure: ErrorDocument | None = None
        self._limit = given.limits.nodes
        self._records_ends = given.interpreter >= 2
        """Whether nodes that end otherwise than well are recorded at once."""
        self._records = records
        self._now = now
        self.root: Scope | None = None
        self.aborting = False
        """Whether the whole execution is to end."""
        self.deadlines: list[tuple[Scope, float]] = []
        """Scopes with a deadline that were opened, for `run` to watch."""
        self._deadline_s = given.request.deadline_s
        self._version = given.interpreter
        self.pausing = given.request.pause_on_failure and given.interpreter >= 3 and given.shard is None
        """Whether nodes that would fail for good are held."""

    def open(self, scope: Scope) -> None:
        """Add a scope and let its first nodes run.

        Raises:
            LimitExceeded: If the run would have too many nodes, or one nested too deeply; nothing was added.
        """
        scope.opened_at = self._now()
        places = list(scope.places())
        self._refuse_large(len(places), places[-1].path if places else "", scope)
        scope.first_order = self.made
        scope.states += [self._make(scope, place) for place in places]
        self.attach(scope)
        self._enqueue(scope, scope.first())
        self._close_if_done(scope)
        self.watch_deadline(scope)

    def watch_deadline(self, scope: Scope) -> None:
        """Have the deadline of an open workflow watched, if it has one."""
        if isinstance(scope, Body) and (limit := self._limit_of(scope)) and not scope.settled:
            self.deadlines.append((scope, limit))

    def _limit_of(self, scope: Body) -> float:
        """Return the deadline of a workflow in seconds; for the execution itself the nearer of its own and the request's."""
        limits = [scope.spec.timeout_s, self._deadline_s if scope.outer is None else 0.0]
        return min((limit for limit in limits if limit > 0), default=0.0) if self._version >= 3 else 0.0

    def _make(self, scope: Scope, place: Place) -> NodeState:
        state = NodeState(scope, place.node, place.path, self.made, place.index)
        self.made += 1
        self.add(state)
        return state

    def add(self, state: NodeState) -> None:
        """Hold a node."""
        if not state.is_shard:
            self.states.append(state)
        self.board.add(state)

    def attach(self, scope: Scope) -> None:
        """Give a scope its place."""
        if scope.outer is None:
            self.root = scope
        else:
            scope.outer.inner.append(scope)

    def fits(self, count: int) -> bool:
        """Return whether the run may have so many nodes more."""
        return len(self.states) + count <= self._limit

    def _refuse_large(self, count: int, path: str, scope: Scope) -> None:
        what = f"The node {scope.parent.path}" if scope.parent else "The execution"
        if len(self.states) + count > self._limit:
            raise LimitExceeded(
                f"{what} would bring the execution to {len(self.states) + count:,} nodes; at most {self._limit:,} are "
                "allowed in one. Let each item do more, or start launch plans."
            )
        if len(path) > PATH_BYTES:
            raise LimitExceeded(
                f"{what} nests its nodes so deeply that a path is longer than {PATH_BYTES} characters. Recurse less, or "
                "start a launch plan."
            )

    def _enqueue(self, scope: Scope, states: list[NodeState]) -> None:
        # What was asked for ahead is at work, or its end is about to be taken in.
        states = [state for state in states if not state.ahead and not state.phase.terminal]
        scope.active += len(states)
        for state in states:
            self._line(state).append(state)

    def begin(self, state: NodeState) -> None:
        """Note that a node is at work."""
        state.started_at = state.started_at or self._now()
        self.board.move(state, NodePhase.RUNNING)
        self.changed(state)

    def changed(self, state: NodeState) -> None:
        """Have a node's record written, unless its activity does so."""
        if not state.records_itself and not state.is_shard:
            self._records.changed(state)

    def _end_changed(self, state: NodeState) -> None:
        if self._records_ends and state.phase is not NodePhase.SUCCEEDED and not state.is_shard:
            self._records.changed(state)
        elif state.records_itself:
            self._records.ended(state)
        else:
            self.changed(state)

    def queue(self, state: NodeState) -> None:
        """Let a node that was begun go on as soon as the limits allow it."""
        self.board.move(state, NodePhase.QUEUED)
        self._line(state).append(state)

    def _line(self, state: NodeState) -> deque[NodeState]:
        limited = state.scope.holds_shards or isinstance(state.node.target, TaskTarget | LaunchPlanTarget)
        return self.ready if limited else self.ready_free

    def again(self, state: NodeState, error: ErrorDocument | None) -> None:
        """Let a node be tried once more."""
        if state.scope.failing or state.doom is not None:
            self.fail(state, state.doom or error)
        else:
            self.queue(state)

    def leave(self, state: NodeState, *, known: bool = True) -> None:
        """Take in that an activity ended without this node of its: it may start anew, once what it waits for has ended.

        Args:
            state: The node.
            known: Whether it is known that an attempt which has to wait never began; else the same one is asked for again.
        """
        waits = state.scope.left(state) > 0
        if state.scope.failing or (waits and known):
            if state.token:
                state.attempts -= 1
                state.tokens.remove(state.token)
                if not state.attempts:
                    state.started_at = None  # its time has not begun
            state.token = ""
        self.board.move(state, NodePhase.QUEUED)
        if state.scope.failing or waits:
            state.scope.active -= 1
            self._close_if_done(state.scope)
        else:
            self.ready.append(state)

    def succeed(
        self, state: NodeState, outputs: dict[str, LiteralValue], phase: NodePhase = NodePhase.SUCCEEDED
    ) -> None:
        """Take in that a node has ended well."""
        state.error = None
        if state.spec and state.memo is not None and state.source is None:
            self.to_store.append((state, outputs))
        ready = state.scope.after(state, outputs)
        if not state.scope.failing:
            self._enqueue(state.scope, ready)
        self._finish(state, phase)

    def skip(self, state: NodeState) -> None:
        """Take in that no case of a branch node holds: its outputs are none, what comes after it runs."""
        target = state.node.target
        names = [v.name for v in target.outputs] if isinstance(target, BranchTarget) else []
        none = Inline(value=None, type=NONE)
        self.succeed(state, dict.fromkeys(names, none), NodePhase.SKIPPED)

    def pass_over(self, scope: Scope) -> None:
        """Show the nodes of a branch's case that is not taken as SKIPPED."""
        for place in scope.places():
            state = self._make(scope, place)
            self.board.move(state, NodePhase.SKIPPED)
            self._records.changed(state)
            if isinstance(place.node.target, BranchTarget):
                for body in place.node.target.bodies():
                    self.pass_over(branch_body(body, state))

    def fail(self, state: NodeState, error: ErrorDocument | None) -> None:
        """Take in that a node has failed and is not tried again by itself: it is held, if that is wished, or ends."""
        if error is not None and self._holds(state, error):
            state.doom, state.error, state.reason = None, error, ""
            self.board.move(state, NodePhase.PAUSED)
            self._records.changed(state)
        else:
            self.give_up(state, error)

    def _holds(self, state: NodeState, error: ErrorDocument) -> bool:
        final = error.code in FINAL or state.is_shard
        if not self.pausing or self.aborting or state.scope.failing or final or in_handler(state):
            return False
        return not is_tolerated(state.scope)

    def resume(self, state: NodeState) -> None:
        """Let a held node run again."""
        self.queue(state)
        self._records.changed(state)

    def give_up(self, state: NodeState, error: ErrorDocument | None) -> None:
        """Take in that a node has failed for good."""
        scope = state.scope
        if error is not None:
            state.error = split(error)[0]
            scope.errors += split(error)
        following = scope.after(state, None)
        if scope.gives_up and not scope.failing:
            self.stop(scope)
        elif not scope.failing:
            self._enqueue(scope, following)
        handler = state.node.on_failure
        if handler is None or self.aborting or error is None or not isinstance(scope, Body):
            self._finish(state, NodePhase.FAILED)
            return
        try:
            self.open(handler_body(state, handler, scope.inputs_of(state), error))
        except (UserCodeError, LimitExceeded) as second:
            scope.errors.append(document_of(second, state.path))
            self._finish(state, NodePhase.FAILED)

    def shard_told(self, state: NodeState, failed: int) -> None:
        """Take in how many items of a shard that is under way have failed."""
        scope = state.scope
        if isinstance(scope, ShardedArray) and not scope.failing:
            scope.told(state, failed)
            self._shards_changed(scope)

    def shard_ended(self, state: NodeState, given: RunOutput) -> None:
        """Take in that all items of a shard have ended, as far as the map's tolerance lets them."""
        scope = state.scope
        if not isinstance(scope, ShardedArray):  # pragma: no cover - only such a scope has shards
            raise TypeError(f"{state.path} is no shard")
        stopped = given.shard is not None and given.shard.stopped
        state.source = given.shard.copied if given.shard is not None else None
        state.ran = state.source is None
        phase = NodePhase.SUCCEEDED if state.ran else NodePhase.RECOVERED
        scope.take(state, given)
        following = scope.after(state, given.outputs)
        self._shards_changed(scope)
        if not scope.failing:
            self._enqueue(scope, following)
        self._finish(state, NodePhase.ABORTED if stopped else phase)

    def _shards_changed(self, scope: ShardedArray) -> None:
        if scope.parent is not None:
            self.changed(scope.parent)
        if scope.gives_up and not scope.failing:
            self.stop(scope)

    def halt(self) -> None:
        """Stop what the run does, because the map that it is a shard of has failed; failure handlers go on."""
        if self.root is not None and not self.root.failing:
            self.stop(self.root)
            self._close_if_done(self.root)

    def condemn(self, scope: Scope, error: ErrorDocument) -> None:
        """Have a scope fail: what runs in it is stopped; its failure handlers act as after any failure."""
        scope.condemned = True
        scope.errors.insert(0, error)
        if not scope.failing:
            self.stop(scope)
        self._close_if_done(scope)

    def doom(self, state: NodeState, error: ErrorDocument) -> None:
        """Have a node that has not ended fail for good, as soon as what it runs has been stopped."""
        state.doom = error
        if inner := at_work_for(state):
            for scope in inner:
                self.condemn(scope, error)
        elif state.phase in AT_WORK:
            self.to_cancel.append(state)
        else:
            queue = self.ready if state in self.ready else self.ready_free
            if state in queue:
                queue.remove(state)
            elif not self.forming.remove(state):
                state.scope.active += 1  # it had not come to its turn
            if state.token:
                self._prove(state)
            else:
                self.fail(state, error)

    def abort(self, state: NodeState) -> None:
        """Take in that a node has ended because it was asked to."""
        if state.doom is not None:
            self.fail(state, state.doom)
            return
        if not state.scope.failing:
            state.scope.after(state, None)
        self._finish(state, NodePhase.ABORTED)

    def _finish(self, state: NodeState, phase: NodePhase) -> None:
        self.board.move(state, phase)
        if state.bodiless:
            state.ran = phase not in {NodePhase.RECOVERED, NodePhase.SKIPPED} or bool(state.repairs)
        state.finished_at = self._now()
        self._end_changed(state)
        state.scope.active -= 1
        self._close_if_done(state.scope)

    def _close_if_done(self, scope: Scope) -> None:
        if not scope.active and not scope.settled:
            self._prove_left(scope)
        if scope.active or scope.settled:
            return
        scope.settled = True
        if self._version >= 3 and scope.failing and not scope.failed and not scope.condemned:
            # Asked to stop, and faster than that: what its nodes gave is there.
            scope.failing = any(not s.phase.terminal or s.phase is NodePhase.ABORTED for s in scope.states)
        for state in scope.states:
            if not state.phase.terminal:
                self.board.move(state, NodePhase.SKIPPED)
                self._end_changed(state)
        if not scope.failed and not scope.failing:
            try:
                scope.given = scope.results()
            except UserCodeError as error:
                scope.errors.append(document_of(error, scope.parent.path if scope.parent else ""))
        if isinstance(scope, Body):
            scope.sort_errors()
        if not self._handled(scope):
            self._close(scope)

    def _handled(self, scope: Scope) -> bool:
        """Start a workflow's failure handler, if it has one and has failed; return whether it was started."""
        if scope.on_failure is None or not scope.failed or self.aborting or not isinstance(scope, Body):
            return False
        try:
            self.open(handler_body(scope, scope.on_failure, scope.inputs, scope.errors[0]))
        except (UserCodeError, LimitExceeded) as error:
            scope.errors.append(document_of(error, scope.parent.path if scope.parent else ""))
            return False
        return True

    def _close(self, scope: Scope) -> None:
        scope.closed = True
        if scope.parent is not None and scope.handles is None:
            scope.parent.ran = scope.parent.attempts > 0 or scope.ran
        if isinstance(scope.handles, NodeState):
            self._finish(scope.handles, NodePhase.FAILED)
        elif scope.handles is not None:
            self._close(scope.handles)
        elif scope.parent is None:
            self.failure = gathered(scope.errors) if scope.failed and scope.errors else None
            self.result = scope.given
        elif (scope.failed or scope.condemned) and scope.errors:
            self.give_up(scope.parent, gathered(scope.errors))
        elif scope.failing and (self.aborting or scope.parent.scope.failing or scope.parent.doom is not None):
            self.abort(scope.parent)
        elif scope.failing:
            self.give_up(scope.parent, ended_outside(scope.parent.path))
        else:
            self.succeed(scope.parent, scope.given, phase_of(scope))

    def stop(self, scope: Scope) -> None:
        """Let nothing new start in a scope and below it, and have cancelled what runs; failure handlers go on."""
        stopped = {
            id(each): each
            for each in scope.tree()
            if each is scope or self.aborting or not is_handled(each, scope)
        }
        for each in stopped.values():
            each.failing = True
        dropped = [s for queue in (self.ready, self.ready_free) for s in queue if id(s.scope) in stopped]
        dropped += self.forming.drop(stopped.keys())
        if dropped:
            self.ready = deque(s for s in self.ready if id(s.scope) not in stopped)
            self.ready_free = deque(s for s in self.ready_free if id(s.scope) not in stopped)
        for each in stopped.values():
            self.to_cancel.extend(s for s in each.states if s.phase in AT_WORK)
        for state in dropped:
            if state.token:
                self._prove(state)
            else:
                state.scope.active -= 1
        for each in stopped.values():
            self._prove_left(each)
        for each in reversed(stopped.values()):
            if each is not scope and not each.active:
                self._close_if_done(each)

    def _prove_left(self, scope: Scope) -> None:
        """Have attempts end that may be at work although their nodes wait for others again, and so are in no queue."""
        for state in scope.states:
            if state.token and state.phase is NodePhase.QUEUED:
                scope.active += 1
                self._prove(state)

    def _prove(self, state: NodeState) -> None:
        self.board.move(state, NodePhase.RUNNING)
        self.to_prove.append(state)

    def stop_all(self) -> None:
        """Stop everything, failure handlers too, because the execution was aborted."""
        self.aborting = True
        if self.root is not None:
            self.stop(self.root)
            self._close_if_done(self.root)

    def mark_rest(self) -> None:
        """Give a final state to whatever has none, once nothing runs any more."""
        for state in self.states:
            if not state.phase.terminal:
                running = state.phase is NodePhase.RUNNING
                self.board.move(state, NodePhase.ABORTED if running else NodePhase.SKIPPED)
                self._records.changed(state)
