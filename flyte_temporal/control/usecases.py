"""`Control`: what can be asked of the platform, each use case one method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

from flyte_temporal.config.settings import Settings
from flyte_temporal.control.caching import Caching
from flyte_temporal.control.closures import Closures
from flyte_temporal.control.documents import (
    LogLine,
    LogNews,
    RecoverRequest,
    RecoveryPlan,
    StartRequest,
    Update,
    new_execution_id,
)
from flyte_temporal.control.endings import Endings
from flyte_temporal.control.following import Followers, Sources
from flyte_temporal.control.gates import check_value
from flyte_temporal.control.launching import Launching
from flyte_temporal.control.listing import Listing
from flyte_temporal.control.logs import Tail, with_attempt
from flyte_temporal.control.plan import check_plan
from flyte_temporal.control.reconciling import Reconciler
from flyte_temporal.control.recovering import Recoveries
from flyte_temporal.control.repairing import Repairing
from flyte_temporal.control.requests import complete_inputs, default_version
from flyte_temporal.control.serving import Serving
from flyte_temporal.control.tailing import Tailing, Wanted
from flyte_temporal.errors import Conflict, NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.catalog import Catalog
from flyte_temporal.ports.clock import Clock
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.calls import GateAnswer, GateState, NodeAbort
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord, ExecutionRequest, NodeRecord
from flyte_temporal.spec.identifiers import EntityId, ExecutionId
from flyte_temporal.spec.listing import ALL, NodeFilter
from flyte_temporal.spec.uploads import UploadRequest, UploadTicket

_TOLD_AT_ONCE = 200
"""Runs that are freed of a dead worker one by one; about a millisecond each."""


@dataclass(frozen=True)
class Ports:
    """The outside things that the use cases need."""

    engine: Engine
    store: MetadataStore
    blobs: BlobStore
    clock: Clock
    catalog: Catalog


class Control:
    """The use cases. Lives on one event loop; the synchronous ports are called in threads.

    Args:
        ports: Engine, metadata store, blob store, clock.
        settings: Limits and defaults.
    """

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._settings = settings
        self.caching = Caching(ports.catalog, ports.clock)
        self._closures = Closures(ports.blobs, ports.store, ports.clock, settings.limits)
        self._listing = Listing(ports.store, self._closures)
        self._endings = Endings(ports.engine, ports.store, ports.clock)
        self._launching = Launching(ports.engine, ports.store, self._endings, settings.run_limits())
        self._reconciler = Reconciler(
            ports.engine, ports.store, self._closures, self._launching, self._endings
        )
        self._recoveries = Recoveries(ports.store, ports.blobs, self._closures, settings.limits)
        self.repairing = Repairing(ports.engine, ports.store, self._closures, settings.owner)
        self._serving = Serving(ports.engine, ports.store, settings.clusters)
        self._tailing = Tailing(self.get, self._listing, ports.blobs)
        self._followers = Followers(Sources(ports.engine, self.get, self._nodes_of, self._endings.write))

    async def register(self, closure: Closure, project: str, domain: str, version: str) -> EntityId:
        """Store a closure under its digest and make it the content of a version.

        Raises:
            Conflict: If the version is registered with other content.
            LimitExceeded: If it is too large.
            UnsupportedSpec: If this release cannot run it.
            PlatformError: If a store failed.
        """
        entity = EntityId(
            kind=closure.root.kind, project=project, domain=domain, name=closure.root.name, version=version
        )
        await asyncio.to_thread(self._closures.register, entity, closure)
        return entity

    def upload(self, wanted: UploadRequest) -> UploadTicket:
        """Return where somebody without credentials may put a file, for a while, and the address that it then has.

        Raises:
            PlatformError: If the store failed.
        """
        blobs, key = self._ports.blobs, keys.blob(wanted.sha256)
        stored = blobs.head(key)
        there = stored is not None and stored.size == wanted.size
        return UploadTicket(
            uri=blobs.uri(key), stored=there, upload=None if there else blobs.presign(key, wanted)
        )

    async def start(self, wish: StartRequest) -> ExecutionRecord:
        """Start an execution, or attach to the one that the same request started before.

        The record is written first, then the engine is asked: what was accepted is started in the end, even if this
        process or Temporal dies in between (`reconcile`).

        Raises:
            BadRequest: If anything about the request is wrong; nothing was started.
            PlatformError: If a store failed; asking again with the same id is safe.
        """
        execution = self._execution(wish)
        await self._serving.check(execution, wish.environment)
        record = await asyncio.to_thread(self._accept, wish, execution)
        if not record.phase.terminal:
            await self._launching.launch(record, wish.closure)
        return record

    async def plan_recovery(self, wanted: RecoverRequest) -> RecoveryPlan:
        """Return what `recover` would copy and run; nothing is started.

        Raises:
            BadRequest: As for `recover`.
            PlatformError: If a store failed.
        """
        source = await self.get(wanted.source)
        return await asyncio.to_thread(self._recoveries.preview, wanted, source)

    async def recover(self, wanted: RecoverRequest) -> ExecutionRecord:
        """Start an execution that copies what an earlier one has done as far as that still stands, and runs the rest.

        Raises:
            NotFound: If there is no such execution, or no node of a name that is given.
            Conflict: If the earlier execution is not over, or nodes that ran with fixed code would run again without it.
            BadRequest: If anything else about the request is wrong; nothing was started.
            PlatformError: If a store failed; asking again with the same id is safe.
        """
        source = await self.get(wanted.source)
        return await self.start(await asyncio.to_thread(self._recoveries.checked, wanted, source))

    def _execution(self, wish: StartRequest) -> ExecutionId:
        return ExecutionId(
            project=wish.project or self._settings.project,
            domain=wish.domain or self._settings.domain,
            name=wish.execution_id or new_execution_id(wish.closure.root.name),
        )

    def _accept(self, wish: StartRequest, execution: ExecutionId) -> ExecutionRecord:
        closure = wish.closure
        # Before its inputs are looked at: a closure that does not hold together has no interface to speak of.
        check_plan(closure, self._settings.limits.max_nodes)
        inputs = complete_inputs(closure, wish.inputs, self._settings.limits)
        version = wish.version or default_version(closure, wish.environment)
        entity = EntityId(
            kind=closure.root.kind,
            project=execution.project,
            domain=execution.domain,
            name=closure.root.name,
            version=version,
        )
        request = ExecutionRequest(
            id=execution,
            root=closure.root,
            version=version,
            spec=self._closures.register(entity, closure),
            inputs=inputs,
            environment=wish.environment,
            requested_by=wish.requested_by or self._settings.owner,
            labels=wish.labels,
            overwrite_cache=wish.overwrite_cache or _overwrites(closure),
            no_cache=wish.no_cache,
            max_parallelism=wish.max_parallelism,
            recover=wish.recover,
            deadline_s=wish.deadline_s,
            pause_on_failure=wish.pause_on_failure or _pauses(closure),
        )
        return self._ports.store.create_execution(request, self._ports.clock.now())

    async def get(self, execution: ExecutionId) -> ExecutionRecord:
        """Return an execution.

        Raises:
            NotFound: If there is none of that id.
        """
        record = await asyncio.to_thread(self._ports.store.execution, execution)
        if record is None:
            raise NotFound(
                f"There is no execution {execution.name!r} in {execution.project}/{execution.domain}. "
                "`flyte-temporal get executions` lists them."
            )
        return record

    async def executions(
        self, project: str, domain: str, *, phases: Sequence[ExecutionPhase] = (), limit: int = 100
    ) -> list[ExecutionRecord]:
        """Return executions, newest first."""
        return await asyncio.to_thread(
            lambda: self._ports.store.executions(project, domain, phases=phases, limit=limit)
        )

    async def open_count(self) -> int:
        """Return the number of executions that are not over."""
        return len(await asyncio.to_thread(self._ports.store.open_executions))

    async def closure(self, record: ExecutionRecord) -> Closure:
        """Return the closure of an execution.

        Raises:
            UnsupportedSpec: If it is gone from the blob store or was written by a newer release.
        """
        return await asyncio.to_thread(self._closures.find, record.request.spec)

    async def nodes(self, execution: ExecutionId, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        """Return nodes of an execution.

        Args:
            execution: The execution.
            wanted: Which; by default all, also those not reached yet, a sub-workflow's right behind it, without the items
                of maps in shards, which are counted instead.

        Raises:
            NotFound: If there is no such execution.
        """
        record = await self.get(execution)
        return await self._serving.noted(record, await asyncio.to_thread(self._listing.nodes, record, wanted))

    async def _nodes_of(self, record: ExecutionRecord) -> list[NodeRecord]:
        return await self._serving.noted(record, await asyncio.to_thread(self._listing.nodes, record))

    async def node(self, execution: ExecutionId, wanted: str) -> NodeRecord:
        """Return a node by its path or name, also an item of a map in shards.

        Raises:
            NotFound: If there is no such execution or node.
        """
        record = await self.get(execution)
        return (await asyncio.to_thread(self._listing.find, record, wanted))[0]

    async def wait(self, execution: ExecutionId, timeout_s: float | None = None) -> ExecutionRecord:
        """Return an execution when it has ended, or as it is after `timeout_s` seconds.

        Raises:
            NotFound: If there is no such execution.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._followers.wait(execution)
        except TimeoutError:
            return await self.get(execution)

    def watch(self, execution: ExecutionId) -> AsyncGenerator[Update, None]:
        """Yield the present state and every later one, until the execution has ended.

        Raises:
            NotFound: If there is no such execution.
        """
        return self._followers.watch(execution)

    async def logs(
        self, execution: ExecutionId, node: str | None = None, attempt: int | None = None
    ) -> Iterator[LogLine]:
        """Return an iterator, to be run in a thread, over what the tasks printed: all attempts, or one of each node.

        Raises:
            NotFound: If there is no such execution or node, or no node that is meant has had that attempt.
        """
        chosen = await asyncio.to_thread(self._listing.each, await self.get(execution), node)
        if attempt is not None:
            chosen = iter(await asyncio.to_thread(lambda: with_attempt(list(chosen), attempt)))
        return Tail(self._ports.blobs, execution, attempt).look(chosen, over=True)

    def follow_logs(self, wanted: Wanted) -> AsyncGenerator[LogNews, None]:
        """Yield what the tasks print, as it comes, until the execution, or the node that is asked for, has ended.

        Raises:
            NotFound: If there is no such execution; or all has ended and there was no such node or attempt.
        """
        return self._tailing.follow(wanted)

    async def abort(self, execution: ExecutionId, reason: str, by: str) -> ExecutionRecord:
        """Ask an execution to stop; nothing happens if it has ended. Returns its record as it is now.

        Raises:
            NotFound: If there is no such execution.
            PlatformUnavailable: If the engine does not answer; the wish is recorded, asking again is safe.
        """
        record = await self.get(execution)
        if record.phase.terminal:
            return record
        await asyncio.to_thread(self._ports.store.mark_aborting, execution, reason, by)
        try:
            # Who reads the history alone is to see it too.
            await self._ports.engine.abort(
                execution, f"{reason or 'no reason given'} (by {by})" if by else reason
            )
        except NotFound:
            # Not started yet, or ended a moment ago.
            found = await self._ports.engine.state(execution)
            await self._endings.write(
                execution, found or RunState(phase=ExecutionPhase.ABORTED, reason=reason)
            )
        return await self.get(execution)

    async def abort_node(self, execution: ExecutionId, request: NodeAbort) -> NodeRecord:
        """Have one node of an open execution fail for good, as if it had failed by itself; returns its state now.

        Raises:
            NotFound: If there is no such execution, or it has reached no such node.
            Conflict: If the execution or the node is over, or the node is being ended.
            PlatformUnavailable: If the engine does not answer; asking again is safe.
        """
        record = await self.get(execution)
        if record.phase.terminal:
            raise Conflict(
                f"Execution {execution.name} is over ({record.phase.value}); nothing is left to abort."
            )
        named = request if request.by else request.model_copy(update={"by": self._settings.owner})
        return await self._ports.engine.abort_node(execution, named)

    async def gates(self, execution: ExecutionId) -> list[GateState]:
        """Return the gates of an open execution that can be answered, as far as they are known.

        Raises:
            NotFound: If there is no such execution.
            Conflict: If it is over.
            PlatformUnavailable: If the engine does not answer.
        """
        await self._open(execution)
        return await self._ports.engine.gates(execution)

    async def answer(self, execution: ExecutionId, answer: GateAnswer) -> GateState:
        """Give an answer to a gate, reached or not; it counts once it is returned.

        Raises:
            NotFound: If there is no such execution or gate.
            Conflict: If the execution or the gate is over, or the gate was answered before, or came while it was answered.
            InvalidInputs: If the value is not one of the gate's type.
            PlatformUnavailable: If the engine does not answer; asking again is safe.
        """
        gates = await self.gates(execution)
        if answer.reply.approved is None:
            check_value(answer, gates)
        reply = answer.reply
        named = reply if reply.by else reply.model_copy(update={"by": self._settings.owner})
        return await self._ports.engine.answer(execution, answer.model_copy(update={"reply": named}))

    async def _open(self, execution: ExecutionId) -> None:
        record = await self.get(execution)
        if record.phase.terminal:
            raise Conflict(
                f"Execution {execution.name} is over ({record.phase.value}); its gates are closed."
            )

    async def reconcile(self, *, lost: bool = True) -> int:
        """Bring store and engine in line after crashes; Temporal's log wins. Returns the number of open executions.

        Ended in Temporal but open in the store: the end is recorded. Reset in Temporal: the record follows the new run.
        Open in the store but unknown to Temporal: started again from the stored request if it never was, and ABORTED if
        that was asked for or somebody has deleted the run.

        Args:
            lost: Whether Temporal may have lost its last instants; what it does not know is then started again.

        Raises:
            PlatformUnavailable: If store or engine do not answer.
        """
        return await self._reconciler.reconcile(lost=lost)

    async def worker_lost(self) -> None:
        """Let other workers go on with the open runs at once; without it each waits out a time-out of the engine.

        Only the newest are told, because each costs a call: the rest goes on a second later.

        Raises:
            PlatformUnavailable: If store or engine do not answer.
        """
        open_ = await asyncio.to_thread(self._ports.store.open_executions)
        for record in open_[-_TOLD_AT_ONCE:]:
            await self._ports.engine.forget_worker(record.request.id)

    async def close(self) -> None:
        """End what waits and watches. Runs go on."""
        await self._followers.close()


def _pauses(closure: Closure) -> bool:
    """Return whether what is started says of itself that its failed nodes are held."""
    entity = closure.entity()
    return isinstance(entity, LaunchPlanSpec) and entity.pause_on_failure


def _overwrites(closure: Closure) -> bool:
    """Return whether what is started says of itself that it recomputes what is remembered."""
    entity = closure.entity()
    return isinstance(entity, LaunchPlanSpec) and entity.overwrite_cache
