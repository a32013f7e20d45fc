"""`MetadataStore`: what must outlive Temporal's retention and be searched. Synchronous; callers use threads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import (
    ExecutionPhase,
    ExecutionRecord,
    ExecutionRequest,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.identifiers import EntityId, ExecutionId
from flyte_temporal.spec.listing import ALL, NodeFilter


class MetadataStore(Protocol):
    """Registered entities, executions and node records. All writes are idempotent."""

    def register(self, entity: EntityId, closure_sha256: str, at: datetime) -> None:
        """Remember which closure an entity's version is.

        Raises:
            Conflict: If the version is registered with another closure.
            PlatformUnavailable: If the store does not answer.
        """

    def closure_of(self, entity: EntityId) -> str | None:
        """Return the digest of the closure of a registered entity, or None."""

    def create_execution(self, request: ExecutionRequest, at: datetime) -> ExecutionRecord:
        """Insert an execution as QUEUED, or return the one that the same request made before.

        Raises:
            Conflict: If the id belongs to another request, or to an execution of another project or domain.
            PlatformUnavailable: If the store does not answer.
        """

    def record(self, change: RecordRequest) -> bool:
        """Write states of nodes and of their execution. A terminal state is never replaced by an earlier one.

        Returns:
            False, with nothing written, if the record follows another run than the one that the change is from.
            Whoever knows which of them is the newer one calls `follow_run`, or lets it be.
        """

    def follow_run(
        self, execution: ExecutionId, before: str, run: str, *, anew: datetime | None = None
    ) -> bool:
        """Let the record of an execution follow another run of Temporal from now on.

        Args:
            execution: The execution.
            before: The run that it follows now, as the caller knows it.
            run: The run that it is to follow.
            anew: If that run repeats another one (a reset), when that one had begun: its end is forgotten, and the states
                of the nodes that have not ended before. Those of nodes in shards of maps stay, because whether they are
                undone only the new run can tell (`record_nodes`); until it has, the record is `untold`.

        Returns:
            False, with nothing changed, if the record does not follow `before` (any more).
        """

    def record_nodes(
        self,
        execution: ExecutionId,
        nodes: Sequence[NodeRecord],
        *,
        anew: datetime | None = None,
        run: str = "",
    ) -> None:
        """Write states of nodes; a state of a later attempt, or a terminal one, is never replaced by an older.

        Args:
            execution: The execution.
            nodes: The states.
            anew: If they are all nodes of a run after a reset, as in `follow_run`: states of nodes in shards of maps
                that it has still to run are forgotten, and the record is `untold` no more.
            run: That run; if the record follows another one by now, nothing is forgotten.
        """

    def execution(self, execution: ExecutionId) -> ExecutionRecord | None:
        """Return an execution, or None."""

    def executions(
        self, project: str, domain: str, *, phases: Sequence[ExecutionPhase] = (), limit: int = 100
    ) -> list[ExecutionRecord]:
        """Return executions, newest first."""

    def open_executions(self) -> list[ExecutionRecord]:
        """Return all executions that are not over, of every project, oldest first (for reconciliation)."""

    def executions_named(self, names: Sequence[str]) -> list[ExecutionRecord]:
        """Return the executions of these names, of every project; those that do not exist are left out."""

    def nodes(self, execution: ExecutionId, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        """Return the node records of an execution in listing order, those that are wanted."""

    def item_phases(self, execution: ExecutionId, path: str) -> dict[NodePhase, int]:
        """Return how many items of a map have a record in which phase."""

    def some_nodes(self, execution: ExecutionId, paths: Sequence[str]) -> dict[str, NodeRecord]:
        """Return the records of some nodes of an execution by their paths, as far as there are any."""

    def mark_aborting(self, execution: ExecutionId, reason: str, by: str) -> None:
        """Remember who asked for an abort and why; the phase changes when the run has ended."""

    def close(self) -> None:
        """Release connections."""
