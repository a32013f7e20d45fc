"""What may flow where: the one rule for edges (compiler) and for given inputs (control plane).

Stricter than Python, laxer than Flyte in one point: an int may go where a float is declared (issue A), never the
other way round. Flyte's rules are in its `compiler/validators/typing.go`.
"""

from __future__ import annotations

from flyte_temporal.spec.types import (
    FLOAT,
    INTEGER,
    NONE,
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
)

_TEXT = {Simple.STRING, Simple.PATH}


def accepts(target: LiteralType, source: LiteralType) -> bool:
    """Return whether every value of `source` may be given where `target` is declared."""
    if target == source:
        return True
    if isinstance(source, UnionType):
        return all(accepts(target, variant) for variant in source.variants)
    if isinstance(target, UnionType):
        return any(accepts(variant, source) for variant in target.variants)
    if isinstance(target, SimpleType):
        return _simple_accepts(target, source)
    if isinstance(target, EnumType):
        return _enum_accepts(target, source)
    if isinstance(target, ListType) and isinstance(source, TupleType):
        return all(accepts(target.element, e) for e in source.elements)
    return type(target) is type(source) and _same_kind_accepts(target, source)


def _simple_accepts(target: SimpleType, source: LiteralType) -> bool:
    if target.simple is Simple.ANY:
        return is_plain(source)
    if target == FLOAT and source == INTEGER:
        return True
    if target == STRING and isinstance(source, EnumType):
        return all(isinstance(v, str) for v in source.values)
    return isinstance(source, SimpleType) and {target.simple, source.simple} <= _TEXT


def _enum_accepts(target: EnumType, source: LiteralType) -> bool:
    # A string may go to an enum (Flyte: enum <-> string); the value is checked when it is there.
    if source == STRING:
        return any(isinstance(v, str) for v in target.values)
    if source == NONE:
        return None in target.values
    return isinstance(source, EnumType) and all(v in target.values for v in source.values)


def _same_kind_accepts(target: LiteralType, source: LiteralType) -> bool:
    match target, source:
        case ListType(), ListType():
            return accepts(target.element, source.element)
        case MapType(), MapType():
            return accepts(target.key, source.key) and accepts(target.value, source.value)
        case TupleType(), TupleType():
            pairs = zip(target.elements, source.elements, strict=False)
            return len(target.elements) == len(source.elements) and all(accepts(t, s) for t, s in pairs)
        case StructType(), StructType():
            return _struct_accepts(target, source)
        case BlobType(), BlobType():
            same_format = not target.format or not source.format or target.format == source.format
            return target.shape == source.shape and same_format
        case DatasetType(), DatasetType():
            return _dataset_accepts(target, source)
        case OpaqueType(), OpaqueType():
            return target.codec == source.codec
        case _:
            return False


def _struct_accepts(target: StructType, source: StructType) -> bool:
    given = {f.name: f for f in source.fields}
    if (
        not target.open
        and not source.open
        and any(f.name not in {t.name for t in target.fields} for f in source.fields)
    ):
        return False
    for field in target.fields:
        found = given.get(field.name)
        if found is None:
            if field.required and not source.open:
                return False
        elif not accepts(field.type, found.type) or (field.required and not found.required):
            return False
    return True


def _dataset_accepts(target: DatasetType, source: DatasetType) -> bool:
    if target.format and source.format and target.format != source.format:
        return False
    if not target.columns or not source.columns:
        return True
    given = {c.name: c.type for c in source.columns}
    return all(c.name in given and accepts(c.type, given[c.name]) for c in target.columns)


def is_plain(type_: LiteralType) -> bool:
    """Return whether values of the type are plain JSON data that `any` may take."""
    match type_:
        case SimpleType():
            return type_.simple is not Simple.ERROR
        case EnumType():
            return True
        case ListType():
            return is_plain(type_.element)
        case MapType():
            return type_.key == STRING and is_plain(type_.value)
        case TupleType():
            return all(is_plain(e) for e in type_.elements)
        case StructType():
            return all(is_plain(f.type) for f in type_.fields)
        case _:
            return False
