"""Dataclasses as records.

Instances are made by calling the class, so `__post_init__`, `kw_only`, `slots` and `frozen` mean what they mean in plain
Python; each value has been checked by its field's type before.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    given,
    misfit,
)
from flyte_temporal.sdk.types.records import Member, Record

Built = Callable[[dict[str, Any]], Any]


class Dataclasses(TypeFamily):
    """Standard dataclasses, also generic ones (`Box[int]`)."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a dataclass that pydantic does not own."""
        cls = get_origin(python_type) or python_type
        return (
            isinstance(cls, type)
            and dataclasses.is_dataclass(cls)
            and not hasattr(cls, "__pydantic_validator__")
        )

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Compile for the fields of one class."""
        cls = get_origin(python_type) or python_type
        hints = field_types(cls, get_args(python_type))
        members = [
            Member(f.name, f.name, field_converter(cls, f.name, hints[f.name], engine), _is_required(f))
            for f in dataclasses.fields(cls)
        ]
        record = Record(cls.__name__, members)
        return record_converter(cls, record, _builder(cls, hints), record.write_given)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return no_default and field.init


def field_converter(cls: type, name: str, python_type: Any, engine: Converters) -> Converter:
    """Return the converter of a field; an unsupported type names the class and the field.

    Raises:
        UnsupportedType: If the field's type has no transformer.
    """
    try:
        return engine.converter(python_type)
    except UnsupportedType as error:
        raise UnsupportedType(f"{cls.__name__}.{name}: {error.message}") from error


def _builder(cls: Any, hints: dict[str, Any]) -> Built:
    for name, hint in hints.items():
        if hint is dataclasses.InitVar or isinstance(hint, dataclasses.InitVar):
            raise UnsupportedType(
                f"{cls.__name__}.{name} is an InitVar, whose value is gone once the object is made. Make it a field."
            )
    fields = dataclasses.fields(cls)
    later = [f.name for f in fields if not f.init]
    if not cls.__dataclass_params__.init:
        return lambda attributes: _assign(object.__new__(cls), attributes, list(attributes))
    if not later:
        return _caller(cls, [f.name for f in fields], by_position=not any(f.kw_only for f in fields))

    def build(attributes: dict[str, Any]) -> Any:
        made = cls(**{name: value for name, value in attributes.items() if name not in later})
        return _assign(made, attributes, later)

    return build


def _caller(cls: Any, names: list[str], *, by_position: bool) -> Built:
    def build(attributes: dict[str, Any]) -> Any:
        if by_position and len(attributes) == len(names):
            # CPython matches keywords one by one: a thousand of them take 7 ms, positions 30 µs
            return cls(*[attributes[name] for name in names])
        return cls(**attributes)

    return build


def _assign(made: Any, attributes: dict[str, Any], names: list[str]) -> Any:
    for name in names:
        if name in attributes:
            object.__setattr__(made, name, attributes[name])  # works for frozen classes too
    return made


def record_converter(
    cls: Any, record: Record, build: Built, write_given: Callable[[Any, ValueContext], dict[str, Any]]
) -> Converter:
    """Return the converter of a class with fields.

    Args:
        cls: The class.
        record: Its compiled fields.
        build: Makes an instance of the attributes.
        write_given: Writes a dict that is given in place of an instance.
    """
    name = cls.__name__

    def write(value: Any, context: ValueContext) -> dict[str, Any]:
        if type(value) is cls:
            return record.write(value, context)
        if isinstance(value, cls):
            raise Misfit(
                f"expected {name}, got {given(value)}, a subclass whose own fields and methods would be lost; "
                f"declare {type(value).__name__}, or a Union with it"
            )
        if isinstance(value, dict):
            return write_given(value, context)
        raise misfit(name, value)

    def read(value: Any, context: ValueContext) -> Any:
        attributes = record.read(value, context)
        try:
            return build(attributes)
        except (TypeError, ValueError) as error:
            raise Misfit(f"{name} refused its fields: {error}") from error

    def exact(value: Any) -> bool:
        return type(value) is cls and record.exact(value)

    return Converter(record.type, write, read, exact)


def field_types(cls: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return the annotations of a class and its bases, with type variables replaced.

    Args:
        cls: The class.
        arguments: What stands in its brackets.

    Raises:
        UnsupportedType: If an annotation names something that cannot be found.
    """
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise UnsupportedType(
            f"{cls.__name__}: the annotation {error.name!r} cannot be resolved; define it at the top level of the module"
        ) from error
    known = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            inherited = field_types(origin, tuple(substitute(a, known) for a in get_args(base)))
            own = inspect.get_annotations(cls)
            hints.update({name: kind for name, kind in inherited.items() if name not in own})
    return {name: substitute(kind, known) for name, kind in hints.items()}


def substitute(python_type: Any, known: dict[Any, Any]) -> Any:
    """Return an annotation with its type variables replaced by what is known of them."""
    if isinstance(python_type, TypeVar):
        return known.get(python_type, python_type)
    parameters = getattr(python_type, "__parameters__", ())
    if not parameters or not known or isinstance(python_type, type):
        return python_type
    return python_type[tuple(known.get(p, p) for p in parameters)]
