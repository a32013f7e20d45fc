"""Inputs that a person gave, as literals with the hashes of the author's own. Called by `run` and `recover`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flyte_temporal.errors import InvalidInputs, TypeMismatch
from flyte_temporal.sdk.types.values import hashed, literal_of

if TYPE_CHECKING:
    from pydantic import JsonValue

    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.sdk.types.engine import ValueContext
    from flyte_temporal.spec.interface import Interface
    from flyte_temporal.spec.literals import LiteralValue


def literals(
    read: Mapping[str, JsonValue], interface: Interface, entity: Entity | None, context: ValueContext
) -> dict[str, LiteralValue]:
    """Return inputs as literals.

    Args:
        read: What was given, by name, as JSON of the inputs' types.
        interface: The inputs.
        entity: What takes them, whose code is loaded here and only here: its annotations may have a `HashMethod`. None if
            it is not loaded.
        context: Where large values go.

    Raises:
        InvalidInputs: If a value does not fit its annotation, or its `HashMethod` failed.
    """
    found: dict[str, LiteralValue] = {}
    for variable in interface.inputs:
        if variable.name not in read:
            continue
        literal = literal_of(read[variable.name], context)
        if entity is not None:
            annotation = entity.signature.parameters[variable.name].annotation
            try:
                literal = hashed(literal, variable.type, annotation, context)
            except TypeMismatch as error:
                raise InvalidInputs(f"Input {variable.name!r}: {error.message}") from error
        found[variable.name] = literal
    return found
