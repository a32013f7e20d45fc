"""Connections of the store's parts to its database, for reading and for writing; its errors leave in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from flyte_temporal.adapters.store.connection import WRITE
from flyte_temporal.adapters.store.faults import translated


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection to read by."""
    with translated(engine.url), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a transaction, which is committed unless something is raised."""
    with (
        translated(engine.url),
        engine.connect().execution_options(**WRITE) as connection,
        connection.begin(),
    ):
        yield connection
