"""The one workflow definition. Temporal shows it under the user's workflow name (it is registered as dynamic).

Unsandboxed: the sandbox re-imports this module for every run and re-enters itself for every payload (52 % of a
worker's time, temporal.md §3); determinism is proved by replaying stored histories instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    NodeRecord,
    RunInput,
    RunOutput,
)
from flyte_temporal.workflows.failures import failure_of
from flyte_temporal.workflows.run import Run, RunFailed

PHASE = SearchAttributeKey.for_keyword("FtPhase")


@workflow.defn(dynamic=True, sandboxed=False)
class Interpreter:
    """Runs the closure that it is given."""

    def __init__(self) -> None:
        self._run: Run | None = None

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> RunOutput:
        """Run an execution.

        Args:
            args: A `RunInput` and a `Closure`; two arguments, so that equal closures are stored once.
        """
        try:
            convert = workflow.payload_converter().from_payload
            given: RunInput = convert(args[0].payload, RunInput)
            closure: Closure = convert(args[1].payload, Closure)
            self._run = Run(given, closure)
        except (FlyteTemporalError, ValueError) as error:
            raise _refusal(error) from error
        try:
            outputs = await self._run.execute()
        except RunFailed as failed:
            await self._finish(ExecutionPhase.FAILED, error=failed.error)
            raise failure_of(failed.error) from None
        except asyncio.CancelledError:
            await self._finish(ExecutionPhase.ABORTED, reason=workflow.cancellation_reason() or "")
            raise
        await self._finish(ExecutionPhase.SUCCEEDED, outputs=RunOutput(outputs=outputs))
        return RunOutput(outputs=outputs)

    async def _finish(
        self,
        phase: ExecutionPhase,
        *,
        outputs: RunOutput | None = None,
        error: ErrorDocument | None = None,
        reason: str = "",
    ) -> None:
        if self._run is None:
            return
        closing = asyncio.create_task(self._run.records.close(phase, outputs or RunOutput(), error, reason))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Asked to stop while the end is being written: it has ended already. (When the run is only leaving a
            # worker's memory, `closing` is cancelled as well, and this raises.)
            await closing
        workflow.upsert_search_attributes([PHASE.value_set(phase.value)])

    @workflow.query(name="nodes")
    def nodes(self) -> list[NodeRecord]:
        """Return the live state of all nodes that have been reached."""
        return [state.record() for state in self._run.states] if self._run else []


def _refusal(error: FlyteTemporalError | ValueError) -> ApplicationError:
    # An input that cannot be read must fail the run; any other exception would only fail the workflow task, and
    # Temporal would retry that for ever.
    code = error.code if isinstance(error, FlyteTemporalError) else "InvalidRunInput"
    document = ErrorDocument(kind=ErrorKind.SYSTEM, code=code, message=str(error)[:4096], recoverable=False)
    return failure_of(document)
