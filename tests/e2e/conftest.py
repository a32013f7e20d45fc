"""One local stack for all end-to-end tests, on a home of its own, and surely stopped; and the ways to command it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.e2e.forking import forked


@contextmanager
def stacked(home: Path, variables: tuple[tuple[str, str], ...] = ()) -> Iterator[Command]:
    """Return the commands of a local stack, in forks of one process; it is stopped when the block ends."""
    with forked(home, variables) as command:
        try:
            yield command
        finally:
            command("down", expect=None)


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with stacked(tmp_path_factory.mktemp("home") / "h") as command:
        yield command


@pytest.fixture
def fresh_cli(tmp_path: Path) -> Iterator[Command]:
    """A home on which nothing has run, and on which nothing should come to run."""
    command = Command(tmp_path / "h")
    try:
        yield command
    finally:
        if command.home.exists():
            command("down", expect=None)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A user's file, in a folder of its own."""
    source = tmp_path / "src" / "program.py"
    source.parent.mkdir()
    source.write_text(
        Path(__file__).with_name("program.py.txt").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return source


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return an empty folder, in which programs note what has run."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder
