"""Checks typed JSON against its type, without I/O: what the control plane does with inputs that arrive from anywhere."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.converter import Misfit, misfit
from flyte_temporal.sdk.types.scalars import checked_text
from flyte_temporal.sdk.types.times import parse_datetime, parse_duration, parse_time
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.literals import (
    DatasetValue,
    DirectoryValue,
    ErrorValue,
    FileValue,
    OpaqueValue,
    decode_float,
    decode_integer,
)
from flyte_temporal.spec.types import (
    STRING,
    BlobType,
    DatasetType,
    EnumType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    describe,
    plain_optional,
)


def conform(value: Any, type_: LiteralType) -> None:
    """Check that some JSON is a value of a type, as `spec.literals` says it is written.

    Raises:
        InvalidInputs: If it is not; the message says where, what was expected and what was given.
    """
    try:
        _check(value, type_)
    except Misfit as error:
        raise InvalidInputs(error.message) from None
    except RecursionError:
        raise InvalidInputs("the value is nested too deeply") from None


def _check(value: Any, type_: LiteralType) -> None:
    match type_:
        case SimpleType():
            _check_simple(value, type_)
        case EnumType():
            if not any(type(value) is type(v) and value == v for v in type_.values):
                raise misfit(f"one of {', '.join(map(repr, type_.values[:20]))}", value)
        case ListType():
            _check_each(value, type_.element, describe(type_))
        case TupleType():
            _check_tuple(value, type_)
        case MapType():
            _check_map(value, type_)
        case UnionType():
            _check_union(value, type_)
        case StructType():
            _check_struct(value, type_)
        case BlobType():
            _check_document(value, FileValue if type_.shape == "single" else DirectoryValue, type_)
        case DatasetType():
            _check_dataset(value, type_)
        case OpaqueType():
            _check_document(value, OpaqueValue, type_)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and checked_text(value) == value


def _is_int(value: Any) -> bool:
    decode_integer(value)
    return True


def _is_float(value: Any) -> bool:
    decode_float(value)
    return True


_SIMPLE: dict[Simple, Callable[[Any], bool]] = {
    Simple.NONE: lambda value: value is None,
    Simple.BOOLEAN: _is_bool,
    Simple.INTEGER: _is_int,
    Simple.FLOAT: _is_float,
    Simple.STRING: _is_text,
    Simple.PATH: _is_text,
}

_PARSERS: dict[Simple, Callable[[str], object]] = {
    Simple.BYTES: lambda text: base64.b64decode(text, validate=True),
    Simple.DATETIME: parse_datetime,
    Simple.DATE: date.fromisoformat,
    Simple.TIME: parse_time,
    Simple.DURATION: parse_duration,
    Simple.DECIMAL: Decimal,
    Simple.UUID: uuid.UUID,
}


def _check_simple(value: Any, type_: SimpleType) -> None:
    if type_.simple is Simple.ANY:
        _check_any(value)
    elif type_.simple is Simple.ERROR:
        _check_document(value, ErrorValue, type_)
    elif type_.simple in _SIMPLE:
        try:
            fits = _SIMPLE[type_.simple](value)
        except (ValueError, OverflowError):
            fits = False
        if not fits:
            raise misfit(describe(type_), value)
    elif not isinstance(value, str) or not _parses(_PARSERS[type_.simple], value):
        raise misfit(f"{describe(type_)} as text", value)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, OverflowError, InvalidOperation):
        return False
    return True


def _check_any(value: Any) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise misfit("JSON, whose keys are strings", value)
        for key, item in value.items():
            _at(_check_any, key, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _at(_check_any, index, item)
    elif value is not None and not isinstance(value, str | int | float):
        raise misfit("JSON", value)
    elif isinstance(value, float) and value - value != 0:
        raise misfit("JSON, which has no such number", value)


def _at(check: Callable[..., None], key: object, value: Any, *more: Any) -> None:
    try:
        check(value, *more)
    except Misfit as error:
        raise error.at_item(key) from None


def _check_each(value: Any, element: LiteralType, expected: str) -> None:
    if not isinstance(value, list):
        raise misfit(expected, value)
    for index, item in enumerate(value):
        _at(_check, index, item, element)


def _check_tuple(value: Any, type_: TupleType) -> None:
    if not isinstance(value, list) or len(value) != len(type_.elements):
        raise misfit(f"{describe(type_)}, an array of {len(type_.elements)}", value)
    for index, (item, element) in enumerate(zip(value, type_.elements, strict=True)):
        _at(_check, index, item, element)


def _check_map(value: Any, type_: MapType) -> None:
    if type_.key == STRING:
        if not isinstance(value, dict):
            raise misfit(describe(type_), value)
        pairs = list(value.items())
    else:
        if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
            raise misfit(f"{describe(type_)}, an array of [key, value]", value)
        pairs = [(pair[0], pair[1]) for pair in value]
    for key, item in pairs:
        _at(_check, key, key, type_.key)
        _at(_check, key, item, type_.value)


def _check_union(value: Any, type_: UnionType) -> None:
    inner = plain_optional(type_)
    if inner is not None:
        if value is not None:
            _check(value, inner)
        return
    if not isinstance(value, dict) or set(value) != {"variant", "value"}:
        raise misfit(f"{describe(type_)} with its variant", value)
    index = value["variant"]
    if type(index) is not int or not 0 <= index < len(type_.variants):
        raise misfit(f"a variant below {len(type_.variants)}", index)
    _check(value["value"], type_.variants[index])


def _check_struct(value: Any, type_: StructType) -> None:
    if not isinstance(value, dict):
        raise misfit(describe(type_), value)
    types = {field.name: field.type for field in type_.fields}
    for field in type_.fields:
        if field.required and field.name not in value:
            raise Misfit(f"{describe(type_)} lacks the field {field.name!r}")
    for name, item in value.items():
        if name not in types and not type_.open:
            raise Misfit(f"{describe(type_)} has no field {name!r}; it has: {', '.join(types)}")
        try:
            _check(item, types[name]) if name in types else _check_any(item)
        except Misfit as error:
            raise error.at_field(name) from None


def _check_dataset(value: Any, type_: DatasetType) -> None:
    _check_document(value, DatasetValue, type_)
    known = value.get("columns") or ()
    missing = [column.name for column in type_.columns if known and column.name not in known]
    if missing:
        raise Misfit(f"the dataset lacks the declared column {missing[0]!r}; it has: {', '.join(known)}")


def _check_document(value: Any, model: type[Document], type_: LiteralType) -> None:
    try:
        model.model_validate(value)
    except ValueError:
        raise misfit(describe(type_), value) from None
