"""`Document`, the base of all frozen models, and the canonical bytes by which they are addressed.

Apart from the models because the canonical form is a promise of its own: the same entity gives the same bytes, and
so the same SHA-256 digest, on any machine, in any process, in any later release that only adds fields with defaults.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from operator import eq
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticUndefined

from flyte_temporal.errors import UnsupportedSpec

SCHEMA_VERSION = 1
"""Version of the shape of stored documents. Raised only when an old document would be read wrongly."""


class Document(BaseModel):
    """A frozen model that leaves out fields which hold their default.

    Leaving them out keeps histories readable and keeps digests when a later release adds a field. The discriminator
    `kind` always stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    _always_written: ClassVar[frozenset[str]] = frozenset({"kind"})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Have pydantic itself leave out the defaults: a serializer in Python takes six times as long.

        And spare it the deep copies of defaults that it makes for every document: frozen ones can be shared, and an empty
        dictionary is cheaper made than copied.
        """
        for name, field in cls.__pydantic_fields__.items():
            if field.is_required():
                continue
            default = field.default
            if isinstance(default, Document):
                field.default, field.default_factory = PydanticUndefined, partial(_same, default)
            elif default == {}:
                field.default, field.default_factory = PydanticUndefined, dict
            if name not in cls._always_written:
                default = field.get_default(call_default_factory=True)
                field.exclude_if = partial(_is if isinstance(default, Document) else eq, default)
        return handler(source)


def _same(default: Document) -> Document:
    return default


def _is(default: Document, value: Any) -> bool:
    # Pydantic's comparison is Python, and does not look for this first.
    return value is default or bool(value == default)


def canonical_bytes(document: Document) -> bytes:
    """Return the one JSON form of a document: sorted keys, no spaces, UTF-8, shortest round-trip floats.

    Args:
        document: Any document.

    Raises:
        ValueError: If it holds a float that JSON cannot (literals encode these as strings before they come here).
    """
    return canonical_json(document.model_dump(mode="json"))


def canonical_json(value: Any) -> bytes:
    """Return plain JSON data in canonical form; see `canonical_bytes`."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_hex(data: bytes) -> str:
    """Return the lower-case hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def digest(document: Document) -> str:
    """Return the SHA-256 of a document's canonical bytes, by which it is stored and compared."""
    return sha256_hex(canonical_bytes(document))


class Stored(Document):
    """A document that outlives a process: it carries the version of its shape."""

    schema_version: int = SCHEMA_VERSION

    _always_written: ClassVar[frozenset[str]] = frozenset({"kind", "schema_version"})

    @classmethod
    def read(cls, data: bytes | str) -> Self:
        """Load a stored document.

        Args:
            data: JSON as written by `canonical_bytes`.

        Raises:
            UnsupportedSpec: If it was written by a newer release, or is not such a document at all.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            version = _version_of(data)
            if version is not None and version > SCHEMA_VERSION:
                raise UnsupportedSpec(
                    f"This {cls.__name__} document has schema version {version}; this build reads up to "
                    f"{SCHEMA_VERSION}. Upgrade flyte-temporal."
                ) from error
            raise UnsupportedSpec(f"Not a valid {cls.__name__} document: {error}") from error


def _version_of(data: bytes | str) -> int | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    version = found.get("schema_version") if isinstance(found, dict) else None
    return version if isinstance(version, int) else None
