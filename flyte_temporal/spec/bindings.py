"""Where the value of an input comes from: a constant, a workflow input, a node's output, or a composition of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.identifiers import NodeName
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.types import LiteralType

PathStep = str | int


class Constant(Document):
    """A value known at compile time, as JSON of the target's type.

    Args:
        value: The value; None if it is stored.
        stored: The value as a literal: where it is, if a dynamic task gave one that is too large to travel with the spec;
            in a batch, any value that is known when it starts.
        hash: What stands for it in cache keys, if the target's annotation says so.
    """

    kind: Literal["constant"] = "constant"
    value: JsonValue
    stored: LiteralValue | None = None
    hash: str | None = None


class InputRef(Document):
    """An input of the workflow that the node stands in.

    Args:
        name: The input.
        path: Attribute path into its value: field names, map keys, list positions.
        type: Type at the end of the path, when it is not exactly the type that the target declares.
    """

    kind: Literal["input"] = "input"
    name: str
    path: tuple[PathStep, ...] = ()
    type: LiteralType | None = None


class OutputRef(Document):
    """An output of another node of the same workflow; fields as for `InputRef`."""

    kind: Literal["output"] = "output"
    node: NodeName
    name: str
    path: tuple[PathStep, ...] = ()
    type: LiteralType | None = None


class ListOf(Document):
    """A list (or tuple) some of whose elements are references."""

    kind: Literal["list"] = "list"
    items: tuple[Binding, ...]


class MapEntry(Document):
    """One entry of a `MapOf`."""

    key: JsonValue
    value: Binding


class MapOf(Document):
    """A map, or a struct, some of whose values are references."""

    kind: Literal["map"] = "map"
    entries: tuple[MapEntry, ...]


Binding = Annotated[Constant | InputRef | OutputRef | ListOf | MapOf, Field(discriminator="kind")]


class OutputBinding(Document):
    """Where an output of a workflow, or of a branch, comes from."""

    name: str
    binding: Binding


for _model in (ListOf, MapEntry, MapOf, OutputBinding):
    _model.model_rebuild()


def source(ref: InputRef | OutputRef) -> str:
    """Return where a reference leads, for messages: `n0.o0`, or `input 'x'`."""
    return f"input {ref.name!r}" if isinstance(ref, InputRef) else f"{ref.node}.{ref.name}"


def nodes_of(binding: Binding) -> tuple[str, ...]:
    """Return the ids of the nodes that a binding waits for, in order of appearance, with repeats."""
    match binding:
        case OutputRef():
            return (binding.node,)
        case ListOf():
            return tuple(n for item in binding.items for n in nodes_of(item))
        case MapOf():
            return tuple(n for entry in binding.entries for n in nodes_of(entry.value))
        case _:
            return ()
