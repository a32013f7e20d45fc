"""Which run of Temporal an execution is, when there is more than one: after a continue-as-new, and after a reset.

Called by `records` when the store says that its record follows another run, and by `attempts` when Temporal no longer
knows a delivery. Temporal's own word decides (docs/decisions/0046).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from flyte_temporal.errors import PlatformError
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId

_log = logging.getLogger(__name__)

_RPC_TIMEOUT = timedelta(seconds=10)

_PAUSE_S = 1.0
"""Before a run is asked for its nodes: one that was just reset has first to be replayed. Longer after each failure."""

_LONGEST_PAUSE_S = 30.0

_KEPT = 1000


def run_of(execution: ExecutionId) -> str:
    """Return the run that the current activity belongs to; empty if it is not the execution's own (a shard)."""
    info = activity.info()
    return (info.workflow_run_id or "") if info.workflow_id == execution.name else ""


class RunStatus(NamedTuple):
    """What Temporal says of one run.

    Args:
        run: Its id.
        status: Its status.
        reset: Whether a reset has made it. (A run that continues such a one as new does not say so.)
        began: When it began; if a reset has made it, when the run began that it repeats.
    """

    run: str
    status: WorkflowExecutionStatus | None
    reset: bool
    began: datetime


class Runs:
    """Lets records follow the newest run of their execution.

    Args:
        client: Knows the runs.
        store: Has the records.
    """

    def __init__(self, client: Client, store: MetadataStore) -> None:
        self._client = client
        self._store = store
        self._telling: set[asyncio.Task[None]] = set()
        self._continued: dict[str, None] = {}
        """Runs that are known to have been continued as new, which stays so; the latest ones."""

    async def heard(self, execution: ExecutionId, run: str) -> str | None:
        """Decide about what a run says that the record does not follow; the record follows it if it is the newest.

        Returns:
            By which run it is to be written: the run itself, none (empty) for one that has been continued as new, whose
            last words may come after the first of the next; None if it is not to be written, because a reset has made
            what the run did undone.

        Raises:
            RPCError: If Temporal does not answer.
            PlatformUnavailable: If the store does not answer.
        """
        if run in self._continued:
            return ""
        newest = await status_of(self._client, execution.name)
        goes_on = newest is not None and newest[:2] == (run, WorkflowExecutionStatus.RUNNING)
        if newest is not None and goes_on and await self._follow(execution, newest):
            return run
        said = await status_of(self._client, execution.name, run)
        if said is None or said.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
            return None
        self._continued[run] = None
        if len(self._continued) > _KEPT:
            del self._continued[next(iter(self._continued))]
        return ""

    async def _follow(self, execution: ExecutionId, newest: RunStatus) -> bool:
        record, run = await asyncio.to_thread(self._store.execution, execution), newest.run
        if record is None or record.run == run:
            return record is not None
        anew = newest.began if await self._is_anew(record, newest) else None
        if not await asyncio.to_thread(self._store.follow_run, execution, record.run, run, anew=anew):
            # Another word of the same run was faster, or one of a later run.
            latest = await asyncio.to_thread(self._store.execution, execution)
            return latest is not None and latest.run == run
        if anew is not None:
            _log.info("Execution %s was reset; its record follows run %s.", execution.name, run)
            # Not awaited: a run answers no query while it waits for this very activity.
            telling = asyncio.create_task(
                self._tell_nodes(execution, run, anew), name=f"nodes of {execution.name}"
            )
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        return True

    async def _is_anew(self, record: ExecutionRecord, newest: RunStatus) -> bool:
        """Return whether the newest run repeats what was recorded, instead of going on with it."""
        if newest.reset or record.phase.terminal:
            return True
        # Of a run that Temporal no longer knows (retention, or somebody deleted it), nothing says that it was reset.
        before = await status_of(self._client, record.request.id.name, record.run) if record.run else None
        return before is not None and before.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW

    async def _tell_nodes(self, execution: ExecutionId, run: str, anew: datetime) -> None:
        """Write the nodes that a run had behind it when it was reset; what is newer in the store stays.

        If this worker ends before, the record says that it is still to be done, and the reconciler of any other does it.
        """
        handle = self._client.get_workflow_handle(execution.name, run_id=run)
        pause = _PAUSE_S
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            try:
                if not await self._is_owed(execution, run):
                    return
                nodes: list[NodeRecord] = await handle.query(
                    "nodes", result_type=list[NodeRecord], rpc_timeout=_RPC_TIMEOUT
                )
                await asyncio.to_thread(self._store.record_nodes, execution, nodes, anew=anew, run=run)
            except (RPCError, WorkflowQueryFailedError, PlatformError) as error:
                _log.info("The run %s does not tell its nodes yet: %s", execution.name, error)
            else:
                return

    async def _is_owed(self, execution: ExecutionId, run: str) -> bool:
        """Return whether what a run has to tell of its nodes is still not told, and counts: it was not reset in its turn."""
        record = await asyncio.to_thread(self._store.execution, execution)
        if record is None or not record.untold or record.run == run:
            return record is not None and record.untold
        said = await status_of(self._client, execution.name, run)
        return said is not None and said.status is WorkflowExecutionStatus.CONTINUED_AS_NEW

    async def close(self) -> None:
        """Drop what is still to be told; see `_tell_nodes`."""
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)


async def status_of(client: Client, workflow: str, run: str | None = None) -> RunStatus | None:
    """Return what Temporal says of a run, by default of the newest one; None if Temporal does not know it.

    Raises:
        RPCError: If Temporal does not answer.
    """
    try:
        found = await client.get_workflow_handle(workflow, run_id=run).describe(rpc_timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    more = found.raw_description.workflow_extended_info
    began = more.original_start_time.ToDatetime(UTC)
    return RunStatus(found.run_id, found.status, more.HasField("last_reset_time"), began)


async def stop_is_wanted(attempt: AttemptId) -> bool:
    """Return whether somebody asked for an attempt to stop, rather than only for this delivery of its activity."""
    details = activity.cancellation_details()
    if details is None or details.worker_shutdown:
        return False
    if details.cancel_requested:
        return True
    info = activity.info()
    if not details.not_found or info.workflow_id is None:
        # Paused or reset: the attempt runs on, and the next delivery finds it.
        return False
    try:
        return await _abandoned(attempt, info.workflow_id, info.workflow_run_id)
    except (RPCError, WorkflowQueryFailedError) as error:
        _log.warning("Whether %s is still wanted is not known, it runs on: %s", attempt.label, error)
        return False


async def _abandoned(attempt: AttemptId, workflow: str, run: str | None) -> bool:
    """Temporal knows this delivery no more: another one has the attempt now, or its run was ended from outside."""
    client = activity.client()
    mine = await status_of(client, workflow, run)
    if mine is not None and mine.status in {
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.CONTINUED_AS_NEW,
    }:
        return False
    newest = await status_of(client, workflow)
    if newest is None or newest.run == run or newest.status is not WorkflowExecutionStatus.RUNNING:
        return True
    # A reset: the new run has asked for the same attempt if it was at work already at the point of the reset.
    nodes: list[NodeRecord] = await client.get_workflow_handle(workflow, run_id=newest.run).query(
        "nodes", result_type=list[NodeRecord], rpc_timeout=_RPC_TIMEOUT
    )
    return all(node.attempt_key != attempt.key or node.phase.terminal for node in nodes)
