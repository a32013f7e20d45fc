"""Bringing records and the engine in line, whatever happened to either of them without us (docs/decisions/0046).

Run at the start and then every few seconds by the supervisor of the local stack, and by workers elsewhere; any number
of them may do it at the same time. The engine's word wins, and of an execution's runs the newest one's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flyte_temporal.control.closures import Closures
from flyte_temporal.control.endings import Endings
from flyte_temporal.control.launching import Launching, failed
from flyte_temporal.errors import FlyteTemporalError, LimitExceeded, NotFound, PlatformError, UnsupportedSpec
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.execution import ErrorKind, ExecutionPhase, ExecutionRecord, NodeRecord, ParentRef
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

_AGAIN_S = 1.0
"""Pause after a failure."""

DELETED = "Its run was deleted in Temporal."


class Reconciler:
    """Compares all open executions with the engine.

    Args:
        engine: Knows the truth.
        store: Is corrected.
        closures: Finds the specs of stored requests.
        launching: Starts what was accepted and never started.
        endings: Writes ends.
    """

    def __init__(
        self, engine: Engine, store: MetadataStore, closures: Closures, launching: Launching, endings: Endings
    ) -> None:
        self._engine = engine
        self._store = store
        self._closures = closures
        self._launching = launching
        self._endings = endings

    async def reconcile(self, *, lost: bool) -> int:
        """Compare once; return how many executions are still open.

        Args:
            lost: Whether the engine may have lost its last instants (a power cut): then a run that it does not know is
                started again. Otherwise somebody has deleted it.

        Raises:
            PlatformUnavailable: If store or engine do not answer.
        """
        # In this order: what has ended or begun in between is then asked for, and not mistaken.
        records = await asyncio.to_thread(self._store.open_executions)
        running = await self._engine.open_runs()
        for record in records:
            running.setdefault(record.request.id.name, "")
        still = [r for r in records if await self._still_open(r, running[r.request.id.name], lost=lost)]
        for record in still:
            parent = record.request.parent
            if parent is not None and not running.get(parent.execution):
                await self._stop_orphan(record, parent)
        return len(still) + await self._reopened({r.request.id.name for r in records}, running)

    async def _reopened(self, known: set[str], running: dict[str, str]) -> int:
        """Reopen executions that are over for the store, but were reset in the engine; return how many."""
        names = [name for name, run in running.items() if run and name not in known]
        found = await asyncio.to_thread(self._store.executions_named, names)
        return sum([await self._reopen(record, running[record.request.id.name]) for record in found])

    async def _reopen(self, record: ExecutionRecord, run: str) -> bool:
        if not record.phase.terminal or record.run in {"", run}:
            # It has ended in this very moment, or was recorded by a release that did not note the run.
            return False
        execution = record.request.id
        state = await self._engine.state(execution)
        if state is None or state.phase.terminal or state.run == record.run:
            return False
        # First, because what it does not tell nobody knows any more once the record follows it.
        nodes = await self._told(execution)
        if nodes is None:
            return True
        anew = state.began or record.created_at
        if not await asyncio.to_thread(self._store.follow_run, execution, record.run, state.run, anew=anew):
            return False
        _log.info("Execution %s was reset; its record follows run %s.", execution.name, state.run)
        await asyncio.to_thread(self._store.record_nodes, execution, nodes, anew=anew, run=state.run)
        return True

    async def _told(self, execution: ExecutionId) -> list[NodeRecord] | None:
        """Return what a run tells of its nodes; None if it does not yet, and is to be asked the next time."""
        try:
            return await self._engine.nodes(execution)
        except (NotFound, PlatformError) as error:
            _log.info("The run %s does not tell its nodes yet: %s", execution.name, error)
            return None

    async def _hear(self, record: ExecutionRecord) -> None:
        """Have told what a run after a reset has not, because the worker ended that was to ask for it."""
        execution = record.request.id
        state = await self._engine.state(execution)
        nodes = await self._told(execution)
        if state is None or state.run != record.run or nodes is None:
            return
        anew = state.began or record.created_at
        await asyncio.to_thread(self._store.record_nodes, execution, nodes, anew=anew, run=record.run)

    async def _still_open(self, record: ExecutionRecord, run: str, *, lost: bool) -> bool:
        execution = record.request.id
        if run and run == record.run:
            if record.untold:
                await self._hear(record)
            return True
        state = await self._engine.state(execution)
        if state is None:
            return await self._unknown(record, lost=lost)
        if state.phase.terminal:
            await self._endings.write(execution, state)
        return not state.phase.terminal

    async def _unknown(self, record: ExecutionRecord, *, lost: bool) -> bool:
        aborting = bool(record.abort_reason or record.aborted_by)
        if record.request.parent is not None and not aborting and not record.run:
            return await self._leave_to_parent(record, record.request.parent)
        if not aborting and (lost or not record.run):
            return await self._start_again(record)
        reason = record.abort_reason if aborting else DELETED
        await self._endings.write(record.request.id, RunState(phase=ExecutionPhase.ABORTED, reason=reason))
        return False

    async def _leave_to_parent(self, record: ExecutionRecord, parent: ParentRef) -> bool:
        """Leave a child that its parent has not started yet to the parent; close it if the parent is over."""
        execution = record.request.id
        above = await self._engine.state(execution.model_copy(update={"name": parent.execution}))
        if above is not None and not above.phase.terminal:
            return True
        reason = "The execution that was to start it has ended."
        await self._endings.write(execution, RunState(phase=ExecutionPhase.ABORTED, reason=reason))
        return False

    async def _stop_orphan(self, record: ExecutionRecord, parent: ParentRef) -> None:
        """Stop a child whose parent is over: it was terminated, all other ends wait for their children."""
        execution = record.request.id
        above = await self._engine.state(execution.model_copy(update={"name": parent.execution}))
        if above is None or above.phase.terminal:
            reason = f"The execution {parent.execution}, which started it, has ended."
            await asyncio.to_thread(self._store.mark_aborting, execution, reason, "flyte-temporal")
            with suppress(NotFound):  # ended a moment ago
                await self._engine.abort(execution, reason)

    async def _start_again(self, record: ExecutionRecord) -> bool:
        execution = record.request.id
        _log.info("Starting %s, which is accepted but unknown to Temporal.", execution.name)
        try:
            closure = await asyncio.to_thread(self._closures.find, record.request.spec)
            await self._launching.launch(record, closure)
        except UnsupportedSpec as error:
            await self._endings.write(execution, failed(error, ErrorKind.SYSTEM))
            return False
        except LimitExceeded:
            return False
        return True


async def keep_in_line(once: Callable[[], Awaitable[float]], first_s: float = 0.0) -> None:
    """Do something again and again, whatever goes wrong with it, until it is cancelled.

    Args:
        once: Does it; returns the pause until the next time, in seconds.
        first_s: Pause before the first time.
    """
    pause = first_s
    while True:
        await asyncio.sleep(pause)
        pause = _AGAIN_S
        try:
            pause = await once()
        except FlyteTemporalError as error:
            _log.warning("Records and Temporal could not be compared now: %s", error)
        except Exception:  # noqa: BLE001 - without this chore, a lost start would stay lost
            _log.exception("Reconciliation failed; it is tried again")
