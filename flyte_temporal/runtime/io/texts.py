"""What a command wrote, as values of the declared types: the other direction of `spec.commands.text_of`. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.literals import encode_float, encode_integer
from flyte_temporal.spec.types import EnumType, LiteralType, Simple, SimpleType, describe


class OutputInvalid(UserCodeError):
    """A file does not hold a value of the declared type."""

    code = "OutputInvalid"
    retryable = False


def _integer(text: str) -> Any:
    return encode_integer(int(text, 0) if text.lower().lstrip("+-").startswith("0x") else int(text))


def _float(text: str) -> Any:
    return encode_float(float(text))


def _boolean(text: str) -> Any:
    found = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())
    if found is None:
        raise ValueError(text)
    return found


def _datetime(text: str) -> Any:
    stamp, bracket, zone = text.partition("[")
    found = datetime.fromisoformat(stamp)
    # As Flyte does: a time without a zone is one of UTC.
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return found.isoformat() + bracket + zone


def _duration(text: str) -> Any:
    if text.lstrip("+-").startswith("PT") and text.endswith("S"):
        float(text.lstrip("+-")[2:-1])
        return text
    seconds = Decimal(text.removesuffix("s"))
    sign = "-" if seconds < 0 else ""
    return f"{sign}PT{abs(seconds):f}S"


def _json(text: str) -> Any:
    return json.loads(text)


_READERS: dict[Simple, Callable[[str], Any]] = {
    Simple.INTEGER: _integer,
    Simple.FLOAT: _float,
    Simple.BOOLEAN: _boolean,
    Simple.DATETIME: _datetime,
    Simple.DATE: lambda text: date.fromisoformat(text).isoformat(),
    Simple.TIME: lambda text: time.fromisoformat(text).isoformat(),
    Simple.DURATION: _duration,
    Simple.DECIMAL: lambda text: str(Decimal(text)),
    Simple.UUID: lambda text: str(UUID(text)),
    Simple.PATH: lambda text: text,
    Simple.NONE: lambda _: None,
    Simple.ANY: _json,
}


def parsed(text: str, type_: LiteralType, place: str) -> Any:
    """Return what a text stands for, as JSON by the table of `spec.literals`. White space around it counts for texts only.

    Args:
        text: The text.
        type_: A type without parts.
        place: Where it stands, for messages.

    Raises:
        OutputInvalid: If it is none of the type.
    """
    if type_ == SimpleType(simple=Simple.STRING):
        return text
    words = text.strip()
    try:
        if isinstance(type_, EnumType):
            return _choice(words, type_)
        if isinstance(type_, SimpleType) and type_.simple in _READERS:
            return _READERS[type_.simple](words)
    except (ValueError, InvalidOperation) as error:
        raise OutputInvalid(f"{place} holds {words[:60]!r}, which is no {describe(type_)}.") from error
    raise OutputInvalid(f"{place}: values of the type {describe(type_)} cannot be read from files.")


def plain(value: Any, type_: LiteralType, place: str) -> Any:
    """Return JSON that a command wrote as JSON of a type without parts; raises as `parsed`."""
    if isinstance(type_, SimpleType):
        match type_.simple:
            case Simple.ANY:
                return value
            case Simple.INTEGER if isinstance(value, int) and not isinstance(value, bool):
                return encode_integer(value)
            case Simple.FLOAT if isinstance(value, int | float) and not isinstance(value, bool):
                return encode_float(float(value)) if math.isfinite(value) else encode_float(value)
            case Simple.BOOLEAN if isinstance(value, bool):
                return value
            case Simple.NONE if value is None:
                return None
            case Simple.DURATION if isinstance(value, int | float) and not isinstance(value, bool):
                return _duration(str(value))
            case Simple.BYTES if isinstance(value, str):
                return value
            case Simple.DECIMAL if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
    if isinstance(type_, EnumType) and value in type_.values:
        return value
    if isinstance(value, str) and not (
        isinstance(type_, SimpleType) and type_.simple in {Simple.NONE, Simple.ANY}
    ):
        return parsed(value, type_, place)
    raise OutputInvalid(f"{place} holds {json.dumps(value)[:60]}, which is no {describe(type_)}.")


def _choice(words: str, type_: EnumType) -> Any:
    for value in type_.values:
        if words == (value if isinstance(value, str) else json.dumps(value)):
            return value
    if words in type_.names:
        return type_.values[type_.names.index(words)]
    raise ValueError(words)
