"""Tuples of fixed length and `NamedTuple`s, as values."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, get_args, get_origin

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.types import TupleType, describe


class Tuples(TypeFamily):
    """`tuple[A, B]` and `tuple[()]`. A list is not taken for a tuple: its length is not part of its type."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a tuple type of fixed length."""
        arguments = get_args(python_type)
        return get_origin(python_type) is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the element types."""
        elements = [engine.converter(argument) for argument in get_args(python_type)]
        return _positional(TupleType(elements=tuple(e.type for e in elements)), elements, tuple, tuple)


class NamedTuples(TypeFamily):
    """`NamedTuple` classes; attribute access on promises works by the names."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a class made by `NamedTuple` or `namedtuple`."""
        return (
            isinstance(python_type, type)
            and issubclass(python_type, tuple)
            and hasattr(python_type, "_fields")
        )

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the fields; those of a `collections.namedtuple` hold plain data."""
        hints = typing.get_type_hints(python_type, include_extras=True)
        elements = [engine.converter(hints.get(name, Any)) for name in python_type._fields]
        type_ = TupleType(
            name=python_type.__name__, elements=tuple(e.type for e in elements), names=python_type._fields
        )
        return _positional(type_, elements, python_type, python_type._make)


def _positional(
    type_: TupleType, elements: list[Converter], kind: Any, make: Callable[[list[Any]], Any]
) -> Converter:
    names = type_.names or tuple(str(i) for i in range(len(elements)))

    def convert(items: Any, how: str, context: ValueContext) -> list[Any]:
        done = []
        for name, element, item in zip(names, elements, items, strict=True):
            try:
                done.append(getattr(element, how)(item, context))
            except Misfit as error:
                raise (error.at_field(name) if type_.names else error.at_item(int(name))) from None
        return done

    def write(value: Any, context: ValueContext) -> list[Any]:
        if not isinstance(value, tuple):
            raise misfit(describe(type_), value)
        if len(value) != len(elements):
            raise Misfit(f"expected {describe(type_)}, got a tuple of {len(value)} elements")
        return convert(value, "write", context)

    def read(value: Any, context: ValueContext) -> Any:
        if not isinstance(value, list) or len(value) != len(elements):
            raise misfit(describe(type_), value)
        return make(convert(value, "read", context))

    def exact(value: Any) -> bool:
        if type(value) is not kind or len(value) != len(elements):
            return False
        return all(e.exact(v) for e, v in zip(elements, value, strict=True))

    return Converter(type_, write, read, exact)
