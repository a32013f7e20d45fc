"""One execution: the loop that starts what is ready and takes in what has ended.

It is event-driven; what bounds an activation is in `starting`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import ActivityError

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase
from flyte_temporal.spec.repairs import Pause
from flyte_temporal.spec.runs import RunInput, RunOutput
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.workflows.aborts import Aborts
from flyte_temporal.workflows.arrays import Array
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.batches import Batches
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.children import Children
from flyte_temporal.workflows.deadlines import Deadlines
from flyte_temporal.workflows.details import ending
from flyte_temporal.workflows.failures import document_of, was_cancelled
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Inbox, pause
from flyte_temporal.workflows.leaving import Leaving
from flyte_temporal.workflows.lookups import Lookups
from flyte_temporal.workflows.openings import Openings
from flyte_temporal.workflows.own_shard import OwnShard
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.reads import Reads, load
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.repairs import Repairs
from flyte_temporal.workflows.restoring import Restoring, programs_of
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.shards import Shards
from flyte_temporal.workflows.snapshots import take
from flyte_temporal.workflows.starting import Starting
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.stores import Stores
from flyte_temporal.workflows.taking import Taking
from flyte_temporal.workflows.telling import Telling
from flyte_temporal.workflows.tree import Tree
from flyte_temporal.workflows.window import OPENED, Window

HELD_BACK = 1_000
"""Changes of nodes that are not written while answers of the cache come in, which they do within milliseconds: a chain of
hits would else pay a write for each of its nodes, and again for all at the end."""


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
        shard = given.shard
        self.records = Records(given, self.states, self._began)
        self._program = Program(closure, shard.spec if shard else given.request.spec)
        self._tree = Tree(given, self.records, self.states, workflow.now)
        self._tree.board.namespace = workflow.info().namespace
        self._inbox = Inbox()
        fixes = Fixes(given.request, self._began)
        attempts = Attempts(given, self._inbox, self._tree.forming, self.records.changed, fixes)
        self._batches = Batches(given, self._inbox, attempts, self._tree)
        recovering = Recovering(given.request.recover)
        self._telling = Telling(self._inbox.wake)
        self._children = Children(given, self._inbox, recovering, fixes, self._telling)
        self.lookups = Lookups(given, self._inbox, recovering, fixes)
        self._stores = Stores(given.request.id, self._inbox)
        self.shards = Shards(given, self._inbox, fixes, self._telling)
        self._own = OwnShard(shard, self._program, self._inbox) if shard else None
        self._stops = Stops(given, self._inbox)
        self._deadlines = Deadlines(self._inbox.wake)
        planned = None if shard else self._program
        self.gates = Gates(planned, self._inbox, given.request.id.name, self._started)
        self.repairs = Repairs(self._tree, self._inbox, fixes, self.gates, self._telling, given.request)
        self.repairs.passed_on, self.repairs.mended = self._pass_on, self.shards.mend
        self._children.renamed = self._renamed
        self.aborts = Aborts(self._tree, self._inbox, self.states)
        window = Window(given.limits.window, self._tree)
        openings = Openings(given, self._tree, self.gates, Reads(self._inbox), window)
        self._taking = Taking(
            self._tree, openings, self.lookups, self.repairs, self._stops, self.records, self.gates
        )
        self._leaving = Leaving(given, self._inbox)
        self._loading: asyncio.Task[dict[str, Program]] | None = None
        self._starting = Starting(
            given=given,
            program=self._program,
            tree=self._tree,
            inbox=self._inbox,
            window=window,
            leaving=self._leaving,
            stops=self._stops,
            deadlines=self._deadlines,
            fixes=fixes,
            recovering=recovering,
            lookups=self.lookups,
            repairs=self.repairs,
            gates=self.gates,
            openings=openings,
            attempts=attempts,
            batches=self._batches,
            children=self._children,
            shards=self.shards,
        )
        self.restored = snapshot is None
        """Whether what an earlier run handed over is in place: before, messages have to wait."""
        if snapshot is not None:
            self.gates.take_over(snapshot.gates)
            self.records.take_over(snapshot.records)
            self.repairs.take_over(snapshot, self.records)
            self._telling.pause = self.repairs.pause_below

    def _started(self) -> list[str]:
        return [state.child for state in self.states if state.child]

    def _pass_on(self, pause: Pause) -> None:
        shards = (s for each in self._tree.root.tree() for s in each.states) if self._tree.root else ()
        self._children.pass_on(pause, [*self.states, *(s for s in shards if s.is_shard)])

    def _renamed(self, state: NodeState) -> None:
        self.repairs.replaced(state)
        self._tree.changed(state)
        self._inbox.wake()

    async def execute(self) -> RunOutput:
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
        results = self._tree.result
        if results is None:
            # Never by a spec: an end was lost. The workflow task fails, instead of the run ending without its outputs.
            raise RuntimeError("Nothing is under way any more, and the execution has not ended.")
        if self._own is None:
            return RunOutput(outputs=results)
        with self._failing():
            return await self._own.output(results)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn what is wrong with the whole of a run into its failure."""
        try:
            yield
        except (FlyteTemporalError, ActivityError) as error:
            if was_cancelled(error):
                raise asyncio.CancelledError from error
            where = self.given.shard.path if self.given.shard else ""
            raise RunFailed(document_of(error, where)) from error

    @property
    def rejoined(self) -> bool:
        """Return whether all that an earlier run had under way is watched again, so that news of it find their way."""
        return self.restored and not self._starting.resuming

    def stop(self) -> None:
        """Stop the items of a shard, because the map has failed."""
        if self._own is not None:
            self._own.stopped = True
            self._tree.halt()
            self._inbox.wake()

    def shard_failed(self, failed: calls.ShardFailed) -> None:
        """Take in that items of a shard have failed."""
        state = self.shards.find(failed)
        if state is not None:
            self._tree.shard_told(state, failed.failed)
            self._inbox.wake()

    async def _begin(self) -> None:
        if self._snapshot is not None:
            self._loading = asyncio.create_task(self._load(self._snapshot))
            # If the execution is aborted now, it is restored first, and then stopped.
            self._restore(await asyncio.shield(self._loading))
            return
        await self._breathe()
        with self._failing():
            if self._own is None:
                main = self._program.main
                self._tree.open(workflow_body(self._program, main, dict(self.given.request.inputs), None))
                return
            self._tree.open(await self._own.open())
            if self._own.stopped:
                self._tree.halt()

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
        self._starting.resuming.extend(Restoring(self._snapshot, self._tree, programs).restore())
        self._leaving.resumed(len(self._starting.resuming))
        if self._own is not None and isinstance(self._tree.root, Array):
            self._own.resume(self._tree.root)
        for state in self.states:
            self._deadlines.watch_node(state)
        self.restored = True

    def _has_work(self) -> bool:
        tree = self._tree
        return bool(
            tree.ready
            or tree.ready_free
            or tree.forming
            or tree.to_store
            or tree.to_prove
            or self._starting.resuming
        ) or bool(self._inbox.open or tree.board.holds)

    def show_end(self, phase: ExecutionPhase, reason: str) -> None:
        """Show in the current details how the run has ended."""
        workflow.set_current_details(self._tree.board.markdown(ending(phase, reason)))

    async def _drive(self) -> None:
        tree, inbox = self._tree, self._inbox
        while self._has_work():
            self._starting.dispatch()
            self.repairs.show(self.records)
            self.lookups.flush()
            self._stores.flush(tree.to_store)
            if not self.lookups.busy or self.records.waiting >= HELD_BACK:
                self.records.flush()
            workflow.set_current_details(tree.board.markdown())
            if self._starting.held_up() or (tree.forming.wonders and not self.repairs.paused):
                inbox.wake_soon()
            elif not (inbox.open or self._leaving.waits or self.repairs.waits or self._held_back()):
                continue
            elif tree.forming.on:
                inbox.wake_never()
            self._watch_deadlines()
            ended = await inbox.ended()
            for each in ended:
                self._taking.take(each)
            if self._own is not None:
                self._own.tell()
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

    def _held_back(self) -> bool:
        """Return whether nothing new starts before this run is continued; then see that something wakes it.

        Else it would turn without end: a message that arrives, or the next look for a moment in which it may be continued.
        """
        if not self._leaving.overdue:
            return False
        if self._telling.all_arrived():
            self._leaving.look_later()
        return True

    def _may_leave(self) -> bool:
        """Return whether all is taken over, and something is left to hand over."""
        root = self._tree.root
        # A batch is over within a moment; to ask for its members one by one would cost more than to wait for it.
        busy = bool(self._tree.to_store) or self._stores.busy or self._batches.busy
        held_up = bool(self._starting.resuming) or busy or not self._telling.all_arrived()
        return not held_up and root is not None and not root.closed

    def _taken(self) -> Snapshot:
        stopping = self._stops.stopping(self._tree)
        runs = (self._snapshot.runs if self._snapshot else 0) + 1
        taken = take(self._tree, self.gates, self.records, stopping, self._began, runs)
        return self.repairs.hand_over(taken, self.records)

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
