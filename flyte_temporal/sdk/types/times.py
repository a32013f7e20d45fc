"""datetime, date, time, timedelta and their text forms.

A datetime keeps its offset and, behind it in brackets (RFC 9557), the key of its zone; a naive one is taken as UTC, as
flytekit does. `fold` follows from the offset where that decides it; where not, an experimental tag `[_fold=1]` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.spec.types import LiteralType, Simple, SimpleType

DATETIME = SimpleType(simple=Simple.DATETIME)
DATE = SimpleType(simple=Simple.DATE)
TIME = SimpleType(simple=Simple.TIME)
DURATION = SimpleType(simple=Simple.DURATION)

_TAGGED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\])*)")
_DURATION = re.compile(
    r"([+-])?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d{1,6}))?S)?)?",
    re.IGNORECASE | re.ASCII,
)


def format_datetime(value: datetime) -> str:
    """Return the text of a datetime; a naive one is taken as UTC."""
    if value.utcoffset() is None:
        value = value.replace(tzinfo=UTC, fold=0)
    zone = _zone_key(value.tzinfo)
    text = value.isoformat()
    tags = f"[{zone}]" if zone else ""
    if parse_datetime(text + tags).fold != value.fold:
        tags += f"[_fold={value.fold}]"
    return text + tags


def parse_datetime(text: str) -> datetime:
    """Return the datetime of a text: ISO 8601, then perhaps a zone in brackets; without an offset it is UTC.

    Raises:
        ValueError: If it is no such text, or the zone is not known on this machine.
    """
    plain, zone, fold = _tags(text)
    value = datetime.fromisoformat(plain)
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone or UTC)
    elif zone is not None:
        value = _in_zone(value, zone)
    return value if fold is None else value.replace(fold=fold)


def _in_zone(value: datetime, zone: ZoneInfo) -> datetime:
    offset = value.utcoffset()
    for fold in (0, 1):
        candidate = value.replace(tzinfo=zone, fold=fold)
        if candidate.utcoffset() == offset:
            return candidate
    # This machine's zone rules differ from the writer's: the instant is kept, the wall clock moves.
    return value.astimezone(zone)


def _tags(text: str) -> tuple[str, ZoneInfo | None, int | None]:
    match = _TAGGED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not ISO 8601")
    zone: ZoneInfo | None = None
    fold: int | None = None
    for tag in re.findall(r"\[!?([^\[\]]+)\]", match[2]):
        if tag.startswith("_fold="):
            fold = int(tag == "_fold=1")
        elif "=" not in tag:
            zone = _zone(tag)
    return match[1], zone, fold


def _zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"the time zone {key!r} is not known on this machine; install the package 'tzdata' or correct the name"
        ) from error


def _zone_key(zone: tzinfo | None) -> str | None:
    # ZoneInfo has `key`, pytz `zone`; other kinds keep their offset only
    key = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return key if isinstance(key, str) else None


def format_time(value: time) -> str:
    """Return the text of a time of day, with its zone if it has one."""
    zone = _zone_key(value.tzinfo)
    tags = (f"[{zone}]" if zone else "") + ("[_fold=1]" if value.fold else "")
    return value.isoformat() + tags


def parse_time(text: str) -> time:
    """Return the time of day of a text.

    Raises:
        ValueError: If it is not ISO 8601.
    """
    plain, zone, fold = _tags(text)
    value = time.fromisoformat(plain)
    if zone is not None:
        value = value.replace(tzinfo=zone)
    return value if fold is None else value.replace(fold=fold)


def format_duration(value: timedelta) -> str:
    """Return the text of a duration, in seconds and exact to the microsecond."""
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if microseconds < 0 else ''}PT{seconds}{fraction}S"


def parse_duration(text: str) -> timedelta:
    """Return the duration of an ISO 8601 text in weeks, days, hours, minutes and seconds.

    Raises:
        ValueError: If it is not one, or has years or months, whose length varies.
        OverflowError: If it is longer than a timedelta can be.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()[1:]):
        raise ValueError(f"{text!r} is not an ISO 8601 duration in weeks, days, hours, minutes, seconds")
    sign, weeks, days, hours, minutes, seconds, fraction = match.groups()
    whole = int(weeks or 0) * 7 + int(days or 0)
    total = ((whole * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    microseconds = total * 1_000_000 + int((fraction or "").ljust(6, "0"))
    return timedelta(microseconds=-microseconds if sign == "-" else microseconds)


def _plain_datetime(value: datetime) -> datetime:
    if type(value) is datetime:
        return value
    if getattr(value, "nanosecond", 0):
        raise Misfit(f"expected datetime, got {value!r}, whose nanoseconds would be lost; use .floor('us')")
    if value != value:  # noqa: PLR0124 - pandas.NaT is a datetime and unequal to itself
        raise Misfit("expected datetime, got NaT; declare Optional[datetime] and give None")
    return datetime.combine(value.date(), value.timetz())


def _plain_duration(value: timedelta) -> timedelta:
    if type(value) is timedelta:
        return value
    if getattr(value, "nanoseconds", 0):
        raise Misfit(f"expected timedelta, got {value!r}, whose nanoseconds would be lost; use .floor('us')")
    return timedelta(value.days, value.seconds, value.microseconds)


class Times(TypeFamily):
    """The four types of `datetime`."""

    def __init__(self) -> None:
        self._table: dict[Any, Converter] = {
            datetime: _timed(
                DATETIME, datetime, lambda v: format_datetime(_plain_datetime(v)), parse_datetime
            ),
            date: _timed(DATE, date, date.isoformat, date.fromisoformat),
            time: _timed(TIME, time, format_time, parse_time),
            timedelta: _timed(
                DURATION, timedelta, lambda v: format_duration(_plain_duration(v)), parse_duration
            ),
        }

    def matches(self, python_type: Any) -> bool:
        """Return whether it is one of the four."""
        return isinstance(python_type, type) and python_type in self._table

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Return the row of the table."""
        return self._table[python_type]


def _timed(
    type_: LiteralType, kind: type, format_: Callable[[Any], str], parse: Callable[[str], Any]
) -> Converter:
    def write(value: Any, _context: ValueContext) -> str:
        # a datetime is a date for isinstance, but its time of day would be lost
        if not isinstance(value, kind) or (kind is date and isinstance(value, datetime)):
            raise misfit(kind.__name__, value)
        return format_(value)

    def read(value: Any, _context: ValueContext) -> Any:
        if not isinstance(value, str):
            raise misfit(kind.__name__, value)
        try:
            return parse(value)
        except (ValueError, OverflowError) as error:
            raise Misfit(f"expected {kind.__name__}, got {value!r}: {error}") from None

    return Converter(type_, write, read, lambda value: type(value) is kind)
