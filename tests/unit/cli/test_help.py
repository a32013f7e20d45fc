"""`run FILE` and `run FILE ENTITY --help`: complete as plain lines, the same words in colours on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from flyte_temporal.cli import program
from flyte_temporal.cli.output import Output
from tests.unit.cli.scripted import Screen

PROGRAM = '''
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Optional

from flyte_temporal import FlyteFile, task, workflow


class Color(Enum):
    RED = "r"
    BLUE = "b"


@dataclass
class Point:
    x: int
    y: float = 0.5


@task
def paint(name: str, at: list[Point], data: FlyteFile, wait: timedelta = timedelta(minutes=5),
          color: Color = Color.RED, dry: bool = False, note: Optional[str] = None) -> str:
    """Paint points.

    Slowly.

    Args:
        name: Who paints.
        color: The colour.
        dry: Whether to wait.

    Returns:
        A report.
    """
    return name


@workflow
def nothing() -> None:
    """Do nothing at all."""
'''

PAINT = """\
Usage: flyte-temporal run FILE paint [INPUTS] [OPTIONS]

Paint points.

Slowly.

Inputs:
  --name           str          Who paints.  [required]
  --at             list[Point]  [required]
  --data           FlyteFile    [required]
  --wait           duration     [default: PT300S]
  --color          Color        The colour.  [default: RED]
  --dry, --no-dry  bool         Whether to wait.  [default: false]
  --note           str | None   [default: null]

Outputs:
  o0  str  A report.

How values are written:
  Point      {x: int, y?: float}
  FlyteFile  a local path, which is uploaded, or an address such as s3://…
  duration   5m, 1h30m, PT1H30M, or a number of seconds
  Color      one of RED, BLUE
  JSON       lists, tuples, dictionaries and records: as text, or @FILE, a JSON or YAML file

Options such as --local, --detach and --inputs FILE: see 'flyte-temporal run --help'. \
Behind the name, --name is the input; the option stands before FILE.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "paint.py"
    path.write_text(PROGRAM)
    return path


def test_the_help_of_an_entity(file: Path, screen: Screen) -> None:
    assert program.run(["run", str(file), "paint", "--help"], screen.output) == 0
    assert screen.stdout.replace(str(file), "FILE") == PAINT
    assert screen.stderr == ""


def test_help_is_shown_whatever_else_is_wrong(file: Path, screen: Screen) -> None:
    words = ["run", str(file), "paint", "--zzz", "1", "--help", "--inputs", "no.json"]
    assert program.run(words, screen.output) == 0
    assert screen.stdout.startswith("Usage: ")


def test_the_entities_of_a_file(file: Path, screen: Screen) -> None:
    assert program.run(["run", str(file)], screen.output) == 0
    assert screen.stdout.replace(str(file), "FILE") == (
        "Usage: flyte-temporal run FILE NAME [INPUTS]\n\n"
        "Workflows:\n  nothing  ()  Do nothing at all.\n\n"
        "Tasks:\n  paint  (name: str, at: list[Point], data: FlyteFile, wait: duration…)  Paint points.\n\n"
        "Put --help behind a name to see its inputs.\n"
    )


def test_the_entities_as_json(file: Path, screen: Screen) -> None:
    assert program.run(["run", "-o", "json", str(file)], screen.output) == 0
    found = json.loads(screen.stdout)["entities"]
    assert {"name": "nothing", "kind": "workflow", "description": "Do nothing at all."} in found
    assert [each["name"] for each in found] == ["paint", "nothing"]


def test_a_file_without_entities(tmp_path: Path, screen: Screen) -> None:
    (tmp_path / "empty.py").touch()
    assert program.run(["run", str(tmp_path / "empty.py")], screen.output) == 0
    assert "has no task or workflow. Decorate a function" in screen.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_has_colours_and_fits_the_width(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    assert program.run(["run", str(file), "paint", "--help"], Output(stdout=out)) == 0
    text = out.getvalue()
    assert "\x1b[" in text
    from rich.text import Text

    plain = Text.from_ansi(text).plain
    assert all(len(line) <= 70 for line in plain.splitlines() if str(file) not in line)
    for word in ("--dry, --no-dry", "Whether to wait.", "required", "one of RED, BLUE", "A report."):
        assert word in plain
