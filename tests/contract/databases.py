"""A real PostgreSQL (Debian's program, in a temporary folder, on a unix socket of its own), and databases on it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server program here (Debian: apt-get install postgresql)")
    if _unprivileged() and shutil.which("runuser") is None:
        pytest.skip(
            "PostgreSQL refuses to run as root, and `runuser` is not here to run it as another account"
        )
    # Not below pytest's own folder: that one is closed to other accounts.
    folder = Path(tempfile.mkdtemp(prefix="ft-postgres-"))
    folder.chmod(0o777)
    data = folder / "data"
    run = _unprivileged()
    try:
        subprocess.run(
            [
                *run,
                str(programs / "initdb"),
                "-D",
                str(data),
                "-U",
                "ft",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        control = [*run, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
        # No TCP at all, so no port can collide.
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            yield f"postgresql://ft@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
