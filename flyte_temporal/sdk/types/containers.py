"""Lists, sets, tuples of any length, and dicts."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from typing import Any, get_args, get_origin

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    InProcess,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
    short_name,
)
from flyte_temporal.spec.document import canonical_json
from flyte_temporal.spec.types import STRING, ListType, MapType

_SEQUENCES: dict[Any, type] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.abc.Sequence: list,
}
_MAPPINGS: dict[Any, type] = {dict: dict, collections.abc.Mapping: dict}


class Lists(TypeFamily):
    """`list[T]`, `set[T]`, `frozenset[T]`, `tuple[T, ...]`, `Sequence[T]`.

    A tuple may be given where a list is declared. Sets are written in the order of their JSON, so that equal sets
    give equal bytes.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is such a type with its parameter."""
        origin, arguments = get_origin(python_type), get_args(python_type)
        if origin is tuple:
            return len(arguments) == 2 and arguments[1] is Ellipsis
        return origin in _SEQUENCES and len(arguments) == 1

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one element type."""
        kind: Any = _SEQUENCES[get_origin(python_type)]
        element = engine.converter(get_args(python_type)[0])
        taken = (list, tuple) if kind is list else (kind,)
        name = short_name(python_type)

        def write(value: Any, context: ValueContext) -> list[Any]:
            if not isinstance(value, taken):
                raise misfit(name, value)
            if isinstance(value, set | frozenset) and not isinstance(context, InProcess):
                return sorted(element.write_all(list(value), context), key=_sort_key)
            return element.write_all(value if isinstance(value, list | tuple) else list(value), context)

        def read(value: Any, context: ValueContext) -> Any:
            if not isinstance(value, list):
                raise misfit(name, value)
            items = element.read_all(value, context)
            return items if kind is list else kind(items)

        def exact(value: Any) -> bool:
            return type(value) is kind and all(map(element.exact, value))

        return Converter(ListType(element=element.type), write, read, exact, only_output=element.only_output)


def _sort_key(value: Any) -> bytes:
    return canonical_json(value)


class Maps(TypeFamily):
    """`dict[K, V]`: an object if keys are strings, else an array of pairs, so that keys keep their type."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a dict with its parameters."""
        return get_origin(python_type) in _MAPPINGS and len(get_args(python_type)) == 2

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one type of keys and one of values."""
        keys, values = (engine.converter(argument) for argument in get_args(python_type))
        name = short_name(python_type)
        write_entries, read_entries = (_objects if keys.type == STRING else _pairs)(keys, values)

        def write(value: Any, context: ValueContext) -> Any:
            if not isinstance(value, dict):
                raise misfit(name, value)
            return write_entries(value, context)

        def read(value: Any, context: ValueContext) -> dict[Any, Any]:
            try:
                done: dict[Any, Any] = read_entries(value, context)
            except (AttributeError, TypeError, ValueError):
                raise misfit(name, value) from None
            return done

        def exact(value: Any) -> bool:
            return type(value) is dict and all(keys.exact(k) and values.exact(v) for k, v in value.items())

        return Converter(MapType(key=keys.type, value=values.type), write, read, exact)


_Entries = tuple[Callable[[Any, ValueContext], Any], Callable[[Any, ValueContext], dict[Any, Any]]]


def _objects(keys: Converter, values: Converter) -> _Entries:
    def write(entries: dict[Any, Any], context: ValueContext) -> dict[str, Any]:
        names = _keys(keys.write_all, entries, context)
        return dict(zip(names, _items(values.write_all, entries, context), strict=True))

    def read(entries: dict[str, Any], context: ValueContext) -> dict[Any, Any]:
        names = keys.read_all(list(entries.keys()), context)
        return dict(zip(names, _items(values.read_all, entries, context), strict=True))

    return write, read


def _pairs(keys: Converter, values: Converter) -> _Entries:
    def write(entries: dict[Any, Any], context: ValueContext) -> list[list[Any]]:
        names = _keys(keys.write_all, entries, context)
        items = _items(values.write_all, entries, context)
        return [[k, v] for k, v in zip(names, items, strict=True)]

    def read(entries: list[Any], context: ValueContext) -> dict[Any, Any]:
        names = keys.read_all([k for k, _ in entries], context)
        found = dict(zip(names, (v for _, v in entries), strict=True))
        return dict(zip(found, _items(values.read_all, found, context), strict=True))

    return write, read


def _keys(convert: Callable[..., list[Any]], entries: dict[Any, Any], context: ValueContext) -> list[Any]:
    try:
        return convert(list(entries), context)
    except Misfit as error:
        raise Misfit(f"as a key, {error.problem}") from None


def _items(convert: Callable[..., list[Any]], entries: dict[Any, Any], context: ValueContext) -> list[Any]:
    try:
        return convert(list(entries.values()), context)
    except Misfit as error:
        position = int(error.steps.pop()[1:-1])
        raise error.at_item(list(entries)[position]) from None
