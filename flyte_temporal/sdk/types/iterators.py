"""`Iterator[T]`: a list that is written and read element by element.

A task that returns a generator is read from while it runs; one that takes an iterator reads the next element when it asks for
it. What travels by reference is never whole in memory: `values` writes and reads it by way of a file.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
    short_name,
)
from flyte_temporal.spec.types import ListType

if TYPE_CHECKING:
    JSON: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
else:
    JSON = Any
"""Plain JSON data, for `Iterator[JSON]`."""


class Iterators(TypeFamily):
    """`Iterator[T]`; a list, a tuple or any other iterable of `T` may be given for it."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is an iterator with its parameter."""
        return get_origin(python_type) is collections.abc.Iterator and len(get_args(python_type)) == 1

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one element type."""
        element = engine.converter(get_args(python_type)[0])
        name = short_name(python_type)

        def parts(value: Any, context: ValueContext) -> Iterator[Any]:
            if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
                raise misfit(name, value)
            return _converted(element.write, value, context)

        def read(value: Any, context: ValueContext) -> Iterator[Any]:
            if not isinstance(value, Iterable):
                raise misfit(name, value)
            return _public(_converted(element.read, value, context))

        return Converter(
            ListType(element=element.type),
            lambda value, context: list(parts(value, context)),
            read,
            lambda value: isinstance(value, Iterator),
            write_parts=parts,
        )


def _converted(convert: Any, values: Iterable[Any], context: ValueContext) -> Iterator[Any]:
    for position, value in enumerate(values):
        try:
            yield convert(value, context)
        except Misfit as error:
            raise error.at_item(position) from error.__cause__


def _public(values: Iterator[Any]) -> Iterator[Any]:
    """Turn a misfit, which comes up while the user's code asks for the next element, into an error for people."""
    try:
        yield from values
    except Misfit as error:
        raise InvalidInputs(error.message) from error.__cause__
