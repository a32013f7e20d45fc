"""`Optional[T]` and other unions."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.types import NONE, UnionType, describe, plain_optional


class Unions(TypeFamily):
    """`Union[…]`, `X | Y`, `Optional[T]`.

    A value goes to the member whose type it has exactly, in depth (`[1]` is a `list[int]`, not a `list[float]`), and only
    else to the first member that takes it.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a union."""
        return get_origin(python_type) in {Union, types.UnionType}

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the members in declared order."""
        members = [engine.converter(argument) for argument in get_args(python_type)]
        union = UnionType(variants=tuple(member.type for member in members))
        _check_distinct(union, python_type)
        if plain_optional(union) is not None:
            return _optional(union, next(m for m in members if m.type != NONE))
        return _tagged(union, members)


def _check_distinct(union: UnionType, python_type: Any) -> None:
    for position, variant in enumerate(union.variants):
        if variant in union.variants[:position]:
            raise UnsupportedType(
                f"The members of {python_type} cannot be told apart: two of them are {describe(variant)} in the "
                "spec. Keep one of them, or wrap each in a dataclass of its own."
            )


def _optional(union: UnionType, inner: Converter) -> Converter:
    write_inner, read_inner, exact_inner = inner.write, inner.read, inner.exact

    def write(value: Any, context: ValueContext) -> Any:
        return None if value is None else write_inner(value, context)

    def read(value: Any, context: ValueContext) -> Any:
        return None if value is None else read_inner(value, context)

    def exact(value: Any) -> bool:
        return value is None or exact_inner(value)

    return Converter(union, write, read, exact, only_output=inner.only_output)


def _tagged(union: UnionType, members: list[Converter]) -> Converter:
    numbered = list(enumerate(members))
    by_index = dict(numbered)
    expected = describe(union)

    def write(value: Any, context: ValueContext) -> dict[str, Any]:
        exact_first = sorted(numbered, key=lambda entry: not entry[1].exact(value))
        for index, member in exact_first:
            try:
                return {"variant": index, "value": member.write(value, context)}
            except Misfit:
                continue
        raise misfit(expected, value)

    def read(value: Any, context: ValueContext) -> Any:
        try:
            member, inner = by_index[value["variant"]], value["value"]
        except (KeyError, TypeError):
            raise misfit(f"{expected} with its variant", value) from None
        return member.read(inner, context)

    def exact(value: Any) -> bool:
        return any(member.exact(value) for member in members)

    return Converter(union, write, read, exact)
