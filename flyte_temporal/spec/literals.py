"""Values between nodes, and how each is written as JSON.

A literal is a JSON value whose meaning its declared type gives (types travel once, in the interface, not with every
value: docs/decisions/0004). Small values travel inline, big ones by reference to the blob store.

| type      | JSON |
|-----------|------|
| none      | `null` |
| integer   | number; beyond ±(2^53 - 1) a string `"0x…"`, `"-0x…"`, which no JSON reader rounds |
| float     | number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
| boolean, string, path, uuid, decimal | `true`/`false`; the others a string |
| bytes     | base64, padded |
| datetime  | RFC 9557: `2026-01-31T12:00:00.000001+01:00`, with `[Europe/Berlin]` behind it where a zone is known |
| date, time | ISO 8601 |
| duration  | ISO 8601 in seconds, `PT90S`, `-PT0.000001S`: exact to the microsecond |
| enum      | the member's value |
| list, tuple | array |
| map       | object if keys are strings, else an array of `[key, value]` |
| union     | `Optional[T]`: null or the JSON of `T`; any other: `{"variant": index, "value": …}` |
| struct    | object |
| blob, dataset, opaque | a `FileValue`, `DirectoryValue`, `DatasetValue`, `OpaqueValue` object |
| error     | an `ErrorValue` object |
| any       | any JSON |
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.types import LiteralType

MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""


class Inline(Document):
    """A value that travels with the message.

    Args:
        value: JSON by the table above.
        type: The type by which it was written, when that is not the declared one (an int given to a float, a `T`
            given to an `Optional[T]`). The reader converts.
        hash: What stands for the value in cache keys, if the user gave one.
    """

    kind: Literal["inline"] = "inline"
    value: JsonValue
    type: LiteralType | None = None
    hash: str | None = None


class Offloaded(Document):
    """A value whose JSON stands in the blob store, because it is larger than the inline limit.

    Args:
        key: Key in the blob store.
        sha256: Digest of the stored bytes, checked by every reader.
        size: Their number.
        type: As for `Inline`.
        hash: As for `Inline`.
        path: Where in the stored value this literal is (attribute access on a value that travels by reference).
        whole: Type by which the stored value was written; set with `path`, which is walked by it.
        count: Number of elements if the stored JSON is an array, so that a list can be mapped over without being read.
            It says nothing of what a `path` leads to.
    """

    kind: Literal["offloaded"] = "offloaded"
    key: str
    sha256: str
    size: int
    type: LiteralType | None = None
    hash: str | None = None
    path: tuple[str | int, ...] = ()
    whole: LiteralType | None = None
    count: int | None = None


class Composite(Document):
    """A list, tuple or map put together from literals of several nodes, which the engine does not read.

    Args:
        items: The elements or values.
        keys: Keys of a map, as JSON of the key type, in the same order; None for a list or tuple.
        type: As for `Inline`. The type of an element is the declared element's unless its own `type` is set.
        hash: As for `Inline`.
    """

    kind: Literal["composite"] = "composite"
    items: tuple[LiteralValue, ...]
    keys: tuple[JsonValue, ...] | None = None
    type: LiteralType | None = None
    hash: str | None = None


class Joined(Document):
    """A list made of several lists, laid end to end: what a map in shards gives, a part for each shard.

    Args:
        parts: The lists. None of them is a tuple or a map.
        counts: The number of elements of each.
        type: As for `Inline`. The type of a part is that of the whole unless its own `type` is set.
        hash: As for `Inline`.
    """

    kind: Literal["joined"] = "joined"
    parts: tuple[LiteralValue, ...]
    counts: tuple[int, ...]
    type: LiteralType | None = None
    hash: str | None = None


LiteralValue = Annotated[Inline | Offloaded | Composite | Joined, Field(discriminator="kind")]

Composite.model_rebuild()
Joined.model_rebuild()


class FileValue(Document):
    """A file: where it is, and, when it was written by us, what it must be.

    Args:
        uri: Full address. A file of the user's own (`s3://…`, `https://…`) is passed by reference.
        name: File name to give to a downloaded copy; may be empty.
        format: Declared format, such as `csv`; may be empty.
        sha256: Digest of the bytes if known, checked after download.
        size: Number of bytes if known.
    """

    uri: str
    name: str = ""
    format: str = ""
    sha256: str | None = None
    size: int | None = None


class DirectoryValue(Document):
    """A directory: `uri` is a folder of the user's own, or the manifest of a tree that we stored."""

    uri: str
    name: str = ""
    format: str = ""
    sha256: str | None = None
    size: int | None = None
    files: int | None = None


class DatasetValue(Document):
    """A dataframe in storage."""

    uri: str
    format: str
    columns: tuple[str, ...] = ()
    rows: int | None = None
    sha256: str | None = None
    size: int | None = None


class OpaqueValue(Document):
    """Bytes that only the task process may interpret.

    Args:
        uri: Address in the blob store.
        codec: How they were written, such as `pickle`.
        sha256: Their digest, checked before they are opened.
        size: Their number.
        python: Dotted name of the value's class, for people.
        python_version: Version of Python that wrote them, such as `3.12`, where that matters for reading.
    """

    uri: str
    codec: str
    sha256: str
    size: int
    python: str = ""
    python_version: str = ""


class ErrorValue(Document):
    """What a failure handler gets to know."""

    message: str
    failed_node_id: str = ""


def encode_integer(value: int) -> JsonValue:
    """Return an int as JSON that no reader rounds."""
    return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else hex(value)


def decode_integer(value: Any) -> int:
    """Return the int that `encode_integer` wrote.

    Raises:
        ValueError: If it is no such value.
    """
    if isinstance(value, str) and value.removeprefix("-").startswith("0x"):
        return int(value, 16)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode_float(value: float) -> JsonValue:
    """Return a float as JSON; NaN and the infinities as strings."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def decode_float(value: Any) -> float:
    """Return the float that `encode_float` wrote; an integer is accepted, since an int may go where a float is.

    Raises:
        ValueError: If it is no such value.
    """
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, str) and value.lstrip("-").startswith("0x"):
        return float(int(value, 16))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a float")
    return float(value)
