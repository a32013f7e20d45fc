"""A pickle that writes a file when it is opened: nobody but the task that takes it opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Command

PROGRAM = """
import os
from flyte_temporal import FlytePickle, task, workflow


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return _spring, (self.path,)


def _spring(path: str) -> Trap:
    os.makedirs(path)
    return Trap(path)


@task
def lay(path: str) -> list[FlytePickle[Trap]]:
    return [Trap(path)]


@task
def through(traps: list[FlytePickle[Trap]], open_them: bool) -> str:
    return traps[0].path


@workflow
def closed(path: str) -> list[FlytePickle[Trap]]:
    return lay(path=path)


@workflow
def opened(path: str) -> str:
    return through(traps=lay(path=path), open_them=True)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "h")
    try:
        yield command
    finally:
        command("down", expect=None)


@pytest.mark.slow
def test_whoever_looks_at_a_run_opens_nothing(cli: Command, tmp_path: Path) -> None:
    file, sprung = tmp_path / "traps.py", tmp_path / "sprung"
    file.write_text(PROGRAM)
    done = cli("run", "-o", "json", file, "closed", "--path", str(sprung)).document
    (reference,) = done["outputs"]["o0"]
    assert reference["codec"] == "pickle"
    assert reference["uri"].startswith("file://")
    cli("run", file, "closed", "--path", str(sprung))
    assert cli("wait", "-o", "json", done["id"]).document["outputs"] == done["outputs"]
    cli("get", "execution", "-o", "json", done["id"])
    cli("get", "nodes", "-o", "json", done["id"])
    assert not sprung.exists()
    # The trap is one: the task that takes the value opens it.
    assert cli("run", "-o", "json", file, "opened", "--path", str(sprung)).document["outputs"] == {
        "o0": str(sprung)
    }
    assert sprung.exists()
