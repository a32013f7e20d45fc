"""Typed JSON of a literal → plain JSON for people: the results of `run -o json`, the defaults in `--help`.

A file is shown as its address, a tuple as a list, a union as the value inside, a DataFrame as `{"uri", "format"}`.
"""

from __future__ import annotations

import json
from typing import Any

from flyte_temporal.sdk.types.marks import marked
from flyte_temporal.spec.literals import decode_integer
from flyte_temporal.spec.types import (
    ANY,
    INTEGER,
    STRING,
    BlobType,
    DatasetType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    plain_optional,
)

_MAX_BITS = 14_000


def show(value: Any, type_: LiteralType) -> Any:
    """Return a value as plain JSON.

    Args:
        value: JSON, written by `type_`.
        type_: Its type.
    """
    match type_:
        case SimpleType():
            return _simple(value, type_)
        case ListType():
            return [show(item, type_.element) for item in value]
        case TupleType():
            return [show(item, element) for item, element in zip(value, type_.elements, strict=True)]
        case MapType():
            return _map(value, type_)
        case UnionType():
            return _union(value, type_)
        case StructType():
            return _struct(value, type_)
        case BlobType():
            return value["uri"]
        case DatasetType():
            return {"uri": value["uri"], "format": value["format"]}
        case OpaqueType():
            return {"uri": value["uri"], "codec": value["codec"]}
        case _:
            return value


def _simple(value: Any, type_: SimpleType) -> Any:
    if type_ == INTEGER:
        return _integer(value)
    return _any(value) if type_ == ANY else value


def _integer(value: Any) -> Any:
    number = decode_integer(value)
    # JSON has integers of any size, but Python neither writes nor reads more than 4300 digits
    return number if number.bit_length() <= _MAX_BITS else value


def _any(value: Any) -> Any:
    found = marked(value)
    if found is not None:
        mark, content = found
        if mark == "$map":
            return {_key_text(_any(key)): _any(item) for key, item in content}
        if mark == "$tuple":
            return [_any(item) for item in content]
        return _integer(content) if mark == "$int" else content
    if isinstance(value, dict):
        return {key: _any(item) for key, item in value.items()}
    return [_any(item) for item in value] if isinstance(value, list) else value


def _map(value: Any, type_: MapType) -> dict[str, Any]:
    pairs = value.items() if type_.key == STRING else value
    return {_key_text(show(key, type_.key)): show(item, type_.value) for key, item in pairs}


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key, ensure_ascii=False)


def _union(value: Any, type_: UnionType) -> Any:
    inner = plain_optional(type_)
    if inner is None:
        return show(value["value"], type_.variants[value["variant"]])
    return None if value is None else show(value, inner)


def _struct(value: dict[str, Any], type_: StructType) -> dict[str, Any]:
    shown = {field.name: show(value[field.name], field.type) for field in type_.fields if field.name in value}
    return shown | {name: _any(item) for name, item in value.items() if name not in shown}
