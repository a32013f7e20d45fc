"""`SqlMetadataStore`: the port `MetadataStore` on SQLAlchemy Core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, delete, func, select, update

from flyte_temporal.adapters.store.catalog import SqlCatalog
from flyte_temporal.adapters.store.connection import open_engine
from flyte_temporal.adapters.store.faults import translated
from flyte_temporal.adapters.store.filters import conditions, items_of
from flyte_temporal.adapters.store.merging import (
    check_same_request,
    follow,
    is_foreign,
    is_undone,
    merge_execution,
    merge_node,
)
from flyte_temporal.adapters.store.rows import (
    execution_key,
    execution_state,
    new_execution_row,
    node_row,
    read_execution,
    read_node,
)
from flyte_temporal.adapters.store.schema import entities, executions, nodes
from flyte_temporal.adapters.store.statements import insert_into
from flyte_temporal.adapters.store.transactions import reading, writing
from flyte_temporal.adapters.store.upgrade import upgrade
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

_log = logging.getLogger(__name__)

_OPEN = [phase.value for phase in ExecutionPhase if not phase.terminal]

_EVERY = 2**31 - 1
"""A limit that is none, for databases that take no offset without one."""

_BATCH = 500
"""Rows per statement; SQLite takes 32,766 parameters at most."""


class SqlMetadataStore:
    """Metadata in SQLite or PostgreSQL. Safe for threads; one instance per process is enough.

    Args:
        url: SQLAlchemy URL.
        synchronous: `normal` or `full`, for SQLite; see `config.settings.MetadataSettings`.
        busy_timeout_s: How long a write waits for another one, for SQLite.
    """

    def __init__(self, url: str, *, synchronous: str = "normal", busy_timeout_s: float = 10.0) -> None:
        self._engine = open_engine(url, synchronous=synchronous, busy_timeout_s=busy_timeout_s)

    @property
    def catalog(self) -> SqlCatalog:
        """Return the catalog in the same database."""
        return SqlCatalog(self._engine)

    def upgrade(self) -> None:
        """Bring the tables to this release, under a lock; a few milliseconds when they are there.

        Raises:
            PlatformUnavailable: If the database cannot be used, or was made by a newer release.
        """
        with translated(self._engine.url):
            upgrade(self._engine)

    def register(self, entity: EntityId, closure_sha256: str, at: datetime) -> None:
        """Remember which closure an entity's version is; see the port."""
        row = {**_entity_key(entity), "closure_sha256": closure_sha256, "registered_at": at}
        with writing(self._engine) as connection:
            self._insert_new(connection, entities, row)
            found = connection.execute(_where_entity(entity)).scalar_one()
        if found != closure_sha256:
            raise Conflict(
                f"Version {entity.version!r} of {entity.kind} {entity.name} is registered already, with other "
                "content. Versions never change: choose another one."
            )

    def closure_of(self, entity: EntityId) -> str | None:
        """Return the digest of the closure of a registered entity, or None."""
        with reading(self._engine) as connection:
            return connection.execute(_where_entity(entity)).scalar_one_or_none()

    def create_execution(self, request: ExecutionRequest, at: datetime) -> ExecutionRecord:
        """Insert an execution as QUEUED, or return the one that the same request made before; see the port."""
        record = ExecutionRecord(request=request, phase=ExecutionPhase.QUEUED, created_at=at)
        row = new_execution_row(record)
        with writing(self._engine) as connection:
            self._insert_new(connection, executions, row)
            # By the name alone: it may belong to another project, whose row has kept this one out.
            named = select(executions).where(executions.c.name == request.id.name)
            found = read_execution(connection.execute(named).mappings().one())
        check_same_request(found, request)
        return found

    def record(self, change: RecordRequest) -> bool:
        """Write states of nodes and of their execution; see the port."""
        with writing(self._engine) as connection:
            found = self._locked(connection, change.execution)
            old = None if found is None else read_execution(found._mapping)  # noqa: SLF001 - a public name
            if old is not None and is_foreign(old, change):
                return False
            self._write_nodes(connection, change.execution, change.nodes, authoritative=True)
            if change.phase is None:
                return True
            if old is None:
                _log.warning(
                    "No execution %s is stored; its phase %s is not.", change.execution, change.phase
                )
                return True
            new = merge_execution(old, change)
            if new is not old:
                self._write_execution(connection, new)
            return True

    def follow_run(
        self, execution: ExecutionId, before: str, run: str, *, anew: datetime | None = None
    ) -> bool:
        """Let a record follow another run; see the port."""
        with writing(self._engine) as connection:
            found = self._locked(connection, execution)
            old = None if found is None else read_execution(found._mapping)  # noqa: SLF001
            if old is None or old.run != before:
                return False
            if anew is not None:
                self._forget(connection, execution, lambda node: is_undone(node, anew), in_shards=False)
            self._write_execution(connection, follow(old, run, anew=anew is not None))
            return True

    def record_nodes(
        self,
        execution: ExecutionId,
        nodes: Sequence[NodeRecord],
        *,
        anew: datetime | None = None,
        run: str = "",
    ) -> None:
        """Write states of nodes; see the port."""
        told = {node.id: node for node in nodes}
        with writing(self._engine) as connection:
            found = self._locked(connection, execution)
            old = None if found is None else read_execution(found._mapping)  # noqa: SLF001
            if anew is not None and old is not None and old.run == run:
                self._forget(connection, execution, lambda node: is_undone(node, anew, told), in_shards=True)
                self._write_execution(connection, old.model_copy(update={"untold": False}))
            self._write_nodes(connection, execution, nodes, authoritative=False)

    def execution(self, execution: ExecutionId) -> ExecutionRecord | None:
        """Return an execution, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(_where_execution(execution)).one_or_none()
        return None if row is None else read_execution(row._mapping)  # noqa: SLF001

    def executions(
        self, project: str, domain: str, *, phases: Sequence[ExecutionPhase] = (), limit: int = 100
    ) -> list[ExecutionRecord]:
        """Return executions, newest first."""
        wanted = select(executions).where(executions.c.project == project, executions.c.domain == domain)
        if phases:
            wanted = wanted.where(executions.c.phase.in_([phase.value for phase in phases]))
        wanted = wanted.order_by(executions.c.created_at.desc(), executions.c.name).limit(limit)
        return self._read_executions(wanted)

    def open_executions(self) -> list[ExecutionRecord]:
        """Return all executions that are not over, of every project, oldest first."""
        wanted = select(executions).where(executions.c.phase.in_(_OPEN)).order_by(executions.c.created_at)
        return self._read_executions(wanted)

    def executions_named(self, names: Sequence[str]) -> list[ExecutionRecord]:
        """Return the executions of these names, of every project."""
        found: list[ExecutionRecord] = []
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            found += self._read_executions(select(executions).where(executions.c.name.in_(some)))
        return found

    def nodes(self, execution: ExecutionId, wanted: NodeFilter = ALL) -> list[NodeRecord]:
        """Return the node records of an execution in listing order, those that are wanted; see the port."""
        query = select(nodes.c.document).where(_of(execution), *conditions(wanted))
        query = query.order_by(nodes.c.position, nodes.c.node)
        if wanted.limit or wanted.offset:
            query = query.limit(wanted.limit or _EVERY).offset(wanted.offset)
        with reading(self._engine) as connection:
            return [read_node(row) for row in connection.execute(query).mappings()]

    def item_phases(self, execution: ExecutionId, path: str) -> dict[NodePhase, int]:
        """Return how many items of a map have a record in which phase."""
        query = select(nodes.c.phase, func.count()).where(_of(execution), *items_of(path))
        with reading(self._engine) as connection:
            rows = connection.execute(query.group_by(nodes.c.phase)).all()
        return {NodePhase(phase): int(count) for phase, count in rows}

    def some_nodes(self, execution: ExecutionId, paths: Sequence[str]) -> dict[str, NodeRecord]:
        """Return the records of some nodes of an execution by their paths."""
        found: dict[str, NodeRecord] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(paths), _BATCH):
                found |= self._some(connection, execution, paths[start : start + _BATCH])
        return found

    def mark_aborting(self, execution: ExecutionId, reason: str, by: str) -> None:
        """Remember who asked for an abort and why; the first who asked stays."""
        mine = and_(*(executions.c[k] == v for k, v in execution_key(execution).items()))
        undecided = and_(mine, executions.c.phase.in_(_OPEN), executions.c.aborted_by == "")
        undecided = and_(undecided, executions.c.abort_reason == "")
        with writing(self._engine) as connection:
            values = {"abort_reason": reason, "aborted_by": by[:255]}
            connection.execute(update(executions).where(undecided).values(values))

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()

    def _read_executions(self, wanted: Select[Any]) -> list[ExecutionRecord]:
        with reading(self._engine) as connection:
            return [read_execution(row) for row in connection.execute(wanted).mappings()]

    def _insert_new(self, connection: Connection, table: Table, row: dict[str, Any]) -> None:
        connection.execute(insert_into(self._engine.dialect.name, table).values(row).on_conflict_do_nothing())

    def _locked(self, connection: Connection, execution: ExecutionId) -> Row[Any] | None:
        # The row lock makes writers of one execution take turns on PostgreSQL; on SQLite the transaction does.
        return connection.execute(_where_execution(execution).with_for_update()).one_or_none()

    def _write_execution(self, connection: Connection, record: ExecutionRecord) -> None:
        mine = [executions.c[k] == v for k, v in execution_key(record.request.id).items()]
        connection.execute(update(executions).where(*mine).values(execution_state(record)))

    def _write_nodes(
        self,
        connection: Connection,
        execution: ExecutionId,
        records: Sequence[NodeRecord],
        *,
        authoritative: bool,
    ) -> None:
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            kept = self._some(connection, execution, [record.id for record in batch])
            changed: dict[str, NodeRecord] = {}
            for record in batch:
                old = kept.get(record.id)
                merged = merge_node(old, record, authoritative=authoritative)
                if merged != old:
                    kept[record.id] = changed[record.id] = merged
            self._upsert_nodes(connection, [node_row(execution, record) for record in changed.values()])

    @staticmethod
    def _forget(
        connection: Connection,
        execution: ExecutionId,
        undone: Callable[[NodeRecord], bool],
        *,
        in_shards: bool,
    ) -> None:
        wanted = conditions(NodeFilter(in_shards=in_shards))
        rows = connection.execute(select(nodes.c.document).where(_of(execution), *wanted)).mappings()
        paths = [node.id for node in map(read_node, rows) if undone(node)]
        for start in range(0, len(paths), _BATCH):
            some = nodes.c.node.in_(paths[start : start + _BATCH])
            connection.execute(delete(nodes).where(_of(execution), some))

    @staticmethod
    def _some(connection: Connection, execution: ExecutionId, paths: Sequence[str]) -> dict[str, NodeRecord]:
        wanted = select(nodes.c.document).where(_of(execution), nodes.c.node.in_(paths))
        return {node.id: node for node in map(read_node, connection.execute(wanted).mappings())}

    def _upsert_nodes(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        insert = insert_into(self._engine.dialect.name, nodes)
        state = ("position", "phase", "attempts", "document")
        key = [nodes.c.project, nodes.c.domain, nodes.c.execution, nodes.c.node]
        values = {name: insert.excluded[name] for name in state}
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=values), rows)


def _entity_key(entity: EntityId) -> dict[str, str]:
    return {
        "project": entity.project,
        "domain": entity.domain,
        "name": entity.name,
        "version": entity.version,
        "kind": entity.kind,
    }


def _where_entity(entity: EntityId) -> Select[str]:
    mine = [entities.c[k] == v for k, v in _entity_key(entity).items()]
    return select(entities.c.closure_sha256).where(*mine)


def _where_execution(execution: ExecutionId) -> Select[Any]:
    mine = [executions.c[k] == v for k, v in execution_key(execution).items()]
    return select(executions).where(*mine)


def _of(execution: ExecutionId) -> Any:
    return and_(
        nodes.c.project == execution.project,
        nodes.c.domain == execution.domain,
        nodes.c.execution == execution.name,
    )
