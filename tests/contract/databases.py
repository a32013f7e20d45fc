"""Databases of a PostgreSQL server that a test has for itself."""

from __future__ import annotations

import secrets


def new_database(server: str) -> str:
    """Return the address of a new, empty database on a server."""
    import psycopg

    name = f"t{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")
