"""Inputs as Flyte writes them: `flyteidl.core.LiteralMap` in protobuf's bytes, written by hand.

Task containers have no protobuf, and this needs only the writing half of a few messages. Numbers of fields are those of
flyteidl's `literals.proto` and `types.proto`, which do not change.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from flyte_temporal.spec.commands import text_of
from flyte_temporal.spec.literals import decode_float, decode_integer
from flyte_temporal.spec.types import (
    BlobType,
    DatasetType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    Simple,
    SimpleType,
    TupleType,
    UnionType,
    plain_optional,
)

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def literal_map(values: Mapping[str, Any], types: Mapping[str, LiteralType]) -> bytes:
    """Return a `LiteralMap`.

    Args:
        values: JSON by the table of `spec.literals`.
        types: The type of each.
    """
    return b"".join(_field(1, _entry(name, _literal(value, types[name]))) for name, value in values.items())


def _literal(value: Any, type_: LiteralType) -> bytes:
    """Return a `Literal`: scalar = 1, collection = 2, map = 3."""
    match type_:
        case UnionType():
            inner = plain_optional(type_)
            if value is None:
                return _field(1, _field(5, b""))
            if inner is not None:
                return _literal(value, inner)
            return _literal(value["value"], type_.variants[int(value["variant"])])
        case ListType():
            return _field(2, b"".join(_field(1, _literal(item, type_.element)) for item in value))
        case TupleType():
            pairs = zip(value, type_.elements, strict=True)
            return _field(2, b"".join(_field(1, _literal(item, element)) for item, element in pairs))
        case MapType():
            known = value.items() if isinstance(value, Mapping) else value
            entries = (_entry(text_of(key, type_.key), _literal(item, type_.value)) for key, item in known)
            return _field(3, b"".join(_field(1, entry) for entry in entries))
        case _:
            return _field(1, _scalar(value, type_))


def _scalar(value: Any, type_: LiteralType) -> bytes:
    """Return a `Scalar`: primitive = 1, blob = 2, none = 5, generic = 7, structured dataset = 8."""
    match type_:
        case _ if value is None:
            return _field(5, b"")
        case BlobType():
            shape = _varint(2, 1) if type_.shape == "multipart" else b""
            kind = _text(1, type_.format) + shape
            return _field(2, _field(1, _field(1, kind)) + _text(3, str(value["uri"])))
        case DatasetType():
            format_ = _text(2, str(value.get("format", "")))
            return _field(8, _text(1, str(value["uri"])) + _field(2, _field(1, format_)))
        case OpaqueType():
            return _field(2, _field(1, _field(1, _text(1, type_.codec))) + _text(3, str(value["uri"])))
        case SimpleType() if type_.simple is not Simple.ANY:
            return _field(1, _primitive(value, type_.simple))
        case _ if isinstance(value, str):
            return _field(1, _text(3, value, always=True))
        case _:
            return _field(7, _struct(value if isinstance(value, Mapping) else {"value": value}))


def _primitive(value: Any, simple: Simple) -> bytes:
    """Return a `Primitive`: integer = 1, float = 2, string = 3, boolean = 4, datetime = 5, duration = 6."""
    match simple:
        case Simple.INTEGER:
            number = decode_integer(value)
            if not -(2**63) <= number < 2**63:
                return _text(3, str(number), always=True)
            return _varint(1, number, always=True)
        case Simple.FLOAT:
            return b"\x11" + struct.pack("<d", decode_float(value))
        case Simple.BOOLEAN:
            return _varint(4, int(value), always=True)
        case Simple.DATETIME:
            moment = datetime.fromisoformat(str(value).partition("[")[0])
            passed = (moment.replace(tzinfo=_EPOCH.tzinfo) if moment.tzinfo is None else moment) - _EPOCH
            return _field(
                5, _varint(1, passed.days * 86400 + passed.seconds) + _varint(2, passed.microseconds * 1000)
            )
        case Simple.DURATION:
            sign = -1 if str(value).startswith("-") else 1
            seconds = Decimal(str(value).lstrip("+-").removeprefix("PT").removesuffix("S"))
            whole = int(seconds)
            return _field(6, _varint(1, sign * whole) + _varint(2, sign * int((seconds - whole) * 10**9)))
        case _:
            return _text(3, value if isinstance(value, str) else json.dumps(value), always=True)


def _struct(value: Mapping[str, Any]) -> bytes:
    """Return a `google.protobuf.Struct`."""
    return b"".join(_field(1, _entry(str(name), _value(item))) for name, item in value.items())


def _value(value: Any) -> bytes:
    """Return a `google.protobuf.Value`: null = 1, number = 2, string = 3, boolean = 4, struct = 5, list = 6."""
    match value:
        case None:
            return _varint(1, 0, always=True)
        case bool():
            return _varint(4, int(value), always=True)
        case int() | float():
            return b"\x11" + struct.pack("<d", float(value))
        case str():
            return _text(3, value, always=True)
        case Mapping():
            return _field(5, _struct(value))
        case _:
            return _field(6, b"".join(_field(1, _value(item)) for item in value))


def _entry(key: str, value: bytes) -> bytes:
    return _text(1, key, always=True) + _field(2, value)


def _field(number: int, data: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(data)) + data


def _text(number: int, text: str, *, always: bool = False) -> bytes:
    return _field(number, text.encode()) if text or always else b""


def _varint(number: int, value: int, *, always: bool = False) -> bytes:
    return _number(number << 3) + _number(value) if value or always else b""


def _number(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
