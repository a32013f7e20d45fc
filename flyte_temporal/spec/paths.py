"""Attribute access on values: `p.a.b[0]`, `p["k"]`, over types (compile time) and over JSON values (run time)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.literals import encode_integer
from flyte_temporal.spec.types import (
    ANY,
    STRING,
    ListType,
    LiteralType,
    MapType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    describe,
    optional,
    plain_optional,
)


class BadPath(ValueError):
    """The type has no such attribute, key or position; the message says what it has."""


def type_at(type_: LiteralType, path: Sequence[str | int]) -> LiteralType:
    """Return the type at the end of an attribute path.

    Raises:
        BadPath: If a step does not exist.
    """
    for step in path:
        type_ = _step_type(type_, step)
    return type_


def _step_type(type_: LiteralType, step: str | int) -> LiteralType:
    match type_:
        case ListType() if isinstance(step, int):
            return type_.element
        case TupleType():
            index = type_.names.index(step) if step in type_.names else step
            if isinstance(index, int) and -len(type_.elements) <= index < len(type_.elements):
                return type_.elements[index]
            raise BadPath(f"{describe(type_)} has {len(type_.elements)} elements; there is no {step!r}")
        case MapType():
            return type_.value
        case StructType():
            return _field_type(type_, step)
        case SimpleType(simple=Simple.ANY):
            return ANY
        case UnionType() if (inner := plain_optional(type_)) is not None:
            return optional(_step_type(inner, step))
        case _:
            kind = "positions" if isinstance(step, int) else "attributes"
            raise BadPath(
                f"a value of type {describe(type_)} has no {kind} that can be taken before it exists"
            )


def _field_type(type_: StructType, step: str | int) -> LiteralType:
    for field in type_.fields:
        if field.name == step:
            return field.type
    if type_.open:
        return ANY
    names = ", ".join(f.name for f in type_.fields)
    raise BadPath(f"{describe(type_)} has no field {step!r}; it has: {names}")


class MissingAttribute(UserCodeError):
    """The value has no such key, position or field; it is a user error of the node that asks for it."""

    code = "AttributeNotFound"
    retryable = False


def value_at(value: Any, type_: LiteralType, path: Sequence[str | int]) -> Any:
    """Return the JSON value at the end of an attribute path.

    Args:
        value: JSON, written by `type_`.
        type_: Its type, which says how maps with other than string keys and named tuples are written.
        path: The steps.

    Raises:
        MissingAttribute: If the value has no such key, position or field.
    """
    for done, step in enumerate(path):
        try:
            value = _step_value(value, type_, step)
            type_ = _step_type(type_, step)
        except (KeyError, IndexError, TypeError, BadPath) as error:
            where = "".join(f"[{s!r}]" for s in path[: done + 1])
            raise MissingAttribute(f"The value has nothing at {where}: {_contents(value)}.") from error
    return value


def _step_value(value: Any, type_: LiteralType, step: str | int) -> Any:
    match type_:
        case TupleType() if step in type_.names:
            return value[type_.names.index(step)]
        case MapType() if type_.key != STRING:
            wanted = encode_integer(step) if isinstance(step, int) else step
            return _pair(value, wanted)
        case UnionType() if (inner := plain_optional(type_)) is not None and value is not None:
            return _step_value(value, inner, step)
        case _:
            return value[step]


def _pair(pairs: list[list[Any]], key: Any) -> Any:
    for found, value in pairs:
        if found == key:
            return value
    raise KeyError(key)


def _contents(value: Any) -> str:
    if value is None:
        return "it is None"
    if isinstance(value, dict):
        return "its keys are " + (", ".join(map(repr, list(value)[:10])) or "none")
    if isinstance(value, list):
        return f"it has {len(value)} elements"
    return f"it is a {type(value).__name__}"
