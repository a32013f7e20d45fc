"""From bindings to literals: what a node gets, given the inputs of its scope and the outputs of earlier nodes. Pure.

Used by the interpreter, and by the process that runs a segment: there, the outputs of one attempt are inputs of the next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.bindings import (
    Binding,
    Constant,
    InputRef,
    ListOf,
    MapEntry,
    MapOf,
    OutputRef,
    nodes_of,
    source,
)
from flyte_temporal.spec.entities import TaskSpec
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


def partly(binding: Binding, sources: Sources, later: Collection[str]) -> Binding:
    """Return a binding of which only references to the nodes `later` are left; everything else is a constant.

    Args:
        binding: The binding.
        sources: The scope.
        later: Ids of the nodes whose outputs are not there yet.

    Raises:
        MissingAttribute: As `resolve`.
    """
    match binding:
        case OutputRef() if binding.node in later:
            return binding
        case ListOf() if any(node in later for node in nodes_of(binding)):
            return ListOf(items=tuple(partly(item, sources, later) for item in binding.items))
        case MapOf() if any(node in later for node in nodes_of(binding)):
            entries = [
                MapEntry(key=entry.key, value=partly(entry.value, sources, later))
                for entry in binding.entries
            ]
            return MapOf(entries=tuple(entries))
        case Constant():
            return binding
        case _:
            return Constant(value=None, stored=resolve(binding, sources))


class Former:
    """The outputs of the earlier attempts of a segment, by the ids of their nodes."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskSpec] = {}
        self._outputs: dict[str, Mapping[str, LiteralValue]] = {}

    def add(self, path: str, task: TaskSpec, outputs: Mapping[str, LiteralValue]) -> None:
        """Take in what an attempt gave.

        Args:
            path: Path of its node.
            task: What it ran.
            outputs: Its outputs.
        """
        node = path.rpartition(".")[2]
        self._tasks[node] = task
        self._outputs[node] = outputs

    def gave(self, node: str) -> bool:
        """Return whether the outputs of a node are there."""
        return node in self._outputs

    def has(self, bindings: Mapping[str, Binding]) -> bool:
        """Return whether everything that some bindings refer to is there."""
        return all(node in self._outputs for binding in bindings.values() for node in nodes_of(binding))

    def inputs(self, path: str, bindings: Mapping[str, Binding]) -> dict[str, LiteralValue]:
        """Return the inputs of a later attempt that are bound to outputs of earlier ones.

        Args:
            path: Path of its node, for messages.
            bindings: What is bound.

        Raises:
            MissingAttribute: If a value has nothing at the end of an attribute path; the message names both ends.
        """
        return {
            name: named(binding, self, f"Input {name!r} of node {path}") for name, binding in bindings.items()
        }

    def input(self, name: str) -> LiteralValue:
        """Refuse: inputs of the scope are constants in the bindings of a segment."""
        raise OutputMissing(f"The segment was given no input {name!r} of its workflow.")

    def input_type(self, name: str) -> LiteralType:
        """Refuse, as `input`."""
        raise OutputMissing(f"The segment was given no input {name!r} of its workflow.")

    def output(self, node: str, name: str) -> LiteralValue:
        """Return an output of an earlier attempt."""
        given = self._outputs[node]
        if name not in given:
            raise OutputMissing(f"The node {node} gave no output {name!r}.")
        return given[name]

    def output_type(self, node: str, name: str) -> LiteralType:
        """Return the declared type of an output of an earlier attempt."""
        variable = self._tasks[node].interface.output(name)
        if variable is None:
            raise OutputMissing(f"The node {node} has no output {name!r}.")
        return variable.type


def named(binding: Binding, sources: Sources, end: str) -> LiteralValue:
    """Return the literal that a binding stands for; what is wrong with it is told with the place that it is for.

    Args:
        binding: The binding.
        sources: The scope.
        end: What gets the value, in words.

    Raises:
        MissingAttribute: As `resolve`; the message names both ends.
    """
    try:
        return resolve(binding, sources)
    except MissingAttribute as error:
        raise MissingAttribute(f"{end}, {error.message}") from error


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
