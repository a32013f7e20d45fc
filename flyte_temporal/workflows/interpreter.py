"""The one workflow definition. Temporal shows it under the user's workflow name (it is registered as dynamic).

Unsandboxed: the sandbox re-imports this module for every run and re-enters itself for every payload (52 % of a
worker's time, temporal.md §3); determinism is proved by replaying stored histories instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.faults import buggify
from flyte_temporal.spec import calls, lookup_calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase, Fix, NodeRecord
from flyte_temporal.spec.repairs import (
    CHILD_PAUSED,
    FIXED_WITH_PARENT,
    PAUSED_WITH_PARENT,
    ChildPause,
    GiveUp,
    NodeRetry,
    NodeSkip,
    Pause,
    RepairState,
)
from flyte_temporal.spec.runs import INTERPRETER, RunInput, RunOutput
from flyte_temporal.spec.search import PHASE
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.workflows.failures import failure_of, refusal_of
from flyte_temporal.workflows.repairs import Repairs
from flyte_temporal.workflows.run import ContinuedAsNew, Run, RunFailed
from flyte_temporal.workflows.versions import ON_CONTINUE

CONTINUED = 2
"""Number of arguments of a first run."""

R = TypeVar("R")
T = TypeVar("T")
_PHASE = SearchAttributeKey.for_keyword(PHASE)


@workflow.defn(dynamic=True, sandboxed=False)
class Interpreter:
    """Runs the closure that it is given."""

    def __init__(self) -> None:
        self._run: Run | None = None

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> RunOutput:
        """Run an execution.

        Args:
            args: A `RunInput` and a `Closure`; two arguments, so that equal closures are stored once. A run that continues
                another one gets its `Snapshot` as third.
        """
        try:
            convert = workflow.payload_converter().from_payload
            given: RunInput = convert(args[0].payload, RunInput)
            closure: Closure = convert(args[1].payload, Closure)
            _refuse_newer(given)
            snapshot = _snapshot(args[CONTINUED]) if len(args) > CONTINUED else None
            self._run = Run(given, closure, snapshot)
        except (FlyteTemporalError, ValueError) as error:
            raise _refusal(error) from error
        try:
            outputs = await self._run.execute()
        except ContinuedAsNew as continued:
            buggify("continue.before")
            # The first two as they came: equal bytes, and no work.
            workflow.continue_as_new(
                args=[*args[:CONTINUED], continued.snapshot], initial_versioning_behavior=ON_CONTINUE
            )
        except RunFailed as failed:
            await self._finish(ExecutionPhase.FAILED, error=failed.error)
            raise failure_of(failed.error) from None
        except asyncio.CancelledError:
            await self._finish(ExecutionPhase.ABORTED, reason=_why_aborted(self._run.given))
            raise
        await self._finish(ExecutionPhase.SUCCEEDED, outputs=outputs)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outputs

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
        self._run.show_end(phase, reason)
        closing = asyncio.create_task(self._run.records.close(phase, outputs or RunOutput(), error, reason))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Asked to stop while the end is being written: it has ended already. (When the run is only leaving a
            # worker's memory, `closing` is cancelled as well, and this raises.)
            await closing
        if self._run.given.shard is not None:
            # Its phase is no execution's.
            return
        workflow.upsert_search_attributes([_PHASE.value_set(phase.value)])

    @workflow.query(name="nodes")
    def nodes(self) -> list[NodeRecord]:
        """Return the live state of the nodes that this run holds: not of those that had ended before it."""
        return [state.record() for state in self._run.states] if self._run else []

    @workflow.query(name="gates")
    def gates(self) -> list[calls.GateState]:
        """Return the gates that can be answered, as far as they are known."""
        return self._run.gates.states() if self._run else []

    @workflow.signal(name=lookup_calls.CACHE_ENDED)
    def cache_ended(self, keys: list[str]) -> None:
        """Take in that other executions have ended to compute something."""
        if self._run is not None:
            self._run.lookups.wake(keys)

    @workflow.query(name="shards")
    def shards(self) -> list[calls.ShardState]:
        """Return the shards of maps that are under way."""
        return self._run.shards.states() if self._run else []

    @workflow.signal(name=calls.SHARD_FAILED)
    async def shard_failed(self, failed: calls.ShardFailed) -> None:
        """Take in that items of a shard have failed."""
        await workflow.wait_condition(lambda: self._run is not None and self._run.rejoined)
        self._run.shard_failed(failed)  # type: ignore[union-attr]

    @workflow.signal(name=calls.SHARD_STOP)
    async def shard_stop(self) -> None:
        """Stop the items of a shard, because the map has failed."""
        # It can come in the very first task of a run, or while what the run before handed over is being read.
        await workflow.wait_condition(lambda: self._run is not None and self._run.restored)
        self._run.stop()  # type: ignore[union-attr]

    @workflow.update(name="answer")
    async def answer(self, request: calls.GateAnswer) -> calls.GateState:
        """Keep an answer to a gate, whether or not the gate was reached.

        Raises:
            ApplicationError: If there is no such gate, or it was answered before; the type is our error code.
        """
        # An answer can come in the very first task of a run, before `run` was called.
        await workflow.wait_condition(lambda: self._run is not None)
        try:
            return self._run.gates.answer(request)  # type: ignore[union-attr]
        except FlyteTemporalError as error:
            raise refusal_of(error) from error

    @workflow.update(name="abort_node")
    async def abort_node(self, request: calls.NodeAbort) -> NodeRecord:
        """Have one node fail for good.

        Raises:
            ApplicationError: If there is no such node, or it has ended; the type is our error code.
        """
        await workflow.wait_condition(lambda: self._run is not None and self._run.restored)
        try:
            return self._run.aborts.abort(request)  # type: ignore[union-attr]
        except FlyteTemporalError as error:
            raise refusal_of(error) from error

    @abort_node.validator
    def _check_abort(self, request: calls.NodeAbort) -> None:
        if self._run is not None and self._run.restored:
            try:
                self._run.aborts.check(request)
            except FlyteTemporalError as error:
                raise refusal_of(error) from error

    @answer.validator
    def _check_answer(self, request: calls.GateAnswer) -> None:
        # What is refused here leaves no event in the history.
        if self._run is not None:
            try:
                self._run.gates.check_asked(request)
            except FlyteTemporalError as error:
                raise refusal_of(error) from error

    @workflow.query(name="repairs")
    def repairs(self) -> RepairState:
        """Return what waits for somebody."""
        return self._run.repairs.state() if self._run else RepairState(phase=ExecutionPhase.RUNNING)

    @workflow.signal(name=PAUSED_WITH_PARENT)
    async def paused_with_parent(self, pause: Pause) -> None:
        """Start nothing new, or go on, because the execution that started this one does so."""
        (await self._repairs()).follow(pause)

    @workflow.signal(name=FIXED_WITH_PARENT)
    async def fixed_with_parent(self, fix: Fix) -> None:
        """Run attempts that start from now on with fixed code, because the run that holds the map does so."""
        (await self._repairs()).mend(fix)

    @workflow.signal(name=CHILD_PAUSED)
    async def child_paused(self, news: ChildPause) -> None:
        """Take in that an execution which this one has started waits to be repaired, or does not any more."""
        (await self._repairs()).heard(news)

    @workflow.update(name="retry")
    async def retry(self, request: NodeRetry) -> RepairState:
        """Try held nodes once more; ApplicationError as for `answer`."""
        return _refusing((await self._repairs()).retry, request)

    @retry.validator
    def _check_retry(self, request: NodeRetry) -> None:
        if self._run is not None and self._run.restored:
            _refusing(self._run.repairs.check_retry, request)

    @workflow.update(name="skip")
    async def skip(self, request: NodeSkip) -> RepairState:
        """End a held node with given outputs; ApplicationError as for `answer`."""
        return _refusing((await self._repairs()).skip, request)

    @skip.validator
    def _check_skip(self, request: NodeSkip) -> None:
        if self._run is not None and self._run.restored:
            _refusing(self._run.repairs.check_skip_asked, request)

    @workflow.update(name="fail")
    async def fail(self, request: GiveUp) -> RepairState:
        """Let all held nodes fail; ApplicationError as for `answer`."""
        return _refusing((await self._repairs()).fail, request)

    @fail.validator
    def _check_fail(self, request: GiveUp) -> None:
        if self._run is not None and self._run.restored:
            _refusing(self._run.repairs.check_fail, request)

    @workflow.update(name="pause")
    async def pause(self, request: Pause) -> RepairState:
        """Start nothing new."""
        return (await self._repairs()).hold_back(request)

    @workflow.update(name="resume")
    async def resume(self, _request: Pause) -> RepairState:
        """Go on; the argument is there for who reads the history."""
        return (await self._repairs()).resume()

    async def _repairs(self) -> Repairs:
        # A message can come in the very first task of a run, before `run` was called.
        await workflow.wait_condition(lambda: self._run is not None and self._run.rejoined)
        assert self._run is not None  # noqa: S101 - what was waited for
        return self._run.repairs


def _refusing(act: Callable[[R], T], request: R) -> T:
    """Return what an action on a run gives; what it refuses is told in the words of the API."""
    try:
        return act(request)
    except FlyteTemporalError as error:
        raise refusal_of(error) from error


def _snapshot(given: RawValue) -> Snapshot:
    try:
        found: Snapshot = workflow.payload_converter().from_payload(given.payload, Snapshot)
    except ValueError as error:
        # Written by a newer worker: no error of the run, and a newer worker can read it.
        raise RuntimeError(f"The snapshot of the run before this one cannot be read: {error}") from error
    return found


def _why_aborted(given: RunInput) -> str:
    parent = given.request.parent
    said = workflow.cancellation_reason() or ""
    if parent is None or said:
        return said
    return f"The execution {parent.execution}, whose node {parent.node} started it, stopped it."


def _refuse_newer(given: RunInput) -> None:
    if given.interpreter > INTERPRETER:
        # Not an error of the run: the workflow task fails, and Temporal gives it to another worker.
        raise RuntimeError(
            f"This worker runs version {INTERPRETER} of the interpreter, the run was started for version "
            f"{given.interpreter}. Upgrade the worker."
        )


def _refusal(error: FlyteTemporalError | ValueError) -> ApplicationError:
    # An input that cannot be read must fail the run; any other exception would only fail the workflow task, and
    # Temporal would retry that for ever.
    code = error.code if isinstance(error, FlyteTemporalError) else "InvalidRunInput"
    document = ErrorDocument(kind=ErrorKind.SYSTEM, code=code, message=str(error)[:4096], recoverable=False)
    return failure_of(document)
