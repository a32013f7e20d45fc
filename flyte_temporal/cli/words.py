"""The command line of `run`, taken apart.

Apart from typer because what follows ENTITY depends on the entity: its inputs are flags, and an input wins over an
option of ours that has the same name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from flyte_temporal.errors import BadRequest

SWITCHES = (
    "--local",
    "--detach",
    "--overwrite-cache",
    "--no-cache",
    "--pause-on-failure",
    "--debug",
    "--help",
)
"""Options of ours without a value."""

VALUES = {
    "--name": "ID",
    "--inputs": "FILE",
    "--answers": "FILE",
    "--output": "text|json",
    "--launcher": "NAME",
    "--image": "[NAME=]URI",
    "--deadline": "SECONDS",
    "--project": "NAME",
    "--domain": "NAME",
}
"""Options of ours with a value, and what it is."""

SHORT = {"-o": "--output", "-h": "--help"}

RECOVER_SWITCHES = (
    "--dry-run",
    "--trust-code",
    "--overwrite-cache",
    "--no-cache",
    "--detach",
    "--debug",
    "--help",
)
"""Options of `recover` without a value."""

RECOVER_VALUES = {
    "--file": "FILE",
    "--from": "NODE",
    "--name": "ID",
    "--inputs": "FILE",
    "--output": "text|json",
    "--launcher": "NAME",
    "--image": "[NAME=]URI",
    "--project": "NAME",
    "--domain": "NAME",
}
"""Options of `recover` with a value, and what it is."""

REPEATED = frozenset({"--from", "--image"})
"""Options that may be given more than once."""


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

    def after(self, flag: str) -> str | None:
        """Return what is given to a flag that stands somewhere among the words, without taking it; None if it does not."""
        for word, following in pairwise([*self._words, ""]):
            if word == flag:
                return following or None
            if word.startswith(f"{flag}="):
                return word.partition("=")[2]
        return None

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
    """Options of ours, as text.

    Args:
        switches: Those without a value that were given.
        values: Those with one; of one that is given several times the last.
        known_switches: Those without a value that there are.
        known_values: Those with one that there are, and what it is.
        all: All values of those that may be given several times.
    """

    switches: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    known_switches: tuple[str, ...] = SWITCHES
    known_values: Mapping[str, str] = field(default_factory=lambda: VALUES)
    all: dict[str, list[str]] = field(default_factory=dict)

    def take(self, words: Words) -> bool:
        """Take the next word if it is an option of ours, with its value; return whether it was.

        Raises:
            BadRequest: If its value is missing or doubled.
        """
        written, assigned, given = (words.peek() or "").partition("=")
        flag = SHORT.get(written, written)
        if flag in self.known_switches and not assigned:
            words.take()
            self.switches.add(flag)
            return True
        if flag not in self.known_values:
            return False
        words.take()
        if flag in self.values and flag not in REPEATED:
            raise BadRequest(f"{written} is given twice; give it once.")
        self.values[flag] = given if assigned else words.value(written, self.known_values[flag])
        if flag in REPEATED:
            self.all.setdefault(flag, []).append(self.values[flag])
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


@dataclass
class RecoverCommand:
    """The words of `recover` up to the execution.

    Args:
        options: Options of ours so far.
        id: ID, if it was given.
        rest: All words after ID.
    """

    options: RunOptions
    id: str | None
    rest: Words

    def file(self, inputs: Collection[str]) -> Path | None:
        """Return FILE of `--file`, which decides what the inputs are, so that it is looked for before they are read.

        Args:
            inputs: Names of the inputs of the earlier execution; behind ID, `--file` is one that has this name.
        """
        found = self.options.get("--file")
        if found is None and "file" not in inputs:
            found = self.rest.after("--file")
        return None if found is None else Path(found)


def read_recover(arguments: Sequence[str]) -> RecoverCommand:
    """Take apart the words after `recover`, up to and including ID.

    Raises:
        BadRequest: If an unknown option stands before ID.
    """
    words = Words(arguments)
    options = RunOptions(known_switches=RECOVER_SWITCHES, known_values=RECOVER_VALUES)
    while words:
        if options.take(words):
            continue
        word = words.take()
        if word.startswith("-"):
            ours = ", ".join((*RECOVER_SWITCHES, *RECOVER_VALUES))
            raise BadRequest(
                f"{word} is not an option of recover. Options: {ours}. Inputs that are to be otherwise stand after the id: "
                "flyte-temporal recover ID --NAME VALUE."
            )
        return RecoverCommand(options, word, words)
    return RecoverCommand(options, None, words)
