"""What SQLite and PostgreSQL write differently, and the clock of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Float, Table, literal_column
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    # 0.2 s to import, for those who use it.
    from sqlalchemy.dialects import postgresql

T = TypeVar("T")


def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say what happens on a conflict."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)


def now_s(dialect: str) -> ColumnElement[Any]:
    """Return the database's own time in seconds since 1970, as an expression of a statement."""
    if dialect == "postgresql":
        return literal_column("extract(epoch from clock_timestamp())::float8", Float())
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float())


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield some items after the other."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
