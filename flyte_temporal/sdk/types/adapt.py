"""JSON written by one type → the same value as JSON of another type, where an edge allows it.

Called by the engine when a literal was written by another type than the declared one: an int for a float, a `T` for an
`Optional[T]`, a tuple for a list. Which pairs are allowed is `spec.assignability`'s; here is only how. Pure.
"""

from __future__ import annotations

from typing import Any

from flyte_temporal.sdk.types.converter import Misfit
from flyte_temporal.sdk.types.marks import mark, mark_map
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.literals import decode_float, encode_float
from flyte_temporal.spec.types import (
    ANY,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    EnumType,
    ListType,
    LiteralType,
    MapType,
    SimpleType,
    StructType,
    TupleType,
    UnionType,
    describe,
    plain_optional,
)


def adapt(value: Any, written: LiteralType, declared: LiteralType) -> Any:
    """Return a value as JSON of the declared type.

    Args:
        value: JSON, written by `written`.
        written: The type by which it was written.
        declared: The type that the reader expects.

    Raises:
        Misfit: If the value has no place in the declared type.
    """
    if written == declared:
        return value
    if isinstance(written, UnionType):
        return _from_union(value, written, declared)
    if declared == ANY:
        return _to_any(value, written)
    if isinstance(declared, UnionType):
        return _to_union(value, written, declared)
    match written, declared:
        case ListType(), ListType():
            return [adapt(item, written.element, declared.element) for item in value]
        case TupleType(), ListType():
            return [adapt(v, t, declared.element) for v, t in zip(value, written.elements, strict=True)]
        case TupleType(), TupleType() if len(written.elements) == len(declared.elements):
            pairs = zip(value, written.elements, declared.elements, strict=True)
            return [adapt(v, w, d) for v, w, d in pairs]
        case MapType(), MapType():
            return _map(value, written, declared)
        case StructType(), StructType():
            return _struct(value, written, declared)
        case _ if written == INTEGER and declared == FLOAT:
            return encode_float(decode_float(value))
        case _ if accepts(declared, written):
            return value
        case _:
            raise Misfit(f"expected {describe(declared)}, got {describe(written)}")


def _from_union(value: Any, written: UnionType, declared: LiteralType) -> Any:
    inner = plain_optional(written)
    if inner is None:
        variant = written.variants[value["variant"]]
        return adapt(value["value"], variant, declared)
    return adapt(value, NONE if value is None else inner, declared)


def _to_union(value: Any, written: LiteralType, declared: UnionType) -> Any:
    inner = plain_optional(declared)
    if inner is not None:
        return None if written == NONE else adapt(value, written, inner)
    same = [i for i, variant in enumerate(declared.variants) if variant == written]
    fitting = same or [i for i, variant in enumerate(declared.variants) if accepts(variant, written)]
    if not fitting:
        raise Misfit(f"expected {describe(declared)}, got {describe(written)}")
    return {"variant": fitting[0], "value": adapt(value, written, declared.variants[fitting[0]])}


def _map(value: Any, written: MapType, declared: MapType) -> Any:
    pairs = value.items() if written.key == STRING else value
    done = [[adapt(k, written.key, declared.key), adapt(v, written.value, declared.value)] for k, v in pairs]
    return dict(done) if declared.key == STRING else done


def _struct(value: dict[str, Any], written: StructType, declared: StructType) -> dict[str, Any]:
    sources = {field.name: field.type for field in written.fields}
    targets = {field.name: field.type for field in declared.fields}
    return {
        name: adapt(v, sources[name], targets[name]) if name in sources and name in targets else v
        for name, v in value.items()
    }


def _to_any(value: Any, written: LiteralType) -> Any:
    match written:
        case SimpleType():
            return mark(value, written.simple)
        case ListType():
            return [adapt(item, written.element, ANY) for item in value]
        case TupleType():
            return {"$tuple": [adapt(v, t, ANY) for v, t in zip(value, written.elements, strict=True)]}
        case MapType():
            pairs = value.items() if written.key == STRING else value
            return mark_map([[adapt(k, written.key, ANY), adapt(v, written.value, ANY)] for k, v in pairs])
        case StructType():
            types = {field.name: field.type for field in written.fields}
            return mark_map([[name, adapt(item, types.get(name, ANY), ANY)] for name, item in value.items()])
        case EnumType():
            return value
        case _:
            raise Misfit(f"expected plain data, got {describe(written)}")
