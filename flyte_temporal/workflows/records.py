"""What the interpreter itself writes to the metadata store, by local activities, off the path of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, RunOutput
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.workflows.scope import NodeState

BATCH = 200
"""Records per call: about 40 KiB, below the size from which payloads go to the blob store."""


class Records:
    """Collects the states of nodes that have no activity of their own, and writes everything once more at the end.

    Activities write the states of their nodes themselves. What a killed worker had not written yet is covered by
    the final write, which is authoritative.

    Args:
        execution: The execution.
        states: All nodes reached so far; the list grows.
    """

    def __init__(self, execution: ExecutionId, states: Sequence[NodeState]) -> None:
        self._execution = execution
        self._states = states
        self._changed: dict[str, NodeState] = {}

    def changed(self, state: NodeState) -> None:
        """Note that a node without an activity has changed."""
        self._changed[state.path] = state

    @property
    def waiting(self) -> int:
        """Return how many changes are noted and not written."""
        return len(self._changed)

    def flush(self) -> None:
        """Write the noted changes without waiting for it; a failure is made good at the end."""
        if not self._changed:
            return
        nodes = tuple(state.record() for state in self._changed.values())
        self._changed = {}
        for start in range(0, len(nodes), BATCH):
            self._call(
                calls.RecordRequest(
                    execution=self._execution,
                    nodes=nodes[start : start + BATCH],
                    phase=ExecutionPhase.RUNNING,
                    at=workflow.info().start_time,
                )
            )

    async def close(
        self, phase: ExecutionPhase, outputs: RunOutput, error: ErrorDocument | None, reason: str
    ) -> None:
        """Write the final state of all nodes and of the execution."""
        nodes = tuple(state.record() for state in self._states)
        for start in range(0, len(nodes) - BATCH, BATCH):
            await self._call(
                calls.RecordRequest(execution=self._execution, nodes=nodes[start : start + BATCH])
            )
        rest = nodes[(max(len(nodes) - 1, 0) // BATCH) * BATCH :]
        await self._call(
            calls.RecordRequest(
                execution=self._execution,
                nodes=rest,
                phase=phase,
                outputs=outputs.outputs,
                error=error,
                reason=reason,
                at=workflow.now(),
            )
        )

    def _call(self, request: calls.RecordRequest) -> workflow.ActivityHandle[None]:
        return workflow.start_local_activity(
            calls.RECORD,
            request,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200)),
            summary="records",
        )
