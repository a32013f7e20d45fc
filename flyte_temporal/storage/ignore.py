"""Which files of a source root go into a code bundle: gitignore's rules, from .gitignore and .flyteignore.

A matcher of our own rather than `git ls-files`, so that the same tree gives the same bundle whether or not git is
installed, the folder is a work tree, or a file happens to be tracked. A test compares it with `git check-ignore`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flyte_temporal.errors import BadRequest

ALWAYS_SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "__pycache__",
        "node_modules",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".import_linter_cache",
        ".ipynb_checkpoints",
        ".tox",
        ".nox",
        ".eggs",
        ".idea",
        ".vscode",
        ".DS_Store",
        ".flyte-temporal",
    }
)
"""Folders and files that are never code of the user's own."""

IGNORE_FILES = (".gitignore", ".flyteignore")
"""Read in this order in each folder; a later rule overrides an earlier one, so `!x` in .flyteignore keeps x."""


@dataclass(frozen=True)
class Rule:
    """One line of an ignore file.

    Args:
        pattern: Matches the path below the file's folder.
        negated: Whether it keeps what an earlier rule ignored.
        folders_only: Whether it holds for folders only.
        depth: Number of characters of the path of the file's folder below the top, with its slash.
    """

    pattern: re.Pattern[str]
    negated: bool
    folders_only: bool
    depth: int

    def matches(self, path: str, *, folder: bool) -> bool:
        """Return whether the rule is about this path."""
        return (folder or not self.folders_only) and self.pattern.fullmatch(path, self.depth) is not None


def read_rules(folder: Path, depth: int) -> tuple[Rule, ...]:
    """Return the rules that the ignore files of one folder add.

    Raises:
        BadRequest: If there is one that cannot be read: what it keeps out, perhaps secrets, must not be packed.
    """
    rules: list[Rule] = []
    for name in IGNORE_FILES:
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="surrogateescape")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
        except OSError as error:
            raise BadRequest(
                f"{folder / name} cannot be read ({error.strerror or error}), so nobody knows which files it keeps "
                "out of the code bundle. Make it readable, or remove it."
            ) from error
        rules += [rule for line in text.splitlines() if (rule := parse(line, depth)) is not None]
    return tuple(rules)


def parse(line: str, depth: int = 0) -> Rule | None:
    """Return the rule of one line of an ignore file, or None for blank lines and comments."""
    line = re.sub(r"(?<!\\)\s+$", "", line)
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    anchored = "/" in line
    pattern = _translate(line.removeprefix("/"))
    return Rule(pattern if anchored else _translate("**/" + line), negated, folders_only, depth)


def is_ignored(path: str, rules: tuple[Rule, ...], *, folder: bool) -> bool:
    """Return what the last rule about this path says.

    Args:
        path: Path below the top folder whose rules come first.
        rules: All rules that hold here, outer ones first.
        folder: Whether the path is a folder.
    """
    for rule in reversed(rules):
        if rule.matches(path, folder=folder):
            return not rule.negated
    return False


@lru_cache(maxsize=1024)
def _translate(glob: str) -> re.Pattern[str]:
    return re.compile("".join(_pieces(glob)), re.DOTALL)


def _pieces(glob: str) -> Iterator[str]:
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            yield "(?:.*/)?"
            at += 3
        elif glob[at:] == "**" and at and glob[at - 1] == "/":
            yield ".+"
            at += 2
        elif glob[at] == "*":
            yield "[^/]*"
            at += 1
        elif glob[at] == "?":
            yield "[^/]"
            at += 1
        elif glob[at] == "[" and (found := re.compile(r"\[([!^]?)(\]?(?:\\.|[^\]\\])*)\]").match(glob, at)):
            yield _characters(found[1], found[2])
            at = found.end()
        else:
            if glob[at] == "\\" and at + 1 < len(glob):
                at += 1
            yield re.escape(glob[at])
            at += 1


def _characters(negation: str, members: str) -> str:
    inside = re.sub(r"([\[\]&~|^])", r"\\\1", re.sub(r"\\(.)", r"\1", members))
    return f"(?!/)[{'^' if negation else ''}{inside}]"
