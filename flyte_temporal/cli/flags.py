"""Flags made from an entity's interface: what a person typed after ENTITY, checked and turned into literals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from flyte_temporal.cli.inputs_file import file_of, read_data
from flyte_temporal.cli.words import RunOptions, Words
from flyte_temporal.errors import BadRequest, InvalidInputs
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.types import BOOLEAN, LiteralType, UnionType, describe, plain_optional

if TYPE_CHECKING:
    from flyte_temporal.sdk.types.engine import ValueContext


class InputFlags:
    """Reads the flags of one entity.

    Args:
        entity: Its name, for messages.
        interface: Its inputs.
        fixed: Names of inputs that a launch plan has set for good.
    """

    def __init__(self, entity: str, interface: Interface, fixed: Collection[str] = ()) -> None:
        self._entity = entity
        self._fixed = fixed
        self._inputs = {variable.name: variable for variable in interface.inputs}

    def read(self, words: Words, options: RunOptions) -> Given:
        """Take all words after ENTITY.

        Args:
            words: The words; all are taken.
            options: Where options of ours go that stand among them.

        Returns:
            The text given for each input, and what is wrong: words that are neither an input nor an option, flags that
            are doubled or have no value, files that cannot be read.

        Raises:
            BadRequest: If an option of ours is doubled or has no value.
        """
        given = Given()
        while words:
            written, assigned, text = (words.peek() or "").partition("=")
            variable, negated = self._input(written)
            if variable is None:
                if not options.take(words):
                    given.faults.append(self._unknown(words.take()))
                    _skip_values(words)
                continue
            words.take()
            self._take(variable, (written, text if assigned else None, negated), words, given)
        return given

    def _take(
        self, variable: Variable, flag_: tuple[str, str | None, bool], words: Words, given: Given
    ) -> None:
        """Take one flag with its value; a fault is noted, so that all of them can be told at once."""
        if variable.name in given.named:
            given.faults.append(f"{flag(variable.name)} is given twice; give it once.")
        given.named.add(variable.name)
        try:
            text = self._text(variable, words, *flag_)
            file = file_of(text, variable.type)
            if file is None:
                given.texts[variable.name] = text
            else:
                given.data[variable.name] = read_data(file, f"{flag(variable.name)} {text}")
        except BadRequest as error:
            given.faults.append(error.message)

    def _input(self, written: str) -> tuple[Variable | None, bool]:
        """Return the input that a word names, and whether the word is its `--no-` form."""
        if not written.startswith("--"):
            return None, False
        name = written[2:].replace("-", "_")
        if name in self._inputs:
            return self._inputs[name], False
        positive = self._inputs.get(name.removeprefix("no_")) if name.startswith("no_") else None
        return (positive, True) if positive is not None and _is_boolean(positive.type) else (None, False)

    @staticmethod
    def _text(variable: Variable, words: Words, written: str, given: str | None, negated: bool) -> str:
        if negated:
            if given is not None:
                raise BadRequest(f"{written} takes no value. Write {flag(variable.name)}={given} instead.")
            return "false"
        if given is not None:
            return given
        if _is_boolean(variable.type) and (words.peek() or "-").startswith("-"):
            return "true"
        return words.value(written, describe(variable.type))

    def _unknown(self, word: str) -> str:
        name = word.partition("=")[0]
        if not name.startswith("-"):
            return f"Unexpected word {word!r} after {self._entity}. Inputs are given as --NAME VALUE."
        if name.lstrip("-").replace("-", "_") in self._fixed:
            return f"{name} is fixed by the launch plan {self._entity}; leave it out."
        close = get_close_matches(name.lstrip("-").replace("-", "_"), self._inputs, n=1)
        if close:
            return f"{self._entity} has no input {name}. Did you mean {flag(close[0])}?"
        known = ", ".join(flag(each) for each in self._inputs) or "none"
        return f"{self._entity} has no input {name}. Its inputs: {known}."


def _skip_values(words: Words) -> None:
    """Pass over what follows an unknown flag: it is its value, not a fault of its own."""
    while words and not (words.peek() or "").startswith("-"):
        words.take()


@dataclass
class Given:
    """What a person gave for the inputs, not yet read.

    Args:
        texts: Text of each flag, by input name.
        data: Data from files, by input name; none that is also in `texts`.
        faults: What is wrong with the words themselves, for people.
        named: Inputs that were given, if only wrongly.
    """

    texts: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def merge(self, data: dict[str, Any]) -> None:
        """Add data from a file of inputs; what was given as a flag wins."""
        self.data |= {name: value for name, value in data.items() if name not in self.named}
        self.named |= set(data)

    def values(self, entity: str, interface: Interface, context: ValueContext) -> dict[str, JsonValue]:
        """Turn what was given into typed JSON.

        Args:
            entity: Name of the entity, for messages.
            interface: Its inputs.
            context: Where files go.

        Returns:
            The values of the given inputs; those with a default may be absent.

        Raises:
            InvalidInputs: If any does not fit or is missing. The message lists every fault, not only the first.
        """
        found: dict[str, JsonValue] = {}
        faults = list(self.faults)
        for variable in interface.inputs:
            try:
                value = self._value(variable, context)
            except InvalidInputs as error:
                faults.append(error.message)
                continue
            if value is not None:
                found[variable.name] = value.value
        if faults:
            raise InvalidInputs(_listed(entity, faults))
        return found

    def _value(self, variable: Variable, context: ValueContext) -> Default | None:
        from flyte_temporal.sdk.types.text import read_json, read_text

        name = variable.name
        try:
            if name in self.texts:
                return Default(value=read_text(self.texts[name], variable.type, context))
            if name in self.data:
                return Default(value=read_json(self.data[name], variable.type, context))
        except InvalidInputs as error:
            raise InvalidInputs(f"{flag(name)}: {error.message}") from error
        if variable.default is None and name not in self.named:
            raise InvalidInputs(
                f"Missing input {flag(name)} ({describe(variable.type)}). "
                f"Give {flag(name)} VALUE, or pass it in a JSON or YAML file with --inputs FILE."
            )
        return None


def _listed(entity: str, faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    lines = "\n".join(faults).replace("\n", "\n  ")
    return f"The inputs of {entity} do not fit:\n  {lines}"


def flag(name: str) -> str:
    """Return the flag of an input."""
    return f"--{name}"


def _is_boolean(type_: LiteralType) -> bool:
    return type_ == BOOLEAN or (isinstance(type_, UnionType) and plain_optional(type_) == BOOLEAN)
