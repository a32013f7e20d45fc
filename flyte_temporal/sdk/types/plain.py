"""`any`: plain data of no declared shape (a bare `dict` or `list`, `Any`), as JSON with the marks of `marks`."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from typing import Any, get_args

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    given,
    misfit,
)
from flyte_temporal.sdk.types.marks import SCALARS, mark, mark_map, marked
from flyte_temporal.spec.types import ANY, Simple

# in the order in which they are asked: a bool is an int for isinstance, a datetime a date
_KINDS: dict[type, Simple] = {
    bool: Simple.BOOLEAN,
    str: Simple.STRING,
    int: Simple.INTEGER,
    float: Simple.FLOAT,
    bytes: Simple.BYTES,
    dt.datetime: Simple.DATETIME,
    dt.date: Simple.DATE,
    dt.time: Simple.TIME,
    dt.timedelta: Simple.DURATION,
    decimal.Decimal: Simple.DECIMAL,
    uuid.UUID: Simple.UUID,
}

MAX_DEPTH = 64
"""Deepest nesting of plain data; JSON readers give up between 200 and 1000 levels, and marks take levels too."""


class PlainData(TypeFamily):
    """Bare `dict`, `list`, `tuple`, and `Any`."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a container without its parameters, or `Any`."""
        return python_type in (dict, list, tuple, Any) and not get_args(python_type)

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for one kind of outermost container."""
        plain = _Plain(engine)
        kind = object if python_type is Any else python_type

        def write(value: Any, context: ValueContext) -> Any:
            if kind is list and isinstance(value, tuple):
                value = list(value)
            if not isinstance(value, kind):
                raise misfit(kind.__name__, value)
            return plain.write(value, context)

        def read(value: Any, context: ValueContext) -> Any:
            done = plain.read(value, context)
            if kind in {list, tuple} and isinstance(done, list | tuple):
                return kind(done)
            if not isinstance(done, kind):
                raise misfit(kind.__name__, done)
            return done

        return Converter(ANY, write, read, lambda value: kind is not object and type(value) is kind)


class _Plain:
    """The recursion over data of no declared shape."""

    def __init__(self, engine: Converters) -> None:
        self._by_kind = {kind: engine.converter(kind) for kind in _KINDS}
        self._by_mark = {
            name: next(c for kind, c in self._by_kind.items() if _KINDS[kind] is simple)
            for name, simple in SCALARS.items()
        }

    def write(self, value: Any, context: ValueContext, levels: int = MAX_DEPTH) -> Any:
        if value is None:
            return None
        if isinstance(value, dict | list | tuple):
            if levels == 0:
                raise Misfit(f"nested deeper than {MAX_DEPTH} levels, or it contains itself")
            return self._write_container(value, context, levels - 1)
        for kind, converter in self._by_kind.items():
            if isinstance(value, kind):
                return mark(converter.write(value, context), _KINDS[kind])
        if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
            return self.write(value.item(), context, levels)
        raise Misfit(
            "expected plain data (None, bool, int, float, str, bytes, dates, Decimal, UUID, list, tuple, dict), "
            f"got {given(value)}"
        )

    def _write_container(self, value: Any, context: ValueContext, levels: int) -> Any:
        def inner(item: Any, context: ValueContext) -> Any:
            return self.write(item, context, levels)

        if isinstance(value, dict):
            items = _each(inner, value.items(), context)
            return mark_map([[inner(key, context), item] for key, item in zip(value, items, strict=True)])
        items = _each(inner, enumerate(value), context)
        return {"$tuple": items} if isinstance(value, tuple) else items

    def read(self, value: Any, context: ValueContext) -> Any:
        found = marked(value)
        if found is not None:
            name, content = found
            if name == "$map":
                return {self.read(key, context): self.read(item, context) for key, item in content}
            if name == "$tuple":
                return tuple(self.read(item, context) for item in content)
            return self._by_mark[name].read(content, context)
        if isinstance(value, dict):
            return {key: self.read(item, context) for key, item in value.items()}
        if isinstance(value, list):
            return [self.read(item, context) for item in value]
        return value


def _each(convert: Callable[[Any, ValueContext], Any], entries: Any, context: ValueContext) -> list[Any]:
    done = []
    for key, item in entries:
        try:
            done.append(convert(item, context))
        except Misfit as error:
            raise error.at_item(key) from None
    return done
