"""Repair of a run in place: nodes that are held instead of failing, and the pause of a whole run.

Called by the interpreter's updates `retry`, `skip`, `fail`, `pause` and `resume`, and by the loop of `run`. A held node is
one of phase PAUSED; nothing else says so, and nothing runs for it (docs/decisions/0048).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from flyte_temporal.errors import Conflict, InvalidInputs, NotFound
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRequest, Fix, NodePhase, Repair
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import GateTarget, TaskTarget
from flyte_temporal.spec.policies import Resources
from flyte_temporal.spec.repairs import (
    CHILD_PAUSED,
    ChildPause,
    GiveUp,
    HeldNode,
    NodeRetry,
    NodeSkip,
    Pause,
    RepairState,
)
from flyte_temporal.spec.search import PHASE
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.retries import Budget
from flyte_temporal.workflows.scope import NodeState, Stage, around
from flyte_temporal.workflows.sharded import ShardedArray
from flyte_temporal.workflows.telling import Telling, tell
from flyte_temporal.workflows.tree import Tree
from flyte_temporal.workflows.versions import upgrade_is_wanted

_PHASE = SearchAttributeKey.for_keyword(PHASE)
_SHOWN = 20


class Repairs:
    """What is held in a run, and whether it is paused.

    Args:
        tree: Its nodes.
        inbox: Where ends go.
        fixes: Where fixed code goes.
        gates: Forget the answer of a gate that is asked once more.
        telling: Sends messages to the execution that started this one.
        request: The request.
    """

    def __init__(
        self,
        tree: Tree,
        inbox: Inbox,
        fixes: Fixes,
        gates: Gates,
        telling: Telling,
        request: ExecutionRequest,
    ) -> None:
        self._request = request
        self._telling = telling
        self._tree = tree
        self._inbox = inbox
        self._fixes = fixes
        self._gates = gates
        self._execution = request.id.name
        self.pause: Pause | None = None
        self._told = False
        """Whether the execution that started this one was told last that it waits."""
        self.waiting: dict[str, str] = {}
        """Executions that this one has started and that wait to be repaired, by the paths of their nodes."""
        self.passed_on: Callable[[Pause], None] = lambda _pause: None
        """Tells the executions that this one has started."""
        self.mended: Callable[[Fix], None] = lambda _fix: None
        """Tells the shards that are under way."""

    @property
    def held(self) -> list[NodeState]:
        """Return the nodes that wait to be repaired."""
        return [state for state in self._tree.board.held if not state.scope.failing]

    @property
    def paused(self) -> bool:
        """Return whether nothing new may start."""
        return self.pause is not None and not self._tree.aborting

    @property
    def waits(self) -> bool:
        """Return whether the run waits for somebody."""
        return self.paused or (self._tree.board.holds and bool(self.held))

    @property
    def phase(self) -> ExecutionPhase:
        """Return the phase of the execution while it is not over."""
        return ExecutionPhase.PAUSED if self.waits or self.waiting else ExecutionPhase.RUNNING

    def show(self, records: Records) -> None:
        """Make known that the phase has changed, if it has: to the store, to Temporal, and to who started the execution."""
        self._tree.board.notice = self._notice()
        changed = self.phase is not records.phase
        if changed:
            records.enter(self.phase)
        if not records.whole:
            return  # a shard's phase is no execution's
        if changed:
            workflow.upsert_search_attributes([_PHASE.value_set(self.phase.value)])
        if changed or self._told is not (self.phase is ExecutionPhase.PAUSED):
            self._tell_parent()

    def take_over(self, snapshot: Snapshot, records: Records) -> None:
        """Go on from what the run before has handed over."""
        self.pause, self.waiting = snapshot.pause, dict(snapshot.waiting)
        self._fixes.take_over(snapshot.fixes)
        self._tree.pausing = self._tree.pausing and not snapshot.given_up
        records.phase = records.known = snapshot.phase
        self._told = _usually_told(snapshot) if snapshot.told is None else snapshot.told

    def hand_over(self, snapshot: Snapshot, records: Records) -> Snapshot:
        """Return a snapshot with what the next run must know of this."""
        taken = snapshot.model_copy(
            update={
                "pause": self.pause,
                "waiting": dict(self.waiting),
                "fixes": self._fixes.all,
                "given_up": self._request.pause_on_failure and not self._tree.pausing,
                "phase": records.known,
            }
        )
        known = _usually_told(taken) is self._told
        return taken if known else taken.model_copy(update={"told": self._told})

    def _tell_parent(self) -> None:
        parent = self._request.parent
        if parent is None or (self.pause is not None and self.pause.by_parent):
            return  # it is paused itself; what else there is to tell it hears when it goes on
        self._told = self.phase is ExecutionPhase.PAUSED
        news = ChildPause(node=parent.node, child=self._execution, paused=self._told)
        self._telling.soon(tell(parent.execution, CHILD_PAUSED, news))

    def heard(self, news: ChildPause) -> None:
        """Take in that an execution which this one has started waits to be repaired, or does not any more."""
        if not news.paused:
            self.waiting.pop(news.node, None)
        elif not self._is_stale(news):
            self.waiting[news.node] = news.child
        self._inbox.wake()

    def _is_stale(self, news: ChildPause) -> bool:
        """Return whether news are of an execution that is over: then nobody would take them back.

        They may be late, and after a reset Temporal delivers again what was told before it. Those of a node that has started
        nothing yet are kept: an execution that is at work is taken up then, and does not tell once more.
        """
        for state in self._tree.states:
            if state.path == news.node:
                return state.phase.terminal or state.child not in {"", news.child}
        scopes = self._tree.root.tree() if self._tree.root is not None else ()
        shards = (each.holder(news.node) for each in scopes if isinstance(each, ShardedArray))
        return any(shard is not None and shard.phase.terminal for shard in shards)

    def replaced(self, state: NodeState) -> None:
        """Note that a node starts another execution than that of which this run may have heard."""
        self.waiting.pop(state.path, None)

    def ended(self, state: NodeState) -> None:
        """Note that a node has ended, or a shard, whose items' executions tell this run."""
        self.waiting.pop(state.path, None)
        scope = state.scope
        if isinstance(scope, ShardedArray):
            for path in [path for path in self.waiting if scope.holder(path) is state]:
                del self.waiting[path]

    def _notice(self) -> str:
        id_ = self._execution
        if self.paused and self.pause is not None:
            by = f" by {self.pause.by}" if self.pause.by else ""
            why = f": {self.pause.reason}" if self.pause.reason else ""
            return f"**PAUSED**{by}{why}. Go on: `flyte-temporal resume {id_}`"
        held = self.held if self._tree.board.holds else []
        if not held:
            children = ", ".join(self.waiting.values())
            return f"**PAUSED**: to be repaired in {children}" if children else ""
        first = shlex.quote(held[0].path)
        return (
            f"**PAUSED**: {_listed(held)} failed. Try again: `flyte-temporal retry {id_} {first}` (with fixed code: "
            f"`--with-code FILE`), go on without: `flyte-temporal skip {id_} {first} --output NAME=VALUE`, give up: "
            f"`flyte-temporal fail {id_}`"
        )

    def state(self, touched: tuple[str, ...] = ()) -> RepairState:
        """Return what waits for somebody."""
        return RepairState(
            phase=self.phase,
            pause=self.pause,
            children=tuple(self.waiting.values()),
            held=tuple(_held(state) for state in self.held),
            touched=touched,
        )

    def find(self, wanted: str) -> list[NodeState]:
        """Return the held nodes that a path or a name stands for: itself, or all that it holds; empty = all.

        Raises:
            NotFound: If there is no such node.
            Conflict: If it is there but not held, and holds none that is.
        """
        held = self.held
        if not wanted and not held:
            raise Conflict("No node is held: nothing waits to be repaired.")
        exact = [s for s in held if s.path == wanted] or [s for s in held if s.name == wanted]
        if exact or not wanted:
            return exact or held
        named = [s for s in self._tree.states if s.path == wanted] or [
            s for s in self._tree.states if s.name == wanted
        ]
        inside = [s for s in held if any(s.path.startswith((f"{n.path}.", f"{n.path}[")) for n in named)]
        if inside:
            return inside
        known = f"Held nodes: {_listed(held) or 'none'}."
        if not named:
            raise NotFound(f"The execution has reached no node {wanted!r}. {known}")
        state = named[0]
        child = (
            f" It runs the execution {state.child}, whose nodes are repaired there." if state.child else ""
        )
        raise Conflict(
            f"The node {state.path} ({state.name}) is not held: it is {state.phase.value}.{child} {known}"
        )

    def check_retry(self, request: NodeRetry) -> list[NodeState]:
        """Return the nodes of a retry; raises as `find`, and InvalidInputs if the code does not fit them."""
        found = self.find(request.node)
        if request.fix is None:
            return found
        for state in found:
            target = state.node.target
            if isinstance(target, TaskTarget) and not self._fixes.mends(request.fix, state):
                has = target.task in request.fix.tasks
                what = "has another interface there" if has else "is not in that code"
                raise InvalidInputs(
                    f"The task {target.task} of node {state.path} {what}; a run goes on only with a task that takes and "
                    "gives the same. To run a changed DAG: flyte-temporal recover."
                )
        return found

    def retry(self, request: NodeRetry) -> RepairState:
        """Let held nodes run again, with a fresh budget; raises as `check_retry`."""
        states = self.check_retry(request)
        now, fix = workflow.now(), request.fix
        if fix is not None:
            only = tuple(s.path for s in states) if request.only_these else ()
            self.mend(fix.model_copy(update={"only": only, "by": request.by, "at": now}))
        for state in states:
            state.budget = Budget()
            state.fresh_from, state.fresh_since = state.attempts, now
            if request.resources is not None:
                state.resources = (state.resources or Resources()).changed_by(request.resources)
            if state.resources is not None:
                state.budget.memory = state.resources.limits.mem
            self._note(state, "retry", request.by, _with(request))
            if fix is not None and self._fixes.mends(fix, state):
                state.repairs[-1] = state.repairs[-1].model_copy(update={"spec": fix.spec})
            state.spec, state.due, state.child_started, state.stage = "", None, False, Stage.NEW
            if isinstance(state.node.target, GateTarget):
                self._gates.forget(state)
            self._inbox.revive(state)
            self._tree.resume(state)
        self._inbox.wake()
        return self.state(tuple(s.path for s in states))

    def mend(self, fix: Fix) -> None:
        """Run attempts that start from now on with fixed code, in shards too."""
        self._fixes.add(fix)
        if not fix.only:
            self.mended(fix)
        self._inbox.wake()

    def check_skip(self, request: NodeSkip) -> NodeState:
        """Return the node of a skip.

        Raises:
            NotFound: As for `find`.
            Conflict: As for `find`, or if several held nodes are meant.
            InvalidInputs: If outputs are missing or unknown.
        """
        found = self.find(request.node) if request.node else []
        if len(found) != 1:
            raise Conflict(f"Several held nodes are meant: {_listed(found)}. Give the path of one of them.")
        state = found[0]
        wanted = [v.name for v in _outputs(state).outputs]
        unknown = [name for name in request.outputs if name not in wanted]
        missing = [name for name in wanted if name not in request.outputs]
        if unknown or missing:
            wrong = f"has no output {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
            raise InvalidInputs(
                f"The node {state.path} ({state.name}) {wrong}. Its outputs: {', '.join(wanted) or 'none'}."
            )
        return state

    def check_skip_asked(self, request: NodeSkip) -> None:
        """Refuse a skip that names what holds the node, not the node: its outputs are those of something else.

        Only what is newly asked for is refused so; a history may hold such a skip.

        Raises:
            NotFound: As for `find`.
            Conflict: As for `check_skip`, or if the node that is named is not held itself.
            InvalidInputs: As for `check_skip`.
        """
        state = self.check_skip(request)
        request.require_named((state.path, state.name))

    def skip(self, request: NodeSkip) -> RepairState:
        """End a held node with outputs that somebody gives; raises as `check_skip`."""
        state = self.check_skip(request)
        self._note(state, "skip", request.by, f"gave {', '.join(request.outputs)}" if request.outputs else "")
        # What somebody typed is not to be remembered as what the task gives.
        state.spec, state.memo = "", None
        for outer in around(state):
            outer.memo = None
        self._tree.succeed(state, dict(request.outputs), NodePhase.SKIPPED)
        self._inbox.wake()
        return self.state((state.path,))

    def check_fail(self, _request: GiveUp) -> None:
        """Raise Conflict if nothing is held."""
        if not self.held:
            raise Conflict(
                f"No node is held, so there is nothing to give up. To stop the execution: flyte-temporal abort "
                f"{self._execution}."
            )

    def fail(self, request: GiveUp) -> RepairState:
        """Let all held nodes fail, and from now on every other one that does; raises as `check_fail`."""
        self.check_fail(request)
        states = self.held
        self._tree.pausing = False
        if self.pause is not None:
            self.resume()
        for state in states:
            self._note(state, "fail", request.by, request.reason)
            self.let_go(state)
        return self.state(tuple(s.path for s in states))

    def let_go(self, state: NodeState) -> bool:
        """Let a held node fail because it is asked to end; return whether it is held."""
        if state.phase is not NodePhase.PAUSED:
            return False
        self._inbox.push(Ended(state, error=state.error))
        return True

    @property
    def pause_below(self) -> Pause | None:
        """Return the pause as the executions see it that this one has started: it ends with the one here."""
        return self.pause.model_copy(update={"by_parent": True}) if self.pause is not None else None

    def follow(self, pause: Pause) -> None:
        """Do as the execution that started this one does; a pause of its own is not lifted with that one's."""
        if not pause.ends:
            self.hold_back(pause)
        elif self.pause is not None and self.pause.by_parent:
            self.resume()

    def hold_back(self, pause: Pause) -> RepairState:
        """Let nothing new start; nothing changes if that is so already, except that it was paused with its parent alone."""
        if self.pause is None or (self.pause.by_parent and not pause.by_parent):
            self.pause = pause.model_copy(update={"at": workflow.now()})
            self.passed_on(self.pause.model_copy(update={"by_parent": True}))
            self._inbox.wake()
        self._look()
        return self.state()

    def resume(self) -> RepairState:
        """Let new nodes start again; nothing changes if they may."""
        if self.pause is not None:
            self.pause = None
            self.passed_on(Pause(ends=True, by_parent=True))
            self._inbox.wake()
        self._look()
        return self.state()

    def _look(self) -> None:
        """Have a run in which nothing happens go over to a newer build, if there is one: it looks when it is woken."""
        if upgrade_is_wanted():
            self._inbox.wake()

    @staticmethod
    def _note(state: NodeState, kind: str, by: str, note: str) -> None:
        state.repairs.append(
            Repair.model_validate({"kind": kind, "by": by, "at": workflow.now(), "note": note})
        )


def _usually_told(snapshot: Snapshot) -> bool:
    """Return whether the parent of a run knows that it waits, unless its snapshot says otherwise."""
    by_parent = snapshot.pause is not None and snapshot.pause.by_parent
    return snapshot.phase is ExecutionPhase.PAUSED and not by_parent


def _with(request: NodeRetry) -> str:
    """Return in words with what a node is tried again."""
    said = ["fixed code"] if request.fix is not None else []
    if request.resources is not None:
        limits = request.resources.limits
        said += [f"{name}={value}" for name, value in limits if value]
    return ", ".join(said)


def _outputs(state: NodeState) -> Interface:
    return Interface(outputs=state.scope.program.interface_of(state.node.target).outputs)


def _held(state: NodeState) -> HeldNode:
    target = state.node.target
    return HeldNode(
        node=state.path,
        name=state.name,
        task=target.task if isinstance(target, TaskTarget) else "",
        attempts=state.attempts,
        error=state.error,
        outputs=_outputs(state),
    )


def _listed(states: list[NodeState]) -> str:
    more = f" and {len(states) - _SHOWN} more" if len(states) > _SHOWN else ""
    return ", ".join(f"{s.path} ({s.name})" for s in states[:_SHOWN]) + more
