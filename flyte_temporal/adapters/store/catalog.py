"""`SqlCatalog`: the port `Catalog` in the metadata store's own database.

All statements name their keys in order, so that two writers of several keys take their locks in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Engine, RowMapping, Select, and_, delete, or_, select, update

from flyte_temporal.adapters.store.faults import translated
from flyte_temporal.adapters.store.leases import Leases
from flyte_temporal.adapters.store.schema import cache_entries as table
from flyte_temporal.adapters.store.statements import batches, insert_into
from flyte_temporal.adapters.store.transactions import reading, writing
from flyte_temporal.faults import buggify
from flyte_temporal.spec.cache import (
    CacheEntry,
    EntryFilter,
    EntryUse,
    Lease,
    LeaseOwner,
    Reservation,
    StoredObject,
)
from flyte_temporal.spec.document import canonical_bytes, canonical_json
from flyte_temporal.spec.literals import LiteralValue, Offloaded

_BATCH = 500
"""Keys per statement; SQLite takes 32,766 parameters at most."""

_OUTPUTS: TypeAdapter[dict[str, LiteralValue]] = TypeAdapter(dict[str, LiteralValue])

_PLAIN = tuple(c.name for c in table.c if c.name not in {"outputs", "stored", "objects"})
"""Columns that are fields of an entry as they are."""

_OF_USE = tuple(table.c[name] for name in EntryUse.model_fields)


class SqlCatalog:
    """Remembered outputs in SQLite or PostgreSQL. Safe for threads.

    Args:
        engine: The database of the metadata store, of this release (`SqlMetadataStore.upgrade`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leases = Leases(engine.dialect.name)
        self.quick = engine.dialect.name == "sqlite"

    def find(self, keys: Collection[str]) -> dict[str, CacheEntry]:
        """Return the entries that there are, by key."""
        found: dict[str, CacheEntry] = {}
        with reading(self._engine) as connection:
            for some in batches(sorted(keys), _BATCH):
                rows = connection.execute(select(table).where(table.c.key.in_(some))).mappings()
                found.update((row["key"], _read(row)) for row in rows)
        return found

    def used(self, keys: Collection[str], at: datetime) -> None:
        """Note that entries were hit."""
        with writing(self._engine) as connection:
            for some in batches(sorted(keys), _BATCH):
                connection.execute(update(table).where(table.c.key.in_(some)).values(last_used_at=at))

    def put(self, entries: Sequence[tuple[CacheEntry, Lease | None]]) -> list[bool]:
        """Store entries; see the port."""
        stored: dict[int, bool] = {}
        ordered = sorted(enumerate(entries), key=lambda each: each[1][0].key)
        with writing(self._engine) as connection:
            buggify("catalog.before")
            rows: dict[str, dict[str, Any]] = {}
            for position, (entry, lease) in ordered:
                stored[position] = lease is None or self._leases.finish(connection, lease)
                if stored[position]:
                    rows[entry.key] = _row(entry)
            if rows:
                insert = insert_into(self._engine.dialect.name, table)
                values = {
                    column.name: insert.excluded[column.name] for column in table.c if column.name != "key"
                }
                wanted = insert.on_conflict_do_update(index_elements=[table.c.key], set_=values)
                connection.execute(wanted, list(rows.values()))
        with translated(self._engine.url):
            buggify("catalog.after")
        return [stored[position] for position in range(len(entries))]

    def drop(self, entries: Sequence[CacheEntry | EntryUse]) -> int:
        """Remove entries, unless others have taken their place; see the port."""
        removed = 0
        with writing(self._engine) as connection:
            for entry in sorted(entries, key=lambda each: each.key):
                same = (table.c.attempt_key == entry.attempt_key, table.c.created_at == entry.created_at)
                removed += connection.execute(delete(table).where(table.c.key == entry.key, *same)).rowcount
        return removed

    def reserve(self, keys: Sequence[str], owners: Sequence[LeaseOwner], lease_s: float) -> list[Reservation]:
        """Ask for a lease on each key; see the port."""
        given: dict[int, Reservation] = {}
        with writing(self._engine) as connection:
            for position, key in sorted(enumerate(keys), key=lambda each: each[1]):
                given[position] = self._leases.reserve(connection, key, owners[position], lease_s)
        return [given[position] for position in range(len(keys))]

    def extend(self, lease: Lease, lease_s: float) -> bool:
        """Let a lease hold from now on; return whether it is the one on its key, though it may have run out."""
        with writing(self._engine) as connection:
            return self._leases.extend(connection, lease, lease_s)

    def release(self, leases: Sequence[Lease], *, failed: bool) -> None:
        """End leases without an entry, if they still are the ones on their keys."""
        with writing(self._engine) as connection:
            for lease in sorted(leases, key=lambda each: each.key):
                self._leases.release(connection, lease, failed=failed)

    def take_waiting(self, keys: Collection[str]) -> dict[str, list[str]]:
        """Return, by the name of their execution, the keys for which others wait, and forget that they do."""
        with writing(self._engine) as connection:
            return self._leases.take_waiting(connection, sorted(keys))

    def forget_leases(self) -> int:
        """Forget leases that ended long ago, some in each transaction so that others write in between; see the port."""
        forgotten = 0
        while True:
            with writing(self._engine) as connection:
                some = self._leases.forget_old(connection, _BATCH)
            if not some:
                return forgotten
            forgotten += some

    def entries(self, wanted: EntryFilter) -> list[CacheEntry]:
        """Return entries, the most recently used first."""
        with reading(self._engine) as connection:
            found = _filtered(select(table), wanted)
            return [_read(row) for row in connection.execute(found).mappings()]

    def uses(self, wanted: EntryFilter, after: EntryUse | None = None) -> list[EntryUse]:
        """Return what `entries` does, without outputs and objects; see the port."""
        found = _filtered(select(*_OF_USE), wanted)
        with reading(self._engine) as connection:
            rows = connection.execute(found if after is None else found.where(_follows(after))).mappings()
            return [EntryUse(**row) for row in rows]


def _follows(last: EntryUse) -> ColumnElement[bool]:
    # The first condition alone says where to begin in the index: with a plain OR each page would be looked for from the start.
    at = table.c.last_used_at
    return and_(at <= last.last_used_at, or_(at < last.last_used_at, table.c.key > last.key))


def _filtered(found: Select[Any], wanted: EntryFilter) -> Select[Any]:
    found = found.where(table.c.project == wanted.project, table.c.domain == wanted.domain)
    if wanted.key:
        found = found.where(table.c.key.startswith(wanted.key, autoescape=True))
    if wanted.task:
        last = table.c.task.endswith(f".{wanted.task}", autoescape=True)
        found = found.where(or_(table.c.task == wanted.task, last))
    if wanted.execution:
        found = found.where(table.c.execution == wanted.execution)
    if wanted.object:
        # As JSON, see `_row`. It is asked for when an object is damaged, so rarely that no index pays.
        found = found.where(table.c.objects.contains(f'["{wanted.object}",', autoescape=True))
    if wanted.unused_since is not None:
        found = found.where(table.c.last_used_at < wanted.unused_since)
    found = found.order_by(table.c.last_used_at.desc(), table.c.key)
    return found.limit(wanted.limit) if wanted.limit else found


def _row(entry: CacheEntry) -> dict[str, Any]:
    outputs = {name: json.loads(canonical_bytes(value)) for name, value in entry.outputs.items()}
    return {
        **{name: getattr(entry, name) for name in _PLAIN},
        "outputs": canonical_json(outputs).decode(),
        "stored": None if entry.stored is None else canonical_bytes(entry.stored).decode(),
        "objects": canonical_json([[each.key, each.size] for each in entry.objects]).decode(),
    }


def _read(row: RowMapping) -> CacheEntry:
    stored = row["stored"]
    return CacheEntry(
        **{name: row[name] for name in _PLAIN},
        outputs=_OUTPUTS.validate_json(row["outputs"]),
        stored=None if stored is None else Offloaded.model_validate_json(stored),
        objects=tuple(StoredObject(key=k, size=s) for k, s in json.loads(row["objects"])),
    )
