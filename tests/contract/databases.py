"""A real PostgreSQL (Debian's program, in a temporary folder, on a unix socket of its own), and databases on it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def new_database(server: str) -> str:
    """Return the address of a new, empty database on a server."""
    import psycopg

    name = f"t{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    onpath = shutil.which("initdb")
    return Path(onpath).resolve().parent if onpath else None


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root; any account without a home will do."""
    return ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []


class Postgres:
    """A server of the test's own.

    Args:
        folder: For its files and its socket; other accounts may enter it.
        port: On 127.0.0.1, for who cannot reach the socket; 0 = none, so that no port can collide.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._tcp = f"-c listen_addresses=127.0.0.1 -p {port}" if port else "-c listen_addresses="
        self.url = f"postgresql://ft@/postgres?host={folder}"

    def make(self) -> None:
        """Make its files."""
        initdb = f"{_programs()}/initdb"
        self._run(
            initdb, "-D", f"{self._folder}/data", *["-U", "ft", "-A", "trust", "-E", "UTF8", "--no-sync"]
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("-o", f"-k {self._folder} {self._tcp} -c fsync=off", "start")

    def stop(self) -> None:
        """End it as a crash does."""
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        files = ("-D", f"{self._folder}/data", "-w", "-l", f"{self._folder}/log")
        self._run(f"{_programs()}/pg_ctl", *files, *words)

    def _run(self, *words: str) -> None:
        line = [*_unprivileged(), *words]
        # The server keeps what it inherits; a pipe would never end.
        subprocess.run(
            line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder
        )


@contextmanager
def postgres(port: int = 0) -> Iterator[Postgres]:
    """Run a PostgreSQL server inside of the block; the test is skipped where there is no program."""
    if _programs() is None:
        pytest.skip("no PostgreSQL server program here (Debian: apt-get install postgresql)")
    if _unprivileged() and shutil.which("runuser") is None:
        pytest.skip(
            "PostgreSQL refuses to run as root, and `runuser` is not here to run it as another account"
        )
    # Not below pytest's own folder: that one is closed to other accounts.
    folder = Path(tempfile.mkdtemp(prefix="ft-postgres-"))
    folder.chmod(0o777)
    server = Postgres(folder, port)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as server:
        yield server.url
