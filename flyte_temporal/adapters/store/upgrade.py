"""Bringing a database to this release.

Alembic costs 0.3 s to import, so it is not touched when the tables are of this release, nor for a new SQLite file,
whose tables are made at once (a test proves that this gives the same as all migrations in turn).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, inspect, select

from flyte_temporal.adapters.store.connection import WRITE, without_limits
from flyte_temporal.adapters.store.schema import HEAD, metadata, versions
from flyte_temporal.errors import PlatformUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 0x666C7974
"""Number of PostgreSQL's advisory lock; any fixed one of our own will do."""


def upgrade(engine: Engine) -> None:
    """Bring the tables to this release. Processes that start together take turns.

    Args:
        engine: The database, as opened by `connection.open_engine`.

    Raises:
        PlatformUnavailable: If the database was made by a newer release.
    """
    _prepare_folder(engine)
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        without_limits(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        version = _version(connection)
        if version == HEAD:
            return
        if version is None and connection.dialect.name == "sqlite":
            metadata.create_all(connection)
            connection.execute(insert(versions).values(version_num=HEAD))
            return
        migrate(connection)


def migrate(connection: Connection, target: str = "head") -> None:
    """Run the migrations that are missing, in the transaction of the connection.

    Args:
        connection: A connection within a transaction.
        target: Revision to stop at.

    Raises:
        PlatformUnavailable: If the database was made by a newer release.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise PlatformUnavailable(
            f"The metadata store has version {_version(connection)}, which this release ({HEAD}) does not know: it "
            "was made by a newer one. Upgrade flyte-temporal, or use another store."
        ) from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(versions.name):
        return None
    return connection.execute(select(versions.c.version_num)).scalar_one_or_none()


def _prepare_folder(engine: Engine) -> None:
    database = engine.url.database
    if engine.dialect.name == "sqlite" and database and database != ":memory:":
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
