"""The command line of `run`, taken apart.

Apart from typer because what follows ENTITY depends on the entity: its inputs are flags, and an input wins over an
option of ours that has the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flyte_temporal.errors import BadRequest

SWITCHES = ("--local", "--detach", "--debug", "--help")
"""Options of ours without a value."""

VALUES = {
    "--name": "ID",
    "--inputs": "FILE",
    "--answers": "FILE",
    "--output": "text|json",
    "--launcher": "NAME",
    "--deadline": "SECONDS",
    "--project": "NAME",
    "--domain": "NAME",
}
"""Options of ours with a value, and what it is."""

SHORT = {"-o": "--output", "-h": "--help"}


class Words:
    """The words of a command line, read from left to right."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def __bool__(self) -> bool:
        return bool(self._words)

    def peek(self) -> str | None:
        """Return the next word without taking it."""
        return self._words[0] if self._words else None

    def take(self) -> str:
        """Return the next word and move on."""
        return self._words.pop(0)

    def value(self, flag: str, what: str) -> str:
        """Take the value of a flag.

        Args:
            flag: The flag as it was written, for the message.
            what: What it takes, for the message.

        Raises:
            BadRequest: If there is none, or the next word is a flag.
        """
        following = self.peek()
        if following is None or following.startswith("--"):
            hint = f" Write {flag}={following} if that is its value." if following else ""
            raise BadRequest(f"{flag} needs a value: {flag} {what}.{hint}")
        return self.take()


@dataclass
class RunOptions:
    """Options of ours, as text."""

    switches: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)

    def take(self, words: Words) -> bool:
        """Take the next word if it is an option of ours, with its value; return whether it was.

        Raises:
            BadRequest: If its value is missing or doubled.
        """
        written, assigned, given = (words.peek() or "").partition("=")
        flag = SHORT.get(written, written)
        if flag in SWITCHES and not assigned:
            words.take()
            self.switches.add(flag)
            return True
        if flag not in VALUES:
            return False
        words.take()
        if flag in self.values:
            raise BadRequest(f"{written} is given twice; give it once.")
        self.values[flag] = given if assigned else words.value(written, VALUES[flag])
        return True

    def has(self, switch: str) -> bool:
        """Return whether a switch is on."""
        return switch in self.switches

    def get(self, flag: str) -> str | None:
        """Return the value of an option, or None."""
        return self.values.get(flag)


@dataclass
class RunCommand:
    """The words of `run` up to the entity.

    Args:
        options: Options of ours so far.
        file: FILE, if it was given.
        entity: ENTITY, if it was given.
        rest: All words after ENTITY.
    """

    options: RunOptions
    file: Path | None
    entity: str | None
    rest: Words


def read_run(arguments: Sequence[str]) -> RunCommand:
    """Take apart the words after `run`, up to and including ENTITY.

    Raises:
        BadRequest: If an unknown option stands before ENTITY.
    """
    words = Words(arguments)
    options = RunOptions()
    places: list[str] = []
    while words and len(places) < 2:
        if options.take(words):
            continue
        word = words.take()
        if word.startswith("-") and word != "-":
            ours = ", ".join((*SWITCHES, *VALUES))
            raise BadRequest(
                f"{word} is not an option of run. Options: {ours}. Inputs of the entity stand after its name: "
                "flyte-temporal run FILE ENTITY --NAME VALUE."
            )
        places.append(word)
    return RunCommand(
        options=options,
        file=Path(places[0]) if places else None,
        entity=places[1] if len(places) > 1 else None,
        rest=words,
    )
