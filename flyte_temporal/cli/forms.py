"""How values of the types of an interface are typed, for `--help`: each form once, only those that occur."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flyte_temporal.cli.help_page import Row
from flyte_temporal.cli.inputs_file import is_structured
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.types import (
    BlobType,
    DatasetType,
    EnumType,
    ListType,
    LiteralType,
    MapType,
    Simple,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    describe,
)

_SIMPLE = {
    Simple.DATETIME: "2026-01-31T12:00:00+01:00, 2026-01-31 (UTC), now, or now-1d",
    Simple.DATE: "2026-01-31",
    Simple.TIME: "12:30:00",
    Simple.DURATION: "5m, 1h30m, PT1H30M, or a number of seconds",
    Simple.BYTES: "base64",
}


def forms(interface: Interface) -> list[Row]:
    """Return a row for each type among the inputs that does not explain itself."""
    rows: dict[str, Row] = {}
    for variable in interface.inputs:
        for type_ in _within(variable.type):
            if text := _form(type_):
                rows.setdefault(describe(type_), Row(describe(type_), text=text))
    if any(is_structured(variable.type) for variable in interface.inputs):
        text = "lists, tuples, dictionaries and records: as text, or @FILE, a JSON or YAML file"
        rows["JSON"] = Row("JSON", text=text)
    return list(rows.values())


def _form(type_: LiteralType) -> str:
    match type_:
        case SimpleType():
            return _SIMPLE.get(type_.simple, "")
        case EnumType() if type_.names:
            return "one of " + ", ".join(type_.names)
        case EnumType():
            return "one of " + ", ".join(v if isinstance(v, str) else json.dumps(v) for v in type_.values)
        case StructType():
            fields = (f"{f.name}{'' if f.required else '?'}: {describe(f.type)}" for f in type_.fields)
            return "{" + ", ".join(fields) + "}"
        case BlobType() | DatasetType():
            return "a local path, which is uploaded, or an address such as s3://…"
        case _:
            return ""


def _within(type_: LiteralType) -> Iterator[LiteralType]:
    """Yield a type and all types inside it."""
    yield type_
    match type_:
        case ListType():
            yield from _within(type_.element)
        case MapType():
            yield from _within(type_.key)
            yield from _within(type_.value)
        case TupleType():
            for element in type_.elements:
                yield from _within(element)
        case UnionType():
            for variant in type_.variants:
                yield from _within(variant)
        case StructType():
            for field in type_.fields:
                yield from _within(field.type)
