"""Pages of the documentation taken apart into what the tests do with them.

    ```python              a block whose first line is `# file: NAME` is written to that file
    # file: hello.py
    ```
    ```json file=in.json   the same for formats without comments
    ```sh                  then each line is run: `flyte-temporal …` or `python FILE`; `# exits 2` says its exit code
    ```text                a block that follows directly is what they print, together; `…` stands for anything
    ```json                the same as one JSON document

A `sh` block before the first file of a page is not run: it is about something else.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^(`{3,})(\S*)[ ]*([^\n`]*)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"#\s*file:\s*(\S+)")
_EXITS = re.compile(r"#\s*exits (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        line: Line of its fence, from 1.
        language: Word behind the fence.
        text: What is in it.
        file: Name of the file that it is, or nothing.
        next_to: Whether only blank lines stand between it and the block before.
    """

    line: int
    language: str
    text: str
    file: str
    next_to: bool


@dataclass
class Step:
    """Files to write, then lines to run, then what they print.

    Args:
        line: Line of the `sh` block in the page.
        commands: Words of each line, and its exit code.
        expected: What they print, if the page says so.
    """

    line: int
    files: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[list[str], int]] = field(default_factory=list)
    expected: Block | None = None


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    end = 0
    for found in _FENCE.finditer(text):
        content = found[4]
        named = re.search(r"file=(\S+)", found[3]) or _FILE.match(content)
        between = text[end : found.start()]
        end = found.end()
        yield Block(
            line=text.count("\n", 0, found.start()) + 1,
            language=found[2],
            text=content,
            file=named[1] if named else "",
            next_to=not between.strip(),
        )


def steps(text: str) -> list[Step]:
    """Return what is to be done for a page, in order."""
    found: list[Step] = []
    files: dict[str, str] = {}
    started = False
    last: Step | None = None
    for block in blocks(text):
        previous, last = last, None
        if block.file:
            started = True
            files[block.file] = block.text
        elif block.language == "sh" and started:
            last = Step(block.line, files, [_command(line) for line in _lines(block.text)])
            files = {}
            found.append(last)
        elif previous is not None and block.next_to and block.language in {"text", "json"}:
            previous.expected = block
    if files:
        found.append(Step(0, files))
    return found


def _lines(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", " ").splitlines() if line.split("#")[0].strip()]


def _command(line: str) -> tuple[list[str], int]:
    exits = _EXITS.search(line)
    return shlex.split(line, comments=True), int(exits[1]) if exits else 0


def differs(expected: Block, printed: str) -> str:
    """Return how what was printed differs from what the page says, or nothing."""
    if expected.language == "json":
        stated, found = json.loads(expected.text), json.loads(printed)
        return "" if _same(stated, found) else f"{found!r}\nis not\n{stated!r}"
    return "" if _fits(expected.text, printed) else f"{printed}\nis not\n{expected.text}"


def _same(stated: Any, found: Any) -> bool:
    match stated:
        case str():
            return stated == "…" or (isinstance(found, str) and _fits(stated, found))
        case dict():
            return (
                isinstance(found, dict)
                and stated.keys() == found.keys()
                and all(_same(value, found[key]) for key, value in stated.items())
            )
        case list():
            return isinstance(found, list) and len(stated) == len(found) and all(map(_same, stated, found))
        case _:
            return bool(stated == found) and type(stated) is type(found)


def _fits(stated: str, found: str) -> bool:
    """Compare texts, each `…` standing for anything, without blanks at the ends of lines."""
    pattern = ".*?".join(re.escape(part) for part in _trimmed(stated).split("…"))
    return re.fullmatch(pattern, _trimmed(found), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def read(path: Path) -> str:
    """Return the text of a page."""
    return path.read_text(encoding="utf-8")
