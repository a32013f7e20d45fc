"""Opening a database the way the store needs it."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from flyte_temporal.errors import BadRequest

WRITE = {"flyte_temporal_write": True}
"""Execution options of a connection whose transaction will write."""

_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""After how long a PostgreSQL that is gone without a word counts as gone: a host that falls over answers nothing, and the
kernel would wait a quarter of an hour for what was sent, and two hours for an answer."""

_STATEMENTS = {"statement_timeout": "30s", "lock_timeout": "10s"}
"""How long PostgreSQL works on a statement of ours, or lets it wait for a lock."""


def open_engine(url: str, *, synchronous: str, busy_timeout_s: float) -> Engine:
    """Return an engine; nothing is connected yet.

    Args:
        url: SQLAlchemy URL. `postgresql://` means psycopg 3.
        synchronous: `normal` or `full`, for SQLite.
        busy_timeout_s: How long SQLite waits for a lock.

    Raises:
        BadRequest: If the URL cannot be read or names a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadRequest(
            "FLYTE_TEMPORAL_METADATA__URL is not a database URL. Write sqlite:////path/metadata.db or "
            "postgresql+psycopg://user@host/database."
        ) from error
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, synchronous, busy_timeout_s)
        case "postgresql":
            return _postgresql(parsed)
        case other:
            raise BadRequest(f"The metadata store runs on sqlite and postgresql, not on {other}.")


def _postgresql(url: URL) -> Engine:
    # What the address says of these wins.
    network = {name: value for name, value in _NETWORK.items() if name not in url.query}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=network)

    def connected(connection: Any, _record: object) -> None:
        # Not as `options` of the connection, which poolers refuse. What the address, the role or the database sets stays.
        connection.autocommit = True
        connection.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value) "
            "WHERE current_setting(name) = '0'",
            (list(_STATEMENTS), list(_STATEMENTS.values())),
        )
        connection.autocommit = False

    event.listen(engine, "connect", connected)
    return engine


def without_limits(connection: Connection) -> None:
    """Let the statements of a transaction take as long as they take, and wait for locks as long; for migrations."""
    if connection.dialect.name == "postgresql":
        for name in _STATEMENTS:
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")


def _sqlite(url: URL, synchronous: str, busy_timeout_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # Without this the driver begins transactions by itself, late and deferred.
        connection.isolation_level = None
        _use_wal(connection, busy_timeout_s)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=on")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and then writes fails at once when another writer came between; an
    # immediate one waits its turn by the busy time-out.
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("flyte_temporal_write") else "BEGIN")


def _use_wal(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    # Two processes that open a new file at once: the switch to WAL does not always wait by the busy time-out.
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
