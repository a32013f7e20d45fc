"""`{inputs.x}` and `{outputs.y}` in a shell script → references to shell variables, by where they stand in it.

Called by `shell`. A value never becomes a part of the script's text: it is assigned to a variable, and the script gets
`"${variable}"`. So whatever this reader takes a place for, no value is ever parsed as shell code; it only decides whether
quotes have to be put around a reference so that it stays one word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

PLACEHOLDER = re.compile(r"\{\s*(inputs|outputs)((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}")
_HEREDOC = re.compile(r"<<-?[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|(\\?)([A-Za-z_][A-Za-z0-9_]*))")


_ARITHMETIC = "(("


class QuotedHereDocument(ValueError):
    """A placeholder stands where the shell replaces nothing."""


@dataclass(frozen=True)
class Reference:
    """One placeholder.

    Args:
        scope: `inputs` or `outputs`.
        path: The variable's name, and attributes of its value.
    """

    scope: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "{" + ".".join((self.scope, *self.path)) + "}"


def references(text: str) -> list[Reference]:
    """Return the placeholders of some text in order, each once."""
    return list(dict.fromkeys(_reference(found) for found in PLACEHOLDER.finditer(text)))


def _reference(found: re.Match[str]) -> Reference:
    return Reference(found[1], tuple(found[2][1:].split(".")))


def fill(text: str, value: Callable[[Reference], str]) -> str:
    """Return some text that is no shell code, such as a location, with values in place of its placeholders."""
    return PLACEHOLDER.sub(lambda found: value(_reference(found)), text)


def rewrite(script: str, variable: Callable[[Reference], str]) -> str:
    """Return a script in which each placeholder is a reference to a variable, always one word.

    Args:
        script: The author's script.
        variable: The name of the variable of a placeholder.

    Raises:
        QuotedHereDocument: If a placeholder stands in a here-document whose delimiter is quoted.
    """
    return _Reader(script, variable).read()


class _Reader:
    """Walks through a script and knows which quotes it is in: a stack of "'", '"', '(', '((' and '`'."""

    def __init__(self, script: str, variable: Callable[[Reference], str]) -> None:
        self._script = script
        self._variable = variable
        self._at = 0
        self._out: list[str] = []
        self._open: list[str] = []
        self._documents: list[tuple[str, bool]] = []

    def read(self) -> str:
        while self._at < len(self._script):
            found = PLACEHOLDER.match(self._script, self._at)
            if found is not None:
                self._refer(_reference(found))
                self._at = found.end()
            else:
                self._step()
        return "".join(self._out)

    def _refer(self, reference: Reference) -> None:
        name = "${" + self._variable(reference) + "}"
        match self._inside():
            case "'":
                self._out.append(f"'\"{name}\"'")
            case '"':
                self._out.append(name)
            case _:
                self._out.append(f'"{name}"')

    def _inside(self) -> str:
        return self._open[-1] if self._open else ""

    def _take(self, count: int = 1) -> None:
        self._out.append(self._script[self._at : self._at + count])
        self._at += count

    def _step(self) -> None:
        char, inside = self._script[self._at], self._inside()
        if inside == "'":
            if char == "'":
                self._open.pop()
            self._take()
        elif char == "\\":
            self._take(2)
        elif char == '"':
            self._toggle('"')
        elif char == "`":
            self._toggle("`")
        elif self._script.startswith("$((", self._at):
            self._open += ["(", _ARITHMETIC]
            self._take(3)
        elif self._script.startswith("$(", self._at):
            self._open.append("(")
            self._take(2)
        elif inside == '"':
            self._take()
        else:
            self._unquoted(char)

    def _toggle(self, quote: str) -> None:
        if self._inside() == quote:
            self._open.pop()
        else:
            self._open.append(quote)
        self._take()

    def _unquoted(self, char: str) -> None:
        if char == "'":
            self._open.append("'")
        elif char == "(":
            self._open.append("(")
        elif char == ")" and self._inside() in {"(", _ARITHMETIC}:
            self._open.pop()
        elif char == "#" and self._starts_word():
            self._comment()
            return
        elif char == "\n" and self._documents:
            self._take()
            self._bodies()
            return
        elif char == "<" and not self._script.startswith("<<<", self._at):
            self._heredoc()
            return
        elif self._script.startswith("<<<", self._at):
            self._take(3)
            return
        self._take()

    def _starts_word(self) -> bool:
        return self._at == 0 or self._script[self._at - 1] in " \t\n;&|("

    def _comment(self) -> None:
        end = self._script.find("\n", self._at)
        self._take((end if end >= 0 else len(self._script)) - self._at)

    def _heredoc(self) -> None:
        found = _HEREDOC.match(self._script, self._at)
        if found is None or _ARITHMETIC in self._open:  # there it shifts bits
            self._take()
            return
        quoted = found[1] or found[2]
        self._documents.append((quoted or found[4], bool(quoted or found[3])))
        self._take(len(found[0]))

    def _bodies(self) -> None:
        for delimiter, quoted in self._documents:
            while self._at < len(self._script):
                end = self._script.find("\n", self._at)
                end = len(self._script) if end < 0 else end + 1
                line, self._at = self._script[self._at : end], end
                if line.strip() == delimiter:
                    self._out.append(line)
                    break
                self._out.append(self._body_line(line, quoted=quoted))
        self._documents = []

    def _body_line(self, line: str, *, quoted: bool) -> str:
        if quoted and (found := PLACEHOLDER.search(line)):
            raise QuotedHereDocument(str(_reference(found)))
        return PLACEHOLDER.sub(lambda found: "${" + self._variable(_reference(found)) + "}", line)
