"""Flags made from an entity's interface: what a person typed after ENTITY, checked and turned into literals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

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

    def read(self, words: Words, options: RunOptions) -> dict[str, str]:
        """Take all words after ENTITY.

        Args:
            words: The words; all are taken.
            options: Where options of ours go that stand among them.

        Returns:
            The text given for each input.

        Raises:
            BadRequest: If a word is neither an input nor an option, or a flag is doubled or has no value.
        """
        texts: dict[str, str] = {}
        while words:
            written, assigned, given = (words.peek() or "").partition("=")
            variable, negated = self._input(written)
            if variable is None:
                if not options.take(words):
                    raise BadRequest(self._unknown(words.take()))
                continue
            words.take()
            if variable.name in texts:
                raise BadRequest(f"{flag(variable.name)} is given twice; give it once.")
            texts[variable.name] = self._text(variable, written, words, given if assigned else None, negated)
        return texts

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
    def _text(variable: Variable, written: str, words: Words, given: str | None, negated: bool) -> str:
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


@dataclass(frozen=True)
class Given:
    """What a person gave for the inputs, not yet read.

    Args:
        texts: Text of each flag, by input name.
        data: Data from a file of inputs, by input name; none that is also a flag.
    """

    texts: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

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
        faults: list[str] = []
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
        if variable.default is None:
            raise InvalidInputs(
                f"Missing input {flag(name)} ({describe(variable.type)}). "
                f"Give {flag(name)} VALUE, or pass it in a JSON file with --inputs FILE."
            )
        return None


def _listed(entity: str, faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return f"The inputs of {entity} do not fit:\n" + "\n".join(f"  {fault}" for fault in faults)


def read_file(path: Path, entity: str, interface: Interface, fixed: Collection[str] = ()) -> dict[str, Any]:
    """Read a file of inputs; see `read_object`.

    Raises:
        BadRequest: If it cannot be read, is no object, or names an input that the entity does not have or has fixed.
    """
    data = read_object("--inputs", path, "inputs")
    for name in data:
        if name in fixed:
            raise BadRequest(f"--inputs {path}: {name!r} is fixed by the launch plan {entity}; leave it out.")
        if interface.input(name) is None:
            close = get_close_matches(str(name), [v.name for v in interface.inputs], n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise BadRequest(f"--inputs {path}: {entity} has no input {name!r}.{hint}")
    return data


def read_object(option: str, path: Path, what: str) -> dict[str, Any]:
    """Read a file that an option names: a JSON object, or YAML where PyYAML is installed.

    Args:
        option: The option, for messages.
        path: The file.
        what: What is in it, for messages.

    Raises:
        BadRequest: If it cannot be read, or is no object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadRequest(f"{option} {path} cannot be read: {reason}. Give a JSON file.") from error
    parse = _yaml if path.suffix in {".yaml", ".yml"} else _json
    data = parse(f"{option} {path}", text)
    if not isinstance(data, dict):
        raise BadRequest(f'{option} {path} must hold an object of {what}, such as {{"name": value}}.')
    return data


def _json(source: str, text: str) -> Any:
    from flyte_temporal.sdk.types.text import parse_json

    try:
        return parse_json(text)
    except InvalidInputs as error:
        raise BadRequest(f"{source}: {error.message}") from error


def _yaml(source: str, text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise BadRequest(
            f"{source} is YAML, and PyYAML is not installed. Run 'pip install pyyaml', or give JSON."
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"{source} is not valid YAML: {error}") from error


def flag(name: str) -> str:
    """Return the flag of an input."""
    return f"--{name}"


def _is_boolean(type_: LiteralType) -> bool:
    return type_ == BOOLEAN or (isinstance(type_, UnionType) and plain_optional(type_) == BOOLEAN)
