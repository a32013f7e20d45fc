"""What stands for a value when only its content counts, and which objects in storage a value has in it. Pure.

Called by `cache` for keys, and by `activities.lookups` to know what must still exist for remembered outputs to be good.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flyte_temporal.spec.literals import (
    Composite,
    Inline,
    Joined,
    LiteralValue,
    Offloaded,
    decode_float,
    encode_float,
)
from flyte_temporal.spec.types import (
    ANY,
    FLOAT,
    INTEGER,
    NONE,
    BlobType,
    DatasetType,
    ListType,
    LiteralType,
    MapType,
    OpaqueType,
    StructType,
    TupleType,
    UnionType,
    plain_optional,
)


def holds_reference(type_: LiteralType) -> bool:
    """Return whether values of a type have files, directories, datasets or opaque bytes in them."""
    match type_:
        case BlobType() | DatasetType() | OpaqueType():
            return True
        case ListType():
            return holds_reference(type_.element)
        case MapType():
            return holds_reference(type_.key) or holds_reference(type_.value)
        case TupleType():
            return any(map(holds_reference, type_.elements))
        case UnionType():
            return any(map(holds_reference, type_.variants))
        case StructType():
            return any(holds_reference(field.type) for field in type_.fields)
        case _:
            return False


def content(literal: LiteralValue, declared: LiteralType, *, references: bool) -> list[Any]:
    """Return what stands for a literal in a key; equal values give equal contents where that is cheap to see.

    The first item says what the rest is, so that no value of a user's can look like another kind of content.
    """
    if literal.hash is not None:
        return ["hash", literal.hash]
    match literal:
        case Inline():
            return _inline(literal, declared, references=references)
        case Offloaded():
            found: list[Any] = ["stored", literal.sha256]
            return [*found, list(literal.path)] if literal.path else found
        case Composite():
            return _composite(literal, declared)
        case Joined():
            return _joined(literal, declared)


def _inline(literal: Inline, declared: LiteralType, *, references: bool) -> list[Any]:
    value, written = literal.value, literal.type
    if written is None or written == declared or _same_json(written, declared):
        if references:
            value = bycontent(value, declared)
        return ["value", value]
    if (written, declared) == (INTEGER, FLOAT):
        return ["value", encode_float(decode_float(value))]
    return ["value", bycontent(value, written), written.model_dump(mode="json")]


def _same_json(written: LiteralType, declared: LiteralType) -> bool:
    return isinstance(declared, UnionType) and written in (plain_optional(declared), NONE)


def _composite(literal: Composite, declared: LiteralType) -> list[Any]:
    shape = literal.type or declared
    if isinstance(shape, UnionType):
        shape = plain_optional(shape) or shape
    types = _element_types(literal, shape)
    parts = [
        content(item, type_, references=holds_reference(type_))
        for item, type_ in zip(literal.items, types, strict=True)
    ]
    if all(len(part) == 2 and part[0] == "value" for part in parts):
        values = [part[1] for part in parts]
        if literal.keys is None:
            return ["value", values]
        if all(isinstance(key, str) for key in literal.keys):
            return ["value", dict(zip(literal.keys, values, strict=True))]
    return ["parts", parts, None if literal.keys is None else list(literal.keys)]


def _joined(literal: Joined, declared: LiteralType) -> list[Any]:
    own = literal.type or declared
    parts = [content(part, own, references=holds_reference(own)) for part in literal.parts]
    if all(len(part) == 2 and part[0] == "value" for part in parts):
        return ["value", [value for part in parts for value in part[1]]]
    return ["joined", parts]


def _element_types(literal: Composite, shape: LiteralType) -> list[LiteralType]:
    match shape:
        case ListType():
            return [shape.element] * len(literal.items)
        case MapType():
            return [shape.value] * len(literal.items)
        case TupleType() if len(shape.elements) == len(literal.items):
            return list(shape.elements)
        case StructType() if literal.keys is not None:
            fields = {field.name: field.type for field in shape.fields}
            return [fields.get(key, ANY) if isinstance(key, str) else ANY for key in literal.keys]
        case _:
            return [ANY] * len(literal.items)


def bycontent(value: Any, type_: LiteralType) -> Any:
    """Return JSON of a type with its files, directories, datasets and opaque bytes by digest, where that is known."""
    match type_:
        case BlobType() | DatasetType() | OpaqueType() if isinstance(value, dict) and value.get("sha256"):
            return {"sha256": value["sha256"]}
        case ListType() if isinstance(value, list):
            return [bycontent(item, type_.element) for item in value]
        case MapType() if isinstance(value, dict):
            return {key: bycontent(item, type_.value) for key, item in value.items()}
        case MapType() if isinstance(value, list):
            return [[bycontent(k, type_.key), bycontent(v, type_.value)] for k, v in value]
        case TupleType() if isinstance(value, list) and len(value) == len(type_.elements):
            return [bycontent(item, each) for item, each in zip(value, type_.elements, strict=True)]
        case StructType() if isinstance(value, dict):
            types = {field.name: field.type for field in type_.fields}
            return {name: bycontent(item, types.get(name, ANY)) for name, item in value.items()}
        case UnionType():
            return _variant(value, type_)
        case _:
            return value


def _variant(value: Any, type_: UnionType) -> Any:
    inner = plain_optional(type_)
    if inner is not None:
        return None if value is None else bycontent(value, inner)
    if isinstance(value, dict) and isinstance(index := value.get("variant"), int):
        return {"variant": index, "value": bycontent(value.get("value"), type_.variants[index])}
    return value


def references_in(value: Any, type_: LiteralType) -> list[dict[str, Any]]:
    """Return the file, directory, dataset and opaque objects in JSON of a type."""
    found: list[dict[str, Any]] = []
    todo: list[tuple[Any, LiteralType]] = [(value, type_)]
    while todo:
        part, kind = todo.pop()
        if isinstance(kind, BlobType | DatasetType | OpaqueType):
            if isinstance(part, dict):
                found.append(part)
        elif part is not None:
            todo.extend(_parts(part, kind))
    return found


def _parts(value: Any, type_: LiteralType) -> Iterable[tuple[Any, LiteralType]]:
    match type_:
        case ListType() if isinstance(value, list):
            return [(item, type_.element) for item in value]
        case MapType():
            pairs = value.items() if isinstance(value, dict) else value
            return [part for k, v in pairs for part in ((k, type_.key), (v, type_.value))]
        case TupleType() if isinstance(value, list):
            return zip(value, type_.elements, strict=False)
        case StructType() if isinstance(value, dict):
            return [(value.get(field.name), field.type) for field in type_.fields]
        case UnionType():
            if (inner := plain_optional(type_)) is not None:
                return [(value, inner)]
            if isinstance(value, dict) and isinstance(index := value.get("variant"), int):
                return [(value.get("value"), type_.variants[index])]
    return []
