"""From bindings to literals: what a node gets, given the inputs of its scope and the outputs of earlier nodes. Pure."""

from __future__ import annotations

from typing import Protocol

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, ListOf, MapOf, OutputRef, source
from flyte_temporal.spec.lists import place_of
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue
from flyte_temporal.spec.paths import BadPath, MissingAttribute, type_at, value_at
from flyte_temporal.spec.types import ANY, LiteralType, MapType


class Sources(Protocol):
    """Where references lead."""

    def input(self, name: str) -> LiteralValue:
        """Return an input of the scope."""

    def output(self, node: str, name: str) -> LiteralValue:
        """Return an output of a finished node of the scope."""

    def input_type(self, name: str) -> LiteralType:
        """Return the declared type of an input of the scope."""

    def output_type(self, node: str, name: str) -> LiteralType:
        """Return the declared type of an output of a node of the scope."""


class OutputMissing(UserCodeError):
    """A finished node did not give an output that it declares."""

    code = "OutputMissing"
    retryable = False


def resolve(binding: Binding, sources: Sources) -> LiteralValue:
    """Return the literal that a binding stands for.

    Args:
        binding: The binding.
        sources: The scope.

    Raises:
        MissingAttribute: If a value has nothing at the end of an attribute path; the message begins with the reference.
    """
    match binding:
        case Constant():
            return binding.stored or Inline(value=binding.value, hash=binding.hash)
        case InputRef():
            literal = sources.input(binding.name)
            declared = sources.input_type(binding.name) if binding.path else ANY
            return _followed(literal, declared, binding)
        case OutputRef():
            literal = sources.output(binding.node, binding.name)
            declared = sources.output_type(binding.node, binding.name) if binding.path else ANY
            return _followed(literal, declared, binding)
        case ListOf():
            return Composite(items=tuple(resolve(item, sources) for item in binding.items))
        case MapOf():
            return Composite(
                items=tuple(resolve(entry.value, sources) for entry in binding.entries),
                keys=tuple(entry.key for entry in binding.entries),
            )


def at(literal: LiteralValue, declared: LiteralType, path: tuple[str | int, ...]) -> LiteralValue:
    """Return the part of a literal at a path.

    Args:
        literal: The literal.
        declared: Type by which it was written, unless it says so itself.
        path: Field names, keys and positions.

    Raises:
        MissingAttribute: If there is nothing.
    """
    return _follow(literal, declared, InputRef(name="", path=path))


def _followed(literal: LiteralValue, declared: LiteralType, ref: InputRef | OutputRef) -> LiteralValue:
    try:
        return _follow(literal, declared, ref)
    except MissingAttribute as error:
        raise MissingAttribute(f"from {source(ref)}: {error.message}") from error


def _follow(literal: LiteralValue, declared: LiteralType, ref: InputRef | OutputRef) -> LiteralValue:
    path = ref.path
    if not path:
        if ref.type is None or literal.type is not None:
            return literal
        return literal.model_copy(update={"type": ref.type})
    written = literal.type or declared
    if isinstance(literal, Composite):
        return _follow_composite(literal, written, ref)
    if isinstance(literal, Joined):
        return _follow_joined(literal, written, ref)
    try:
        end = type_at(literal.type, path) if literal.type is not None else ref.type
    except BadPath as error:
        raise MissingAttribute(f"The value has nothing at {_shown(path)}: {error}.") from error
    if isinstance(literal, Inline):
        return Inline(value=value_at(literal.value, written, path), type=end)
    whole = literal.whole or written
    return literal.model_copy(
        update={"path": (*literal.path, *path), "whole": whole, "type": end, "hash": None, "count": None}
    )


def _follow_composite(literal: Composite, written: LiteralType, ref: InputRef | OutputRef) -> LiteralValue:
    step, rest = ref.path[0], ref.path[1:]
    try:
        item = literal.items[literal.keys.index(step) if literal.keys is not None else int(step)]
    except (IndexError, ValueError) as error:
        raise MissingAttribute(f"The value has nothing at {_shown(ref.path)}.") from error
    element = written.value if isinstance(written, MapType) else type_at(written, (step,))
    return _follow(item, element, ref.model_copy(update={"path": rest}))


def _follow_joined(literal: Joined, written: LiteralType, ref: InputRef | OutputRef) -> LiteralValue:
    try:
        part, index = place_of(literal, int(ref.path[0]))
    except (IndexError, ValueError) as error:
        raise MissingAttribute(f"The value has nothing at {_shown(ref.path)}.") from error
    return _follow(part, written, ref.model_copy(update={"path": (index, *ref.path[1:])}))


def _shown(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step!r}]" for step in path)
