"""`TemporalEngine`: the `Engine` port over a Temporal client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import TypeVar

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest,
)
from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    FailureError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from temporalio.exceptions import TimeoutError as TemporalTimeout
from temporalio.service import RPCError, RPCStatusCode

from flyte_temporal.adapters.temporal.shards import owner_of, shard_with
from flyte_temporal.errors import (
    BadRequest,
    FlyteTemporalError,
    LimitExceeded,
    NotFound,
    PlatformUnavailable,
    class_of,
)
from flyte_temporal.ports.engine import RunState, Started
from flyte_temporal.spec.calls import GateAnswer, GateState, NodeAbort, ShardState
from flyte_temporal.spec.clusters import attempts_queue
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    Environment,
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRequest,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.repairs import GiveUp, NodeRetry, NodeSkip, Pause, RepairState, update_of
from flyte_temporal.spec.runs import WORK, RunInput, RunOutput
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES, search_values
from flyte_temporal.spec.shown import details_of, summary_of

_RPC_TIMEOUT = timedelta(seconds=10)
_RUN_TIMEOUT = timedelta(seconds=25)
"""How long a question to a run may take. Temporal keeps a run's next step for the worker that had it, alive or not, for
`sticky_timeout_s` (10 s unless set), and every question waits behind that step; the rest is the step itself."""
_AGAIN_S = 0.1
D = TypeVar("D", bound=Document)
Q = TypeVar("Q")

_OPEN = f"ExecutionStatus = 'Running' AND {SEARCH_ATTRIBUTES[0]} IS NOT NULL"
"""Runs of executions of ours: all of them start with these search attributes."""


class TemporalEngine:
    """Starts interpreters and tells the truth about them.

    Args:
        client: A client made by `connection.connect`.
        task_queue: Queue of the interpreter's workers.
        task_timeout_s: How long a worker may take over one workflow task, in seconds. Long on a starved production
            worker (30-60), short on the local stack, where it bounds how long a killed worker goes unnoticed.
    """

    def __init__(self, client: Client, task_queue: str, task_timeout_s: float = 30.0) -> None:
        self._client = client
        self._task_queue = task_queue
        self._task_timeout = timedelta(seconds=task_timeout_s)

    async def start(self, run: RunInput, closure: Closure) -> Started:
        """Start a run; see `Engine.start`."""
        request = run.request
        try:
            async with _translated(request.id.name):
                await self._client.start_workflow(
                    request.root.name,
                    args=[run, closure],
                    id=request.id.name,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    task_timeout=self._task_timeout,
                    search_attributes=_search_attributes(request),
                    static_summary=summary_of(request),
                    static_details=details_of(request),
                    rpc_timeout=_RPC_TIMEOUT,
                )
        except WorkflowAlreadyStartedError:
            return Started.EXISTS
        return Started.NEW

    async def state(self, execution: ExecutionId) -> RunState | None:
        """Return a run's state; see `Engine.state`."""
        try:
            newest = await self._newest(execution)
        except NotFound:
            return None
        if newest.began is not None:
            return newest
        return (await self._result(execution, newest.run)).model_copy(update={"work": newest.work})

    async def open_runs(self) -> dict[str, str]:
        """Return the runs that go on; see `Engine.open_runs`."""
        found = {}
        async with _translated("the list of runs"):
            async for each in self._client.list_workflows(_OPEN, page_size=1000, rpc_timeout=_RPC_TIMEOUT):
                found[each.id] = each.run_id
        return found

    async def wait(self, execution: ExecutionId, timeout_s: float) -> RunState | None:
        """Wait for a run's end; see `Engine.wait`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._result(execution, (await self._newest(execution)).run)
        except TimeoutError:
            return None

    async def served(self, environment: Environment) -> bool:
        """Ask for the pollers of the queue of attempts; see `Engine.served`."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=attempts_queue(self._task_queue, environment)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        async with _translated("the workers of a cluster"):
            found = await self._client.workflow_service.describe_task_queue(request, timeout=_RPC_TIMEOUT)
        return bool(found.pollers)

    async def waiting(self, execution: ExecutionId) -> set[str]:
        """Look which activities have not been started, whose ids are `<node>#<attempt>`; see `Engine.waiting`."""
        async with _translated(execution.name):
            found = await self._client.get_workflow_handle(execution.name).describe(rpc_timeout=_RPC_TIMEOUT)
        return {
            pending.activity_id.rpartition("#")[0]
            for pending in found.raw_description.pending_activities
            if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        }

    async def nodes(self, execution: ExecutionId) -> list[NodeRecord]:
        """Ask the run itself for its nodes; see `Engine.nodes`."""
        async with _translated(execution.name):
            return await self._ask(execution.name, "nodes", list[NodeRecord])

    async def _ask(self, workflow: str, question: str, answer: type[Q]) -> Q:
        """Put a question to a run or to a shard of a map."""
        handle = self._client.get_workflow_handle(workflow)
        found: Q = await handle.query(question, result_type=answer, rpc_timeout=_RUN_TIMEOUT)
        return found

    async def gates(self, execution: ExecutionId) -> list[GateState]:
        """Ask the run itself, and its shards, for their gates; see `Engine.gates`."""
        return [gate for found in (await self._gates(execution)).values() for gate in found]

    async def _gates(self, execution: ExecutionId) -> dict[str, list[GateState]]:
        """Return the gates of an execution by the workflow that has them: the run, and the shards of its maps."""
        found: dict[str, list[GateState]] = {}
        waiting = [execution.name]
        async with _translated(execution.name):
            while waiting:
                name = waiting.pop(0)
                found[name] = await self._ask(name, "gates", list[GateState])
                waiting += [shard.workflow for shard in await self._shards(name)]
        return found

    async def _shards(self, workflow: str) -> list[ShardState]:
        """Return the shards that a run, or a shard of a map, has under way."""
        return await self._ask(workflow, "shards", list[ShardState])

    async def _holder(self, execution: ExecutionId, path: str) -> str:
        """Return the workflow that holds a node: the run itself, or the shard that has the item which the node is or is in."""
        name = execution.name
        async with _translated(execution.name):
            while (found := shard_with(path, await self._shards(name))) is not None:
                name = found.workflow
        return name

    async def _with_gate(self, execution: ExecutionId, gate: str) -> str:
        if "[" in gate:
            return await self._holder(execution, gate)
        async with _translated(execution.name):
            if not await self._shards(execution.name):
                return execution.name
        return owner_of(gate, execution, await self._gates(execution))

    async def answer(self, execution: ExecutionId, answer: GateAnswer) -> GateState:
        """Send an answer as an update to whichever workflow has the gate; see `Engine.answer`."""
        workflow = await self._with_gate(execution, answer.gate)
        return await self._update(workflow, execution, "answer", answer, GateState)

    async def abort_node(self, execution: ExecutionId, request: NodeAbort) -> NodeRecord:
        """Send the abort of a node as an update to whichever workflow holds it; see `Engine.abort_node`."""
        workflow = await self._holder(execution, request.node)
        return await self._update(workflow, execution, "abort_node", request, NodeRecord)

    async def repairs(self, execution: ExecutionId) -> RepairState:
        """Ask the run itself what waits for somebody; see `Engine.repairs`."""
        async with _translated(execution.name):
            return await self._ask(execution.name, "repairs", RepairState)

    async def repair(
        self, execution: ExecutionId, wish: NodeRetry | NodeSkip | GiveUp | Pause
    ) -> RepairState:
        """Send a repair as the update of its name; see `Engine.repair`."""
        return await self._update(execution.name, execution, update_of(wish), wish, RepairState)

    async def _update(
        self, workflow: str, execution: ExecutionId, name: str, argument: Document, answer: type[D]
    ) -> D:
        handle = self._client.get_workflow_handle(workflow)
        try:
            async with _translated(execution.name):
                found: D = await _while_it_continues(
                    lambda: handle.execute_update(
                        name, argument, result_type=answer, rpc_timeout=_RUN_TIMEOUT
                    )
                )
                return found
        except WorkflowUpdateFailedError as failed:
            raise _refusal(failed.cause) from failed
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise PlatformUnavailable(
                f"The run {execution.name!r} did not take the message {name!r} in time; asking again is safe."
            ) from error

    async def forget_worker(self, execution: ExecutionId) -> None:
        """Clear a run's sticky queue; see `Engine.forget_worker`."""
        request = ResetStickyTaskQueueRequest(
            namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=execution.name)
        )
        try:
            async with _translated(execution.name):
                await self._client.workflow_service.reset_sticky_task_queue(request, timeout=_RPC_TIMEOUT)
        except NotFound:
            return

    async def abort_left(self, execution: ExecutionId, reason: str) -> int:
        """Cancel the open children of a run that is over; see `Engine.abort_left`."""
        left = f"ParentWorkflowId = '{execution.name}' AND ExecutionStatus = 'Running'"
        count = 0
        async with _translated(execution.name):
            async for found in self._client.list_workflows(left):
                try:
                    await self._client.get_workflow_handle(found.id).cancel(
                        reason=reason, rpc_timeout=_RPC_TIMEOUT
                    )
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                else:
                    count += 1
        return count

    async def abort(self, execution: ExecutionId, reason: str) -> None:
        """Ask a run to stop; see `Engine.abort`."""
        handle = self._client.get_workflow_handle(execution.name)
        async with _translated(execution.name):
            await handle.cancel(reason=reason, rpc_timeout=_RPC_TIMEOUT)

    async def _newest(self, execution: ExecutionId) -> RunState:
        """Return the newest run as one that goes on; without when it began if it does not, which is to be asked for then."""
        request = DescribeWorkflowExecutionRequest(
            namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=execution.name)
        )
        async with _translated(execution.name):
            found = await self._client.workflow_service.describe_workflow_execution(
                request, timeout=_RPC_TIMEOUT
            )
        # Not by the handle: that fails on a run that is paused, a status that the SDK does not know (temporal.md §0.12).
        info = found.workflow_execution_info
        memo, work = info.memo.fields, ""
        if WORK in memo:
            (work,) = await self._client.data_converter.decode([memo[WORK]], [str])
        began = found.workflow_extended_info.original_start_time.ToDatetime(UTC)
        return RunState(
            phase=ExecutionPhase.RUNNING,
            run=info.execution.run_id,
            began=None if info.HasField("close_time") else began,
            work=work,
        )

    async def _result(self, execution: ExecutionId, run: str) -> RunState:
        """Wait for the end of a run, and of those that follow it: a run that is continued or reset has not ended."""
        while True:
            handle = self._client.get_workflow_handle(execution.name, run_id=run, result_type=RunOutput)
            try:
                async with _translated(execution.name):
                    output: RunOutput = await handle.result(follow_runs=False)
            except WorkflowContinuedAsNewError as further:
                run = further.new_execution_run_id
            except WorkflowFailureError as failure:
                newest = run
                if isinstance(failure.cause, TerminatedError):
                    newest = (await self._newest(execution)).run
                if newest == run:
                    return _ended(failure.cause).model_copy(update={"run": run})
                run = newest
            else:
                return RunState(
                    phase=ExecutionPhase.SUCCEEDED, outputs=output.outputs, shard=output.shard, run=run
                )


async def _while_it_continues(ask: Callable[[], Awaitable[D]]) -> D:
    """Send an update again as long as it comes in the moment in which a run continues as new, and is not taken."""
    deadline = asyncio.get_running_loop().time() + _RPC_TIMEOUT.total_seconds()
    while True:
        try:
            return await ask()
        except RPCError as error:
            passing = error.status in {RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ABORTED}
            if not passing or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(_AGAIN_S)


def _refusal(cause: BaseException | None) -> FlyteTemporalError:
    if isinstance(cause, ApplicationError) and cause.type:
        return class_of(cause.type, BadRequest)(cause.message)
    return BadRequest(f"The run refused the message: {cause}")


def _ended(cause: BaseException | None) -> RunState:
    match cause:
        case CancelledError():
            return RunState(phase=ExecutionPhase.ABORTED, reason="cancelled")
        case TerminatedError():
            return RunState(phase=ExecutionPhase.ABORTED, reason=f"terminated in Temporal: {cause.message}")
        case TemporalTimeout():
            error = ErrorDocument(
                kind=ErrorKind.SYSTEM,
                code="TimedOut",
                message="The execution ran into its time-out.",
                recoverable=False,
            )
            return RunState(phase=ExecutionPhase.FAILED, error=error)
        case ApplicationError() if cause.details and isinstance(cause.details[0], dict):
            return RunState(phase=ExecutionPhase.FAILED, error=ErrorDocument.model_validate(cause.details[0]))
        case _:
            text = cause.message if isinstance(cause, FailureError) else str(cause)
            error = ErrorDocument(
                kind=ErrorKind.SYSTEM, code="Internal", message=text[:4096], recoverable=False
            )
            return RunState(phase=ExecutionPhase.FAILED, error=error)


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    """Turn Temporal's errors into ours, at this one border."""
    try:
        yield
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFound(f"Temporal knows no execution {what!r}.") from error
        if error.status in {RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED}:
            raise LimitExceeded(f"Temporal refused the request for {what!r}: {error.message}") from error
        raise PlatformUnavailable(f"Temporal did not answer about {what!r}: {error.message}") from error


def _search_attributes(request: ExecutionRequest) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in search_values(request).items()
        ]
    )
