"""Python values ↔ literals: inline JSON, or a reference to the blob store when the JSON is large.

Called by the runtime (inputs and outputs of an attempt), the client (inputs) and the compiler (constants).
"""

from __future__ import annotations

import json
from typing import Any

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.literals import Inline, LiteralValue, Offloaded
from flyte_temporal.spec.paths import value_at
from flyte_temporal.spec.types import LiteralType


def encode(value: Any, python_type: Any, context: ValueContext) -> LiteralValue:
    """Return a Python value as a literal; its files are uploaded, and so is its JSON if it is large.

    Raises:
        TypeMismatch: If the value does not fit the annotation.
        UnsupportedType: If the annotation has no transformer.
        StorageError: If something could not be stored.
    """
    return literal(default_engine().to_json(value, python_type, context), context)


def literal(value: Any, context: ValueContext) -> LiteralValue:
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
    return Offloaded(key=key, sha256=sha256, size=len(data))


def decode(literal: LiteralValue, declared: LiteralType, python_type: Any, context: ValueContext) -> Any:
    """Return the Python value of a literal.

    Args:
        literal: The literal.
        declared: The declared type in the spec; the literal's own `type` overrides it.
        python_type: The annotation that the value is read by.
        context: Where files and off-loaded JSON come from.

    Raises:
        InvalidInputs: If the literal does not fit the annotation.
        CorruptBlob: If stored bytes do not have the digest in the literal.
        StorageError: If they are not there.
    """
    written = literal.type or declared
    value = json_of(literal, context, declared)
    return default_engine().to_python(value, written, python_type, context)


def json_of(literal: LiteralValue, context: ValueContext, declared: LiteralType) -> Any:
    """Return the JSON of a literal, fetched if it is off-loaded.

    Raises:
        CorruptBlob: If stored bytes do not have the digest in the literal.
        StorageError: If they are not there, or there is no store to ask.
        MissingAttribute: If the stored value has nothing at the literal's path.
    """
    if isinstance(literal, Inline):
        return literal.value
    if context.blobs is None:
        raise StorageError(f"The value {literal.key} stands in a blob store, and this process has none.")
    data = context.blobs.get(literal.key, literal.sha256)
    if data is None:
        raise StorageError(f"The blob store has no {literal.key}; the value cannot be read.")
    return value_at(json.loads(data), literal.type or declared, literal.path)
