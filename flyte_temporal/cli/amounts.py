"""Lengths of time and sizes, as people type them: `30d`, `10GiB`."""

from __future__ import annotations

import re

from flyte_temporal.errors import BadRequest

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_BYTES = {"": 1, "b": 1} | {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("kmgt", 1)
    for unit, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}


def seconds(text: str, option: str) -> float:
    """Return a length of time in seconds.

    Raises:
        BadRequest: If it is none.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _SECONDS:
        raise BadRequest(f"{option} takes a length of time such as 30d, 12h, 90m or 45s, not {text!r}.")
    return float(match[1]) * _SECONDS[match[2].lower()]


def size(text: str, option: str) -> int:
    """Return a size in bytes.

    Raises:
        BadRequest: If it is none.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise BadRequest(f"{option} takes a size such as 10GiB, 500MB or 0, not {text!r}.")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def shown_size(count: int) -> str:
    """Return a number of bytes for a person."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
