"""When a launch plan starts by itself: `CronSchedule` and `FixedRate`, checked when they are written down."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.entities import Schedule

_ALIASES = {
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
    "years": "0 0 1 1 *",
    "monthly": "0 0 1 * *",
    "months": "0 0 1 * *",
    "weekly": "0 0 * * 0",
    "weeks": "0 0 * * 0",
    "daily": "0 0 * * *",
    "days": "0 0 * * *",
    "hourly": "0 * * * *",
    "hours": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, init=False)
class CronSchedule:
    """A schedule in cron's five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.

    Args:
        schedule: Minute, hour, day of month, month, day of week: `0 6 * * MON-FRI`.
        kickoff_time_input_arg: Name of a datetime input that receives the time for which the start was scheduled.
        timezone: Zone of the fields, such as `Europe/Berlin`.

    Raises:
        CompileError: If the expression can never be due or is none, or the zone is not known.
    """

    schedule: str
    kickoff_time_input_arg: str
    timezone: str

    def __init__(
        self, schedule: str, kickoff_time_input_arg: str | None = None, timezone: str = "UTC"
    ) -> None:
        where = call_site()
        object.__setattr__(self, "schedule", _expression(schedule, where))
        object.__setattr__(self, "kickoff_time_input_arg", kickoff_time_input_arg or "")
        object.__setattr__(self, "timezone", _zone(timezone, where))

    def document(self) -> Schedule:
        """Return it as the spec of a launch plan holds it."""
        return Schedule(
            cron=self.schedule, time_zone=self.timezone, kickoff_time_input=self.kickoff_time_input_arg
        )


@dataclass(frozen=True, init=False)
class FixedRate:
    """A schedule by the time between two starts.

    Args:
        duration: That time, at least a second.
        kickoff_time_input_arg: As for `CronSchedule`.

    Raises:
        CompileError: If it is no timedelta, or shorter than a second.
    """

    duration: timedelta
    kickoff_time_input_arg: str

    def __init__(self, duration: timedelta, kickoff_time_input_arg: str | None = None) -> None:
        object.__setattr__(self, "duration", _rate(duration, call_site()))
        object.__setattr__(self, "kickoff_time_input_arg", kickoff_time_input_arg or "")

    def document(self) -> Schedule:
        """Return it as the spec of a launch plan holds it."""
        return Schedule(every_s=self.duration.total_seconds(), kickoff_time_input=self.kickoff_time_input_arg)


def _rate(given: object, where: str) -> timedelta:
    if not isinstance(given, timedelta) or given < timedelta(seconds=1):
        raise CompileError(
            f"FixedRate(duration={shown(given)}) must be a timedelta of at least a second, for example "
            "timedelta(hours=1).",
            where,
        )
    return given


def _zone(name: object, where: str) -> str:
    known = zoneinfo.available_timezones()
    # A machine without a zone database cannot check; the one that compiles for production has it.
    if not isinstance(name, str) or (known and name not in known):
        raise CompileError(
            f"timezone={shown(name)} is not a known time zone. Write its IANA name, for example 'Europe/Berlin'.",
            where,
        )
    return name


def _expression(given: Any, where: str) -> str:
    """Return the five fields of a cron expression.

    Raises:
        CompileError: If it is none.
    """
    if not isinstance(given, str) or not given.strip():
        raise CompileError(f"schedule={shown(given)} must be a text such as '0 6 * * *'.", where)
    text = " ".join(given.split())
    alias = _ALIASES.get(text.removeprefix("@").lower())
    if alias is not None:
        return alias
    fields = text.split(" ")
    if len(fields) != len(_FIELDS):
        raise CompileError(
            f"The cron expression {text!r} has {len(fields)} fields, but there are five: minute, hour, day of month, "
            "month, day of week. Write for example '0 6 * * *', or '@daily'.",
            where,
        )
    try:
        due = [_values(field, *_FIELDS[i]) for i, field in enumerate(fields)]
    except ValueError as error:
        raise CompileError(f"The cron expression {text!r}: {error}.", where) from None
    weekdays_decide = fields[4] not in {"*", "?"}
    if not weekdays_decide and not any(min(due[2]) <= _LONGEST[month - 1] for month in due[3]):
        raise CompileError(
            f"The cron expression {text!r} is never due: none of its months has a day {min(due[2])}.", where
        )
    return text.replace("?", "*")


def _values(field: str, name: str, low: int, high: int) -> set[int]:
    """Return all values that a field admits; ValueError says what is wrong with it."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and (not step.isdecimal() or int(step) == 0):
            raise ValueError(f"the step of {name} {part!r} must be a whole number above 0")
        if span == "*" or (span == "?" and name.startswith("day")):
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, name, low, high)
            last = _number(end, name, low, high) if dash else (high if slash else first)
        if last < first:
            raise ValueError(f"the {name} {part!r} runs backwards")
        found |= set(range(first, last + 1, int(step) if slash else 1))
    return found


def _number(text: str, name: str, low: int, high: int) -> int:
    names = {"month": _MONTHS, "day of week": _WEEKDAYS}.get(name, ())
    if text.lower() in names:
        return names.index(text.lower()) + low
    if not text.isdecimal() or not low <= int(text) <= high:
        words = f" or {names[0].upper()} to {names[-1].upper()}" if names else ""
        raise ValueError(f"the {name} {text!r} must be {low} to {high}{words}")
    return int(text)
