"""Records the execution of a launch plan before the interpreter starts it, so that it is found from the first moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from temporalio import activity

from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.refusals import our_failure
from flyte_temporal.errors import FlyteTemporalError, UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.calls import OPEN_CHILD, ChildOpened, ChildRequest
from flyte_temporal.spec.document import canonical_bytes, sha256_hex
from flyte_temporal.spec.entities import Closure, Root
from flyte_temporal.spec.execution import ExecutionRequest, ParentRef
from flyte_temporal.storage.recall import Earlier


class Children:
    """Serves requests for child executions.

    Args:
        blobs: Where the child's closure is put.
        store: Where its record is put.
        closures: Where the parent's closure is found.
    """

    def __init__(self, blobs: BlobStore, store: MetadataStore, closures: Closures) -> None:
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
            recover=recovery and before and recovery.of_child(before.request.id.name),
        )
        record = self._store.create_execution(wanted, datetime.now(UTC))
        return ChildOpened(request=record.request, recalled=recalled)
