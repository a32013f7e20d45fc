"""Handing accepted executions to the engine, now or after a crash."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from flyte_temporal.control.closures import Closures
from flyte_temporal.control.endings import Endings
from flyte_temporal.errors import (
    FlyteTemporalError,
    LimitExceeded,
    NotFound,
    PlatformUnavailable,
    UnsupportedSpec,
)
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    INTERPRETER,
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRecord,
    ExecutionRequest,
    ParentRef,
    RunInput,
    RunLimits,
)

_log = logging.getLogger(__name__)


class Launching:
    """Starts runs, and reconciles what a crash left between the metadata store and Temporal.

    Args:
        engine: Starts runs; its log wins.
        store: Knows what was accepted.
        closures: Finds the specs of stored requests.
        endings: Writes ends.
        limits: Recorded in each run's input.
    """

    def __init__(
        self, engine: Engine, store: MetadataStore, closures: Closures, endings: Endings, limits: RunLimits
    ) -> None:
        self._engine = engine
        self._store = store
        self._closures = closures
        self._endings = endings
        self._limits = limits

    async def launch(self, record: ExecutionRecord, closure: Closure) -> None:
        """Start the run of an accepted execution. If the engine is away, reconciliation does it later.

        Raises:
            LimitExceeded: If the engine refuses the request for its size; the execution is recorded as FAILED.
        """
        request = record.request
        try:
            await self._engine.start(self._run_input(request), closure)
        except PlatformUnavailable as error:
            _log.warning("%s is accepted and will be started as soon as possible: %s", request.id.name, error)
            return
        except LimitExceeded as error:
            await self._endings.write(request.id, _failed(error, ErrorKind.USER))
            raise
        latest = await asyncio.to_thread(self._store.execution, request.id)
        if latest is not None and latest.phase is ExecutionPhase.ABORTED:
            # Aborted between the record and the start.
            await self._engine.abort(request.id, latest.abort_reason)

    def _run_input(self, request: ExecutionRequest) -> RunInput:
        return RunInput(request=request, limits=self._limits, interpreter=INTERPRETER)

    async def reconcile(self) -> int:
        """Bring store and engine in line; return how many executions are still open.

        Raises:
            PlatformUnavailable: If store or engine do not answer.
        """
        records = await asyncio.to_thread(self._store.open_executions)
        return sum([await self._still_open(record) for record in records])

    async def _still_open(self, record: ExecutionRecord) -> bool:
        execution = record.request.id
        state = await self._engine.state(execution)
        if state is None and (record.abort_reason or record.aborted_by):
            state = RunState(phase=ExecutionPhase.ABORTED, reason=record.abort_reason)
        if state is None and record.request.parent is not None:
            return await self._leave_to_parent(record, record.request.parent)
        if state is None:
            return await self._start_again(record)
        if state.phase.terminal:
            await self._endings.write(execution, state)
        elif record.request.parent is not None:
            await self._stop_orphan(record, record.request.parent)
        return not state.phase.terminal

    async def _stop_orphan(self, record: ExecutionRecord, parent: ParentRef) -> None:
        """Stop a child whose parent is over: it was terminated, all other ends wait for their children."""
        execution = record.request.id
        above = await self._engine.state(execution.model_copy(update={"name": parent.execution}))
        if above is None or above.phase.terminal:
            reason = f"The execution {parent.execution}, which started it, has ended."
            await asyncio.to_thread(self._store.mark_aborting, execution, reason, "flyte-temporal")
            with suppress(NotFound):  # ended a moment ago
                await self._engine.abort(execution, reason)

    async def _leave_to_parent(self, record: ExecutionRecord, parent: ParentRef) -> bool:
        """Leave a child that its parent has not started yet to the parent; close it if the parent is over."""
        execution = record.request.id
        above = await self._engine.state(execution.model_copy(update={"name": parent.execution}))
        if above is not None and not above.phase.terminal:
            return True
        reason = "The execution that was to start it has ended."
        await self._endings.write(execution, RunState(phase=ExecutionPhase.ABORTED, reason=reason))
        return False

    async def _start_again(self, record: ExecutionRecord) -> bool:
        execution = record.request.id
        _log.info("Starting %s, which is accepted but unknown to Temporal.", execution.name)
        try:
            closure = await asyncio.to_thread(self._closures.find, record.request.spec)
            await self.launch(record, closure)
        except UnsupportedSpec as error:
            await self._endings.write(execution, _failed(error, ErrorKind.SYSTEM))
            return False
        except LimitExceeded:
            return False
        return True


def _failed(error: FlyteTemporalError, kind: ErrorKind) -> RunState:
    document = ErrorDocument(kind=kind, code=error.code, message=error.message[:4096], recoverable=False)
    return RunState(phase=ExecutionPhase.FAILED, error=document)
