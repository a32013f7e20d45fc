"""Values without parameters as people type them: `true`, `0x1f`, `now-1d`, `1h30m` → JSON of the simple type.

Used for flags (`text`) and for strings inside JSON data (`plain_json`).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from flyte_temporal.sdk.types.converter import Misfit
from flyte_temporal.sdk.types.scalars import checked_text
from flyte_temporal.sdk.types.times import (
    format_datetime,
    format_duration,
    format_time,
    parse_datetime,
    parse_duration,
    parse_time,
)
from flyte_temporal.spec.literals import encode_float, encode_integer
from flyte_temporal.spec.types import Simple

_TRUE = {"true", "yes", "1"}
_FALSE = {"false", "no", "0"}
_DIGITS = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*", re.ASCII)
_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F]+", re.ASCII)
_NOW = re.compile(r"now(?:([+-])(.+))?", re.IGNORECASE)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)", re.ASCII)
_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}


def read_phrase(text: str, simple: Simple) -> Any:
    """Return the JSON of a simple type for what a person typed.

    Raises:
        Misfit: If the text is no such value; the message gives an example where the form is not obvious.
    """
    expected, read = _READERS[simple]
    try:
        return read(text)
    except (ValueError, OverflowError, InvalidOperation) as error:
        detail = f" ({error})" if isinstance(error, _Explained) else ""
        raise Misfit(f"expected {expected}, got {_short(text)}{detail}") from None


def duration_of_seconds(seconds: float) -> str:
    """Return the JSON of a duration for a number of seconds.

    Raises:
        Misfit: If it is not finite, longer than a timedelta can be, or finer than a microsecond.
    """
    try:
        return format_duration(_microseconds(Decimal(str(seconds)) * 1_000_000))
    except (ValueError, OverflowError, InvalidOperation):
        raise Misfit(f"expected duration, got {seconds!r} seconds") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


class _Explained(ValueError):
    """Says what to do in addition to what was expected."""


def _bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _int(text: str) -> Any:
    word = text.strip()
    if _HEX.fullmatch(word):
        return encode_integer(int(word, 16))
    if not _DIGITS.fullmatch(word):
        raise ValueError
    try:
        return encode_integer(int(word))
    except ValueError:  # the interpreter's limit against slow conversions, 4300 digits
        raise _Explained("too many digits; write it in hexadecimal, 0x…") from None


def _float(text: str) -> Any:
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise _Explained("too large for a float; write inf if infinity is meant")
    return encode_float(value)


def _bytes(text: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(text.strip(), validate=True)).decode()
    except binascii.Error as error:
        raise ValueError from error


def _datetime(text: str) -> str:
    now = _NOW.fullmatch(text.strip())
    if now is None:
        try:
            return format_datetime(parse_datetime(text.strip()))
        except ValueError as error:
            # zones are worth a word of their own; what fromisoformat says is not
            raise (_Explained(str(error)) if "time zone" in str(error) else ValueError()) from None
    moment = datetime.now(UTC)
    if now[1] is not None:
        distance = _timedelta(now[2])
        moment = moment + distance if now[1] == "+" else moment - distance
    return format_datetime(moment)


def _duration(text: str) -> str:
    return format_duration(_timedelta(text.strip()))


def _timedelta(text: str) -> timedelta:
    if "p" in text.lower():
        return parse_duration(text)
    negative, word = text.startswith("-"), text.lstrip("+-")
    if _PARTS.sub("", word) == "" and word:
        total = sum(Decimal(number) * _UNITS_US[unit] for number, unit in _PARTS.findall(word))
    else:
        total = Decimal(word) * 1_000_000
    return _microseconds(-Decimal(total) if negative else Decimal(total))


def _microseconds(total: Decimal) -> timedelta:
    if total != total.to_integral_value():
        raise _Explained("finer than a microsecond")
    return timedelta(microseconds=int(total))


def _none(text: str) -> None:
    if text.strip().lower() not in {"null", "none", ""}:
        raise ValueError


_READERS: dict[Simple, tuple[str, Callable[[str], Any]]] = {
    Simple.NONE: ("null", _none),
    Simple.INTEGER: ("int", _int),
    Simple.FLOAT: ("float", _float),
    Simple.BOOLEAN: ("bool (true, false, yes, no, 1 or 0)", _bool),
    Simple.STRING: ("str", checked_text),
    Simple.BYTES: ("bytes as base64", _bytes),
    Simple.DATETIME: ("datetime (such as 2026-01-31T12:00:00+01:00, or now)", _datetime),
    Simple.DATE: ("date (such as 2026-01-31)", lambda text: date.fromisoformat(text.strip()).isoformat()),
    Simple.TIME: ("time (such as 12:30:00)", lambda text: format_time(parse_time(text.strip()))),
    Simple.DURATION: ("duration (such as 90s, 1h30m or PT90S)", _duration),
    Simple.DECIMAL: ("decimal", lambda text: str(Decimal(text.strip()))),
    Simple.UUID: ("uuid", lambda text: str(uuid.UUID(text.strip()))),
    Simple.PATH: ("path", checked_text),
}
