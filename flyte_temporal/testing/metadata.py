"""`MemoryMetadataStore`: the metadata store in a dictionary, under the contract suite of the real one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flyte_temporal.adapters.store.merging import (
    check_same_request,
    follow,
    is_foreign,
    is_undone,
    merge_execution,
    merge_node,
)
from flyte_temporal.errors import Conflict
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
from flyte_temporal.spec.runs import SHARDED_ORDER


class MemoryMetadataStore:
    """Keeps everything in this process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entities: dict[EntityId, str] = {}
        self._executions: dict[ExecutionId, ExecutionRecord] = {}
        self._nodes: dict[ExecutionId, dict[str, NodeRecord]] = {}

    def register(self, entity: EntityId, closure_sha256: str, at: datetime) -> None:  # noqa: ARG002 - of the port
        """Remember which closure an entity's version is."""
        with self._lock:
            if self._entities.setdefault(entity, closure_sha256) != closure_sha256:
                raise Conflict(
                    f"Version {entity.version!r} of {entity.name} is registered with other content."
                )

    def closure_of(self, entity: EntityId) -> str | None:
        """Return the digest of the closure of a registered entity, or None."""
        return self._entities.get(entity)

    def create_execution(self, request: ExecutionRequest, at: datetime) -> ExecutionRecord:
        """Insert an execution as QUEUED, or return the one that the same request made before."""
        new = ExecutionRecord(request=request, phase=ExecutionPhase.QUEUED, created_at=at.astimezone(UTC))
        with self._lock:
            named = (r for r in self._executions.values() if r.request.id.name == request.id.name)
            found = next(named, None)
            if found is None:
                found = self._executions[request.id] = new
        check_same_request(found, request)
        return found

    def record(self, change: RecordRequest) -> bool:
        """Write states of nodes and of their execution."""
        with self._lock:
            old = self._executions.get(change.execution)
            if old is not None and is_foreign(old, change):
                return False
            self._merge(change.execution, change.nodes, authoritative=True)
            if old is not None:
                self._executions[change.execution] = merge_execution(old, change)
            return True

    def follow_run(
        self, execution: ExecutionId, before: str, run: str, *, anew: datetime | None = None
    ) -> bool:
        """Let a record follow another run."""
        with self._lock:
            old = self._executions.get(execution)
            if old is None or old.run != before:
                return False
            if anew is not None:
                self._forget(execution, lambda node: is_undone(node, anew))
            self._executions[execution] = follow(old, run, anew=anew is not None)
            return True

    def record_nodes(
        self,
        execution: ExecutionId,
        nodes: Sequence[NodeRecord],
        *,
        anew: datetime | None = None,
        run: str = "",
    ) -> None:
        """Write states of nodes."""
        told = {node.id: node for node in nodes}
        with self._lock:
            old = self._executions.get(execution)
            if anew is not None and old is not None and old.run == run:
                in_shards = NodeFilter(in_shards=True)
                self._forget(execution, lambda n: _matches(n, in_shards) and is_undone(n, anew, told))
                self._executions[execution] = old.model_copy(update={"untold": False})
            self._merge(execution, nodes, authoritative=False)

    def _forget(self, execution: ExecutionId, undone: Callable[[NodeRecord], bool]) -> None:
        mine = self._nodes.get(execution, {})
        self._nodes[execution] = {path: node for path, node in mine.items() if not undone(node)}

    def _merge(self, execution: ExecutionId, nodes: Sequence[NodeRecord], *, authoritative: bool) -> None:
        mine = self._nodes.setdefault(execution, {})
        for node in nodes:
            mine[node.id] = merge_node(mine.get(node.id), node, authoritative=authoritative)

    def execution(self, execution: ExecutionId) -> ExecutionRecord | None:
        """Return an execution, or None."""
        return self._executions.get(execution)

    def executions(
        self, project: str, domain: str, *, phases: Sequence[ExecutionPhase] = (), limit: int = 100
    ) -> list[ExecutionRecord]:
        """Return executions, newest first."""
        with self._lock:
            found = [
                record
                for record in self._executions.values()
                if (record.request.id.project, record.request.id.domain) == (project, domain)
                and (not phases or record.phase in phases)
            ]
        found.sort(key=lambda record: record.request.id.name)
        found.sort(key=lambda record: record.created_at, reverse=True)
        return found[:limit]

    def open_executions(self) -> list[ExecutionRecord]:
        """Return all executions that are not over, oldest first."""
        with self._lock:
            found = [record for record in self._executions.values() if not record.phase.terminal]
        return sorted(found, key=lambda record: record.created_at)

    def executions_named(self, names: Sequence[str]) -> list[ExecutionRecord]:
        """Return the executions of these names, of every project."""
        with self._lock:
            return [record for record in self._executions.values() if record.request.id.name in names]

    def item_phases(self, execution: ExecutionId, path: str) -> dict[NodePhase, int]:
        """Return how many items of a map have a record in which phase."""
        size = len(path) + 1
        found = self.nodes(execution)
        return dict(Counter(n.phase for n in found if n.id[:size] == f"{path}[" and "." not in n.id[size:]))

    def nodes(self, execution: ExecutionId, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        """Return the node records of an execution in listing order."""
        with self._lock:
            found = list(self._nodes.get(execution, {}).values())
        found = [node for node in found if _matches(node, wanted)]
        found = sorted(found, key=lambda node: (node.order, node.id))[wanted.offset :]
        return found[: wanted.limit or None]

    def some_nodes(self, execution: ExecutionId, paths: Sequence[str]) -> dict[str, NodeRecord]:
        """Return the records of some nodes of an execution by their paths."""
        with self._lock:
            mine = self._nodes.get(execution, {})
            return {path: mine[path] for path in paths if path in mine}

    def mark_aborting(self, execution: ExecutionId, reason: str, by: str) -> None:
        """Remember who asked for an abort and why; the first who asked stays."""
        with self._lock:
            old = self._executions.get(execution)
            if old is None or old.phase.terminal or old.abort_reason or old.aborted_by:
                return
            update = {"abort_reason": reason, "aborted_by": by}
            self._executions[execution] = old.model_copy(update=update)

    def close(self) -> None:
        """Nothing is held."""


def _matches(node: NodeRecord, wanted: NodeFilter) -> bool:
    below = wanted.below
    if below and node.id != below and not node.id.startswith((f"{below}.", f"{below}[")):
        return False
    if wanted.phases and node.phase not in wanted.phases:
        return False
    return wanted.in_shards is None or wanted.in_shards is (node.order >= SHARDED_ORDER)
