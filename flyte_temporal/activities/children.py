"""What the interpreter asks about child executions beside starting them.

A child is recorded before it is started, so that it is found from the first moment. A run that continues another one is
not told of the ends of children which that one has started, so an activity waits for them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from temporalio import activity

from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import Conflict, FlyteTemporalError, NotFound, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.engine import Engine
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.child_calls import (
    OPEN_CHILD,
    WATCH_CHILD,
    ChildEnded,
    ChildOpened,
    ChildRequest,
    ChildWatch,
)
from flyte_temporal.spec.document import canonical_bytes, sha256_hex
from flyte_temporal.spec.entities import Closure, Root
from flyte_temporal.spec.execution import ExecutionRequest, ParentRef
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.storage.recall import Earlier

_NO_HEARTBEAT = timedelta(seconds=30)
_WATCHED = "WATCHED"


class Children:
    """Serves requests for child executions.

    Args:
        blobs: Where the child's closure is put.
        store: Where its record is put.
        closures: Where the parent's closure is found.
        engine: Knows when it has ended.
    """

    def __init__(self, blobs: BlobStore, store: MetadataStore, closures: Closures, engine: Engine) -> None:
        self._engine = engine
        self._blobs = blobs
        self._store = store
        self._closures = closures
        self._earlier = Earlier(store, blobs)

    @activity.defn(name=OPEN_CHILD)
    async def open(self, request: ChildRequest) -> ChildOpened:
        """Record an execution as QUEUED, or return the request that was recorded before.

        Raises:
            ApplicationError: If its id is taken by another execution, or a store did not answer.
        """
        try:
            closure = await self._closures.closure(request.spec)
            return await asyncio.to_thread(self._open, request, closure)
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    @activity.defn(name=WATCH_CHILD)
    async def watch(self, request: ChildWatch) -> ChildEnded:
        """Wait until an execution has ended.

        Raises:
            ApplicationError: If it is not known, or the engine did not answer; retryable in the latter case.
        """
        pause = (activity.info().heartbeat_timeout or _NO_HEARTBEAT).total_seconds() / 3
        try:
            before = request.found and await self._is_over(request.execution)
            other = bool(request.work) and await self._is_other(request)
            while True:
                # With a detail, for the delivery after this one: it is not found to be over, it is watched.
                activity.heartbeat(_WATCHED)
                final = await self._engine.wait(request.execution, pause)
                if final is not None:
                    return ChildEnded(
                        phase=final.phase,
                        outputs=final.outputs,
                        error=final.error,
                        shard=final.shard,
                        before=before,
                        other=other,
                    )
        except FlyteTemporalError as error:
            raise our_failure(error) from error

    async def _is_over(self, execution: ExecutionId) -> bool:
        if _WATCHED in activity.info().heartbeat_details:
            return False
        state = await self._engine.state(execution)
        return state is not None and state.phase.terminal

    async def _is_other(self, request: ChildWatch) -> bool:
        """Return whether a shard says that it runs something else; then it is asked to stop, as nobody wants what it gives."""
        state = await self._engine.state(request.execution)
        other = state is not None and state.work not in {"", request.work}
        if other and state is not None and not state.phase.terminal:
            with suppress(NotFound):  # it has ended meanwhile
                await self._engine.abort(request.execution, "After a reset, its map runs over other inputs.")
        return other

    def _open(self, request: ChildRequest, closure: Closure) -> ChildOpened:
        plan = closure.launch_plans.get(request.launch_plan)
        if plan is None:
            raise UnsupportedSpec(
                f"The closure {request.spec[:12]} has no launch plan {request.launch_plan!r}."
            )
        own = closure.model_copy(update={"root": Root(kind="launch_plan", name=plan.name)})
        data = canonical_bytes(own)
        digest = sha256_hex(data)
        self._blobs.put_new(keys.closure(digest), data, digest)
        parent = request.parent
        inputs = plan.complete(request.inputs)
        recovery = None if request.anew else parent.recover
        before = recovery and self._earlier.child_before(parent.id, recovery, request.node)
        recalled = before and recovery and self._earlier.child(before, recovery, own, inputs)
        if before and recalled and recalled.done:
            return ChildOpened(request=before.request, recalled=recalled)
        wanted = ExecutionRequest(
            id=parent.id.model_copy(update={"name": request.name}),
            root=own.root,
            version=parent.version,
            spec=digest,
            inputs=inputs,
            environment=parent.environment,
            requested_by=parent.requested_by,
            labels={**parent.labels, **plan.labels},
            overwrite_cache=parent.overwrite_cache or plan.overwrite_cache,
            no_cache=parent.no_cache,
            max_parallelism=plan.max_parallelism or parent.max_parallelism,
            parent=ParentRef(execution=parent.id.name, node=request.node),
            pause_on_failure=parent.pause_on_failure or plan.pause_on_failure,
            fixes=parent.fixes,
            recover=recovery and before and recovery.of_child(before.request.id.name),
        )
        try:
            record = self._store.create_execution(wanted, datetime.now(UTC))
        except Conflict:
            found = self._store.execution(wanted.id)
            if found is None or found.request.parent != wanted.parent:
                raise
            return ChildOpened(request=wanted, other=True)
        return ChildOpened(request=record.request, recalled=recalled)
