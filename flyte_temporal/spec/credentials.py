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

_USER_INFO = r"[A-Za-z][\w+.-]*://[^\s/?#\"'\\:@]*:([^\s/?#\"'\\]+)@"
_FILLED_IN = r"\$\w+|\$\{[^}]*\}|\{\{.*\}\}|\{\w*\}|%\(\w+\)s|<[^>]*>|[*xX.]+"
"""What stands where a password is filled in later, or was taken out."""
_SHAPES = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an Azure key": r"\b(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{40,}={0,2}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}\b",
    "an API key": r"\bsk-(?:[A-Za-z0-9]{48}\b|(?:ant|or|proj|svcacct)-[A-Za-z0-9_-]{20,})",
    "a Databricks token": r"\bdapi[0-9a-f]{32}\b",
    "a token of a package index": r"\b(?:npm_[A-Za-z0-9]{36}\b|pypi-[A-Za-z0-9_-]{50,})",
    "a signed token (JWT)": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
"""Forms that nothing but credentials has. Texts, as what follows: compiled on use, because every attempt imports this."""
_SAYING_VARIABLE = (
    r"(?:PASSWORD|PASSWD|PASSPHRASE|(?:^|_)(?:PWD|PW|SECRET|TOKEN|CREDENTIALS?|APIKEY|"
    r"(?:API|ACCESS|PRIVATE|SECRET|AUTH|ENCRYPTION|SIGNING|ACCOUNT)_?KEY))(?:_(?:VALUE|[0-9]+))?$"
)
"""How the names of variables end that hold a secret: `DB_PASSWORD`, and not `TOKENIZERS_PARALLELISM` or `SECRET_NAME`."""
_HARMLESS_VALUE = r"(?is)|[0-9.]+|true|false|yes|no|on|off|none|null|(?:file://|/|\./|~/).*"
"""Values that are none: nothing, numbers, switches, paths."""


def in_text(text: str) -> bool:
    """Return whether an address in some text has a user or password."""
    return any(not _HARMLESS_USER.fullmatch(user) for user in _USER.findall(text))


def form_of(text: str) -> str:
    """Return what a text certainly is or has in it, in words, such as `a GitHub token`; empty if it is no credential."""
    if any(not re.fullmatch(_FILLED_IN, password) for password in re.findall(_USER_INFO, text)):
        return "an address with a password"
    return next((what for what, form in _SHAPES.items() if re.search(form, text)), "")


def may_be_secret(variable: str, text: str) -> bool:
    """Return whether an environment variable sounds as if it held a secret, and its value may be one."""
    return bool(
        re.search(_SAYING_VARIABLE, variable.upper().replace("-", "_"))
        and not re.fullmatch(_HARMLESS_VALUE, text.strip())
        and not re.fullmatch(_FILLED_IN, text.strip())
    )


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
