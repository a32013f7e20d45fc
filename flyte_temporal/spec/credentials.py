"""Credentials in what is to be stored: found by the form of addresses and by names, so that they can be refused. Pure.

Stored documents are kept for years and read by many; who refuses says where credentials belong. What is found is told by
its place, never by its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_USER = re.compile(r"[A-Za-z][\w+.-]*://([^\s/?#\"'\\]*)@")
_HARMLESS_USER = re.compile(r"git|(?:[\w.-]+:)?\$(?:\w+|\{\w+\})(?::(?:\$(?:\w+|\{\w+\}))?)?")
"""The user of every `ssh://git@host`, and variables of a shell, whose values are not written down."""
_PROXY = re.compile(r"[^\s/:@]+:[^\s/@]+@[\w.-]+(?::[0-9]+)?/?")
_SAYING = re.compile(
    r"key|secret|token|passw|passphrase|credential|authorization|cookie|username|connection_?string"
)
_HARMLESS = frozenset({
    "bucketkeyenabled", "fixed_key_metadata", "kms_key_name", "default_kms_key_name", "ssekmskeyid", "sse_kms_key_id",
})  # fmt: skip
"""Names, in lower case, that sound like those of credentials and are none."""


def in_text(text: str) -> bool:
    """Return whether an address in some text has a user or password."""
    return any(not _HARMLESS_USER.fullmatch(user) for user in _USER.findall(text))


def in_option(text: str) -> bool:
    """Return whether an option's value does: an address, or `user:password@host:port`, as proxies are written too."""
    return in_text(text) or bool(_PROXY.fullmatch(text.strip()))


def is_name(name: str) -> bool:
    """Return whether an option of this name holds a credential."""
    plain = name.lower().replace("-", "_")
    return plain not in _HARMLESS and bool(_SAYING.search(plain))


def place_in(value: Any, above: str = "") -> str:
    """Return where in JSON data an address has a user or password, such as `pip_index`; empty if none has."""
    if isinstance(value, str):
        return above if in_text(value) else ""
    if isinstance(value, Mapping):
        parts = [(f"{above}.{name}" if above else str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(above, item) for item in value]
    else:
        return ""
    return next((found for where, item in parts if (found := place_in(item, where))), "")
