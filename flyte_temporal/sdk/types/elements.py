"""Lists that go to the blob store and come back element by element, so that they are never whole in memory.

Called by `values` for `Iterator[T]`; the stored bytes are those that the same list would have as a whole.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_json
from flyte_temporal.spec.literals import Inline, LiteralValue, Offloaded
from flyte_temporal.spec.types import ListType, LiteralType

_CHUNK = 64 * 1024


def store_parts(parts: Iterator[Any], context: ValueContext) -> LiteralValue:
    """Return a list as a literal, off-loaded if it is larger than `context.inline_bytes`.

    Args:
        parts: The JSON of its elements.
        context: Has a blob store.

    Raises:
        Misfit: What the iterator raises for an element.
        StorageError: If it could not be stored.
    """
    path = _part_file(context)
    hashed, size, count = hashlib.sha256(), 0, 0
    try:
        with path.open("wb") as file:
            for data in _array(parts):
                hashed.update(data)
                file.write(data)
                size, count = size + len(data), count + 1
        if size <= context.inline_bytes or context.blobs is None:
            return Inline(value=json.loads(path.read_bytes()))
        sha256 = hashed.hexdigest()
        key = keys.blob(sha256)
        context.blobs.put_new(key, path, sha256)
        return Offloaded(key=key, sha256=sha256, size=size, count=count - 1)
    finally:
        path.unlink(missing_ok=True)


def _array(parts: Iterator[Any]) -> Iterator[bytes]:
    """Yield the text of an array in pieces: one for each element, and one for the end."""
    before = b"["
    for part in parts:
        yield before + canonical_json(part)
        before = b","
    yield b"[]" if before == b"[" else b"]"


def fetched_parts(literal: Offloaded, declared: LiteralType, context: ValueContext) -> Iterator[Any] | None:
    """Return the elements of an off-loaded list as JSON of the declared list's elements, read when they are asked for.

    None if the value was not written as a list, so that it has to be converted as a whole.

    Raises:
        CorruptBlob: If the stored bytes do not have the digest in the literal.
        StorageError: If they are not there.
    """
    written = literal.type or declared
    if not isinstance(written, ListType) or not isinstance(declared, ListType) or context.blobs is None:
        return None
    path = _part_file(context)
    if not context.blobs.fetch(literal.key, path, literal.sha256):
        raise StorageError(f"The blob store has no {literal.key}; the value cannot be read.")
    source, target = written.element, declared.element
    return (adapt(item, source, target) for item in array_elements(path))


def _part_file(context: ValueContext) -> Path:
    folder = context.scratch / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{uuid.uuid4().hex}.json"


def array_elements(path: Path) -> Iterator[Any]:
    """Return the elements of a file with one JSON array, as it is stored (no spaces), and remove the file at the end.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            yield from _elements(stream)
    finally:
        path.unlink(missing_ok=True)


def _elements(stream: IO[str]) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    buffer, at, size = stream.read(max(_CHUNK, 2)), 1, _CHUNK
    if not buffer.startswith("["):
        raise ValueError("the stored value is no JSON array")
    if buffer.startswith("]", 1):
        return
    while True:
        try:
            value, end = decoder.raw_decode(buffer, at)
            complete = buffer[end : end + 1] in {",", "]"}  # a number at the end of the buffer may go on
        except ValueError:
            complete = False
        if complete:
            yield value
            if buffer[end] == "]":
                return
            at, size = end + 1, _CHUNK
            continue
        more = stream.read(size)
        if not more:
            raise ValueError("the stored JSON array ends before its last element")
        # An element that is larger than the buffer is parsed anew each time, so each time twice as much is read.
        buffer, at, size = buffer[at:] + more, 0, size * 2
