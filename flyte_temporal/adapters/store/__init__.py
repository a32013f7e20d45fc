"""The metadata store on SQLAlchemy: SQLite for the local stack, PostgreSQL in production, the same code.

Called by composition roots only (`worker`, `local`, later `server`): `sql.SqlMetadataStore`, `upgrade.upgrade`. Apart
from the other adapters because it is the one place that knows SQL. `merging` holds the rules of the port as pure
functions; the fake in `testing` uses the same ones.
"""
