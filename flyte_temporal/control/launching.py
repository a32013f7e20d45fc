"""Handing accepted executions to the engine."""

from __future__ import annotations

import asyncio
import logging

from flyte_temporal.control.endings import Endings
from flyte_temporal.errors import FlyteTemporalError, LimitExceeded, PlatformUnavailable
from flyte_temporal.ports.engine import Engine, RunState
from flyte_temporal.ports.metadata_store import MetadataStore
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRecord,
    ExecutionRequest,
)
from flyte_temporal.spec.runs import INTERPRETER, RunInput, RunLimits

_log = logging.getLogger(__name__)


class Launching:
    """Starts runs.

    Args:
        engine: Starts runs; its log wins.
        store: Knows what was accepted.
        endings: Writes ends.
        limits: Recorded in each run's input.
    """

    def __init__(self, engine: Engine, store: MetadataStore, endings: Endings, limits: RunLimits) -> None:
        self._engine = engine
        self._store = store
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
            await self._endings.write(request.id, failed(error, ErrorKind.USER))
            raise
        latest = await asyncio.to_thread(self._store.execution, request.id)
        if latest is not None and latest.phase is ExecutionPhase.ABORTED:
            # Aborted between the record and the start.
            await self._engine.abort(request.id, latest.abort_reason)

    def _run_input(self, request: ExecutionRequest) -> RunInput:
        return RunInput(request=request, limits=self._limits, interpreter=INTERPRETER)


def failed(error: FlyteTemporalError, kind: ErrorKind) -> RunState:
    """Return the end of an execution that could not be started."""
    document = ErrorDocument(kind=kind, code=error.code, message=error.message[:4096], recoverable=False)
    return RunState(phase=ExecutionPhase.FAILED, error=document)
