"""Python values ↔ literals: inline JSON, or a reference to the blob store when the JSON is large.

Called by the runtime (inputs and outputs of an attempt), the client (inputs, outputs) and the compiler (constants).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flyte_temporal.errors import FlyteTemporalError, InvalidInputs, StorageError, TypeMismatch
from flyte_temporal.sdk.types import elements
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.annotations import has_hash, hash_of
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.sdk.types.marks import mark_map
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.paths import value_at
from flyte_temporal.spec.types import (
    ANY,
    STRING,
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


def encode(value: Any, python_type: Any, context: ValueContext) -> LiteralValue:
    """Return a Python value as a literal; its files are uploaded, and so is its JSON if it is large.

    Raises:
        TypeMismatch: If the value does not fit the annotation.
        UnsupportedType: If the annotation has no transformer.
        StorageError: If something could not be stored.
    """
    engine = default_engine()
    write_parts = engine.converter(python_type).write_parts
    if write_parts is not None and context.blobs is not None:
        try:
            return elements.store_parts(write_parts(value, context), context)
        except Misfit as error:
            raise TypeMismatch(error.message) from error.__cause__
    digest = given_hash(value, python_type)
    literal = literal_of(engine.to_json(value, python_type, context), context)
    return literal if digest is None else literal.model_copy(update={"hash": digest})


def hashed(
    literal: LiteralValue, declared: LiteralType, python_type: Any, context: ValueContext
) -> LiteralValue:
    """Return a literal with what its annotation's `HashMethod` gives for it, if the annotation has one.

    For values that came as JSON; the function is the author's, so only a process that runs their code may call this.

    Raises:
        InvalidInputs: If the value does not fit the annotation.
        TypeMismatch: If the function failed.
    """
    if literal.hash is not None or not has_hash(python_type):
        return literal
    value = decode(literal, declared, python_type, context)
    try:
        digest = given_hash(value, python_type)
    except FlyteTemporalError:
        raise
    except Exception as error:  # the author's function may raise anything
        raise TypeMismatch(f"the HashMethod raised {type(error).__name__}: {error}") from error
    return literal.model_copy(update={"hash": digest})


def given_hash(value: Any, python_type: Any) -> str | None:
    """Return what the `HashMethod` of an annotation gives for a value, or None if it has none.

    Raises:
        TypeMismatch: If it gave no text.
    """
    try:
        return hash_of(value, python_type)
    except Misfit as error:
        raise TypeMismatch(error.message) from error.__cause__


def literal_of(value: Any, context: ValueContext) -> LiteralValue:
    """Return typed JSON as a literal, off-loaded if it is larger than `context.inline_bytes`.

    Raises:
        StorageError: If it could not be stored.
    """
    if context.blobs is None:
        return Inline(value=value)
    data = canonical_json(value)
    if len(data) <= context.inline_bytes:
        return Inline(value=value)
    sha256 = sha256_hex(data)
    key = keys.blob(sha256)
    context.blobs.put_new(key, data, sha256)
    count = len(value) if isinstance(value, list) else None
    return Offloaded(key=key, sha256=sha256, size=len(data), count=count)


def decode(literal: LiteralValue, declared: LiteralType, python_type: Any, context: ValueContext) -> Any:
    """Return the Python value of a literal.

    Args:
        literal: The literal.
        declared: The declared type in the spec; the literal's own `type` says how it was written.
        python_type: The annotation that the value is read by.
        context: Where files and off-loaded JSON come from.

    Raises:
        InvalidInputs: If the literal does not fit the annotation.
        CorruptBlob: If stored bytes do not have the digest in the literal.
        StorageError: If they are not there.
    """
    engine = default_engine()
    converter = engine.converter(python_type)
    if converter.write_parts is not None and isinstance(literal, Offloaded | Joined):
        parts = streamed(literal, declared, context)
        if parts is not None:
            return engine.to_python(parts, converter.type, python_type, context)
    return engine.to_python(json_of(literal, declared, context), declared, python_type, context)


def streamed(literal: LiteralValue, declared: LiteralType, context: ValueContext) -> Iterator[Any] | None:
    """Return the elements of a list as JSON of the declared list's elements, each read when it is asked for.

    None if the value was not written as a list, so that it has to be converted as a whole.

    Raises:
        CorruptBlob: If stored bytes do not have the digest in the literal; for a list of parts, when the part is read.
        StorageError: If they are not there, in the same way.
    """
    if isinstance(literal, Offloaded) and not literal.path:
        return elements.fetched_parts(literal, declared, context)
    if isinstance(literal, Joined) and isinstance(literal.type or declared, ListType):
        return _elements_of_parts(literal, declared, context)
    return None


def _elements_of_parts(literal: Joined, declared: LiteralType, context: ValueContext) -> Iterator[Any]:
    for part in _parts(literal, declared):
        found = streamed(part, declared, context)
        yield from json_of(part, declared, context) if found is None else found


def _parts(literal: Joined, declared: LiteralType) -> Iterator[LiteralValue]:
    """Return the parts of a list, each with the type by which it was written."""
    written = literal.type or declared
    for part in literal.parts:
        yield part if part.type is not None else part.model_copy(update={"type": written})


def json_of(literal: LiteralValue, declared: LiteralType, context: ValueContext) -> Any:
    """Return a literal as JSON of the declared type, fetched if it is off-loaded, put together if it is composite.

    Raises:
        InvalidInputs: If the literal does not fit the declared type.
        CorruptBlob: If stored bytes do not have the digest in the literal.
        StorageError: If they are not there, or there is no store to ask.
        MissingAttribute: If the stored value has nothing at the literal's path.
    """
    try:
        match literal:
            case Inline():
                return adapt(literal.value, literal.type or declared, declared)
            case Offloaded():
                return adapt(_fetched(literal, context), literal.type or declared, declared)
            case Composite():
                return _composed(literal, declared, context)
            case Joined():
                shape = _container(declared, is_map=False)
                whole = [item for part in _parts(literal, shape) for item in json_of(part, shape, context)]
                return adapt(whole, shape, declared)
    except Misfit as error:
        raise InvalidInputs(error.message) from error


def _fetched(literal: Offloaded, context: ValueContext) -> Any:
    if context.blobs is None:
        raise StorageError(f"The value {literal.key} stands in a blob store, and this process has none.")
    data = context.blobs.get(literal.key, literal.sha256)
    if data is None:
        raise StorageError(f"The blob store has no {literal.key}; the value cannot be read.")
    value = json.loads(data)
    if not literal.path:
        return value
    if literal.whole is None:
        raise StorageError(
            f"The reference to {literal.key} has a path but not the type of what it points into."
        )
    return value_at(value, literal.whole, literal.path)


def _composed(literal: Composite, declared: LiteralType, context: ValueContext) -> Any:
    written = literal.type or declared
    shape = _container(written, is_map=literal.keys is not None)
    if literal.keys is not None:
        value = _composed_map(literal, literal.keys, shape, context)
    elif isinstance(shape, TupleType) and len(shape.elements) == len(literal.items):
        pairs = zip(literal.items, shape.elements, strict=True)
        value = [json_of(item, type_, context) for item, type_ in pairs]
    elif isinstance(shape, ListType) or shape == ANY:
        element = shape.element if isinstance(shape, ListType) else ANY
        value = [json_of(item, element, context) for item in literal.items]
    else:
        raise Misfit(
            f"expected {describe(declared)}, got a list of {len(literal.items)} put together from several nodes"
        )
    return adapt(value, shape, declared)


def _composed_map(
    literal: Composite, names: tuple[Any, ...], shape: LiteralType, context: ValueContext
) -> Any:
    entries = list(zip(names, literal.items, strict=True))
    match shape:
        case MapType():
            pairs = [[name, json_of(item, shape.value, context)] for name, item in entries]
            return dict(pairs) if shape.key == STRING else pairs
        case SimpleType() if shape == ANY:
            return mark_map([[name, json_of(item, ANY, context)] for name, item in entries])
        case StructType():
            types = {field.name: field.type for field in shape.fields}
            unknown = [name for name in names if name not in types]
            if unknown:
                raise Misfit(f"{describe(shape)} has no field {unknown[0]!r}")
            return {name: json_of(item, types[name], context) for name, item in entries}
        case _:
            raise Misfit(f"expected {describe(shape)}, got a dict put together from several nodes")


def _container(type_: LiteralType, *, is_map: bool) -> LiteralType:
    """Return the member of an optional or a union that a composed value belongs to."""
    if not isinstance(type_, UnionType):
        return type_
    inner = plain_optional(type_)
    if inner is not None:
        return _container(inner, is_map=is_map)
    wanted = (MapType, StructType) if is_map else (ListType, TupleType)
    return next((v for v in type_.variants if isinstance(v, wanted)), type_)
