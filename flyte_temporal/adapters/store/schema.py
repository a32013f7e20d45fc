r"""The tables. Documents are kept whole as canonical JSON text; what is searched or sorted by has a column of its own.

JSON stands in TEXT, not JSONB: JSONB refuses `\u0000`, which a user's string may contain, and would not give the bytes
back as they were written.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

HEAD = "0003"
"""Newest migration; a test compares it with the migrations, so that the fast path needs no Alembic."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}
"""Names of constraints are fixed, so that a later migration can address them on every database."""


class Utc(TypeDecorator[datetime]):
    """A moment. SQLite forgets time zones: all are stored, and come back, as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Attach or convert to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(naming_convention=NAMES)

versions = Table("alembic_version", metadata, Column("version_num", String(32), nullable=False))
versions.append_constraint(PrimaryKeyConstraint("version_num", name="alembic_version_pkc"))

entities = Table(
    "entities",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("version", String(255), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("closure_sha256", String(64), nullable=False),
    Column("registered_at", Utc, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("root_kind", String(32), nullable=False),
    Column("root_name", String(255), nullable=False),
    Column("version", String(255), nullable=False),
    Column("spec", String(64), nullable=False),
    Column("requested_by", String(255), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("abort_reason", Text, nullable=False),
    Column("aborted_by", String(255), nullable=False),
    Column("request", Text, nullable=False),
    Column("outputs", Text, nullable=False),
    Column("error", Text),
    Column("run", String(64), nullable=False, server_default=""),
    # The name is the Temporal workflow id, which knows no project (decision 0005).
    UniqueConstraint("name"),
    Index(None, "project", "domain", "created_at"),
    Index(None, "phase"),
)

# No foreign key to executions: after a power cut this store can have lost the instant in which an execution was
# inserted while Temporal goes on running it. Its nodes are kept; the row comes back with the next equal request.
nodes = Table(
    "nodes",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("execution", String(128), primary_key=True),
    Column("node", String(200), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("document", Text, nullable=False),
)

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("task", String(255), nullable=False),
    Column("version", Text, nullable=False),
    Column("interface", String(64), nullable=False),
    Column("inputs", String(64), nullable=False),
    Column("outputs", Text, nullable=False),
    Column("stored", Text),
    Column("outputs_digest", String(64), nullable=False),
    Column("execution", String(128), nullable=False),
    Column("node", String(200), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("attempt_key", Text, nullable=False),
    Column("objects", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("last_used_at", Utc, nullable=False),
    Index(None, "project", "domain", "last_used_at"),
    Index(None, "execution"),
)

# Who computes a key, while others wait. Moments are seconds of the database's own clock: a service's clock that is wrong
# would let a second owner in.
cache_leases = Table(
    "cache_leases",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("execution", String(128), nullable=False),
    Column("node", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("failures", Integer, nullable=False),
    Index(None, "expires_at"),
)

cache_waiters = Table(
    "cache_waiters",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("execution", String(128), primary_key=True),
)
