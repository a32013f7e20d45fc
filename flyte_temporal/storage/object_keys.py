"""The check that every key passes before it touches a disk or a bucket.

Apart from the stores so that all of them, and the shipped fake, refuse exactly the same keys.
"""

from __future__ import annotations

import re

from flyte_temporal.errors import InvalidIdentifier

TEMPORARY = ".tmp-"
"""Names that begin so are unfinished local files, never objects."""

STAMP = ".seen-"
"""Names that begin so are what the local store remembers of an object (`stamps`)."""

FLAT = "at#"
"""Names that begin so are reserved for the local store's own layout (`layout`)."""

MAX_KEY_BYTES = 1024
"""S3's limit."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_ORDINARY = re.compile(r"(?:[A-Za-z0-9_@=+-][A-Za-z0-9_@=+.\[\]-]*/)*[A-Za-z0-9_@=+-][A-Za-z0-9_@=+.\[\]-]*")


def checked_key(key: str) -> str:
    """Return the key, if it is one that every store can keep.

    Raises:
        InvalidIdentifier: If it is empty, absolute, too long, or has `..`, empty parts, backslashes or control
            characters.
    """
    if len(key) <= 255 and _ORDINARY.fullmatch(key):
        return key
    problem = _problem(key)
    if problem:
        raise InvalidIdentifier(f"{key[:80]!r} is not a valid key of the blob store: {problem}.")
    return key


def _problem(key: str) -> str:
    if not key:
        return "it is empty"
    if _FORBIDDEN.search(key):
        return "it has a backslash, a control character or half a surrogate pair"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"it is longer than {MAX_KEY_BYTES} bytes"
    for part in key.split("/"):
        if part in {"", ".", ".."}:
            return "it is absolute, or has an empty part, '.' or '..'"
        if part.startswith((TEMPORARY, STAMP, FLAT)):
            return f"a part begins with {TEMPORARY!r}, {STAMP!r} or {FLAT!r}"
        if len(part.encode()) > 255:
            return "a part is longer than 255 bytes"
    return ""
