"""Docstrings → descriptions, in the three styles that people use: Sphinx, NumPy and Google.

Called when a signature is read. No library does it, because a task container has none to spare for it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_SPHINX = re.compile(r":(?P<tag>[a-z]+)(?P<name>(?: [^:]*)?):(?: +(?P<text>.*)|$)")
_SPHINX_INPUTS = {"param", "parameter", "arg", "argument", "key", "keyword"}
_GOOGLE_HEADER = re.compile(
    r"(?P<title>Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?|Notes?|Attributes|See Also):\s*"
)
_GOOGLE_ITEM = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*(?:\([^)]*\)[^)]*)*\))?\s*:\s*(?P<text>.*)")
_NUMPY_ITEM = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_INPUT_TITLES = {"Args", "Arguments", "Parameters", "Params", "Other Parameters"}
_OUTPUT_TITLES = {"Return", "Returns"}


@dataclass
class Documentation:
    """What a docstring says.

    Args:
        short: Its first paragraph, on one line.
        long: What follows up to the first section, paragraphs kept.
        inputs: Description of each parameter.
        outputs: Description of each named output (NumPy and Google sections may name them).
        returns: Description of what is returned as a whole.
    """

    short: str = ""
    long: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    returns: str = ""

    @property
    def text(self) -> str:
        """Return the short and the long description as one text."""
        return "\n\n".join(part for part in (self.short, self.long) if part)


def parse(docstring: str | None) -> Documentation:
    """Return what a docstring says; never fails, since a docstring is prose."""
    found = Documentation()
    if not docstring:
        return found
    lines = inspect.cleandoc(docstring).splitlines()
    first = next((i for i, _ in enumerate(lines) if _starts_section(lines, i)), len(lines))
    _describe("\n".join(lines[:first]), found)
    position = first
    while position < len(lines):
        end = next((i for i in range(position + 1, len(lines)) if _starts_section(lines, i)), len(lines))
        _read_section(lines[position:end], found)
        position = end
    return found


def _describe(text: str, found: Documentation) -> None:
    short, _, long = text.strip().partition("\n\n")
    found.short = " ".join(short.split())
    found.long = long.strip()


def _starts_section(lines: list[str], index: int) -> bool:
    line = lines[index]
    if _SPHINX.match(line) or (_GOOGLE_HEADER.fullmatch(line) and _indented(lines, index + 1)):
        return True
    underline = lines[index + 1].strip() if index + 1 < len(lines) else ""
    return bool(line.strip()) and not line.startswith(" ") and len(underline) >= 3 and set(underline) == {"-"}


def _indented(lines: list[str], index: int) -> bool:
    following = next((line for line in lines[index:] if line.strip()), "")
    return following.startswith((" ", "\t"))


def _read_section(lines: list[str], found: Documentation) -> None:
    if match := _SPHINX.match(lines[0]):
        _read_sphinx(match, lines[1:], found)
    elif match := _GOOGLE_HEADER.fullmatch(lines[0]):
        body = inspect.cleandoc("\n".join(["", *lines[1:]])).splitlines()
        _read_items(match["title"], body, _GOOGLE_ITEM, found)
    else:
        _read_items(lines[0].strip(), lines[2:], None, found)


def _read_sphinx(match: re.Match[str], rest: list[str], found: Documentation) -> None:
    text = _joined([match["text"] or "", *rest])
    names = match["name"].split()
    if match["tag"] in {"return", "returns"}:
        found.returns = text
    elif match["tag"] in _SPHINX_INPUTS and names:
        # `:param int x: text` names the type before the parameter.
        found.inputs[names[-1].lstrip("*")] = text


def _read_items(title: str, body: list[str], item: re.Pattern[str] | None, found: Documentation) -> None:
    if title in _INPUT_TITLES:
        target = found.inputs
    elif title in _OUTPUT_TITLES:
        target = found.outputs
        described = [line for line in body if line.startswith((" ", "\t"))] if item is None else []
        found.returns = _joined(described or body)
    else:
        return
    names: list[str] = []
    for line in body:
        if line and not line.startswith((" ", "\t")):
            names, text = _item(line, item)
            target.update(dict.fromkeys(names, text))
        else:
            for name in names:
                target[name] = _joined([target[name], line])


def _item(line: str, item: re.Pattern[str] | None) -> tuple[list[str], str]:
    if item is not None:
        match = item.fullmatch(line)
        return ([match["name"]], match["text"].strip()) if match else ([], "")
    match = _NUMPY_ITEM.fullmatch(line)
    return ([n.strip().lstrip("*") for n in match["names"].split(",")], "") if match else ([], "")


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
