"""docs/commands.md has every command of the command line, and names nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import typer

from flyte_temporal.cli import words
from flyte_temporal.cli.commands import app
from flyte_temporal.client import AsyncClient, AsyncExecution, Client, Execution

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
METHODS = {"client": (Client, AsyncClient), "execution": (Execution, AsyncExecution)}


class Row(NamedTuple):
    """A row of one of the tables: the spans of code in its three columns."""

    commands: list[str]
    what: list[str]
    python: list[str]


def rows() -> list[Row]:
    lines = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    spans = [[re.findall(r"`([^`]+)`", cell) for cell in cells] for cells in lines if len(cells) == 3]
    return [Row(*cells) for cells in spans if cells[0]]


def options() -> dict[str, set[str]]:
    """Return each command, with the names of its options."""
    found: dict[str, set[str]] = {}

    def add(command: Any, path: str) -> None:
        if isinstance(command, typer.core.TyperGroup):
            for name, below in command.commands.items():
                add(below, f"{path} {name}".strip())
        else:
            found[path] = {name for parameter in command.params for name in parameter.opts} | {"--help"}

    add(typer.main.get_command(app), "")
    # These two read their words themselves.
    found["run"] = {*words.SWITCHES, *words.VALUES}
    found["recover"] = {*words.RECOVER_SWITCHES, *words.RECOVER_VALUES}
    return found


def command_of(written: str) -> str:
    """Return which command a line is of: its first words, up to what stands for something else."""
    return re.match(r"[a-z-]*(?: [a-z][a-z-]*)*", written)[0]  # type: ignore[index]


def test_every_command_is_on_the_page_and_no_other() -> None:
    assert {command_of(written) for row in rows() for written in row.commands} == set(options())


def test_every_option_on_the_page_exists() -> None:
    for row in rows():
        known = set.union(*(options()[command_of(written)] for written in row.commands))
        named = re.findall(r"--[a-z][a-z-]*", " ".join((*row.commands, *row.what)))
        assert set(named) <= known, row


def test_every_equal_in_python_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(client|execution)\.(\w+)", page))
    assert len(named) > 25
    for kind, name in named:
        assert [each for each in METHODS[kind] if not hasattr(each, name)] == [], (kind, name)


def test_only_what_has_no_equal_has_none() -> None:
    without = {command_of(written) for row in rows() if not row.python for written in row.commands}
    assert without == {"run", "port"}
