from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.sdk.types.times import DATETIME, parse_duration

from .conftest import Trip

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        datetime(2026, 1, 31, tzinfo=timezone(timedelta(seconds=1, microseconds=5))),
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),  # a wall clock that never was
        datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2026, 1, 1, fold=1, tzinfo=BERLIN),
        datetime(2026, 1, 1, fold=1, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=BERLIN),
        datetime(1, 1, 1, tzinfo=ZoneInfo("America/New_York")),
        datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
    ],
    ids=str,
)
def test_a_datetime_keeps_its_zone_and_fold(value: datetime, trip: Trip) -> None:
    back = trip(value, datetime)
    assert (back.replace(tzinfo=None), back.fold, back.utcoffset()) == (
        value.replace(tzinfo=None),
        value.fold,
        value.utcoffset(),
    )
    assert getattr(back.tzinfo, "key", None) == getattr(value.tzinfo, "key", None)


def test_a_naive_datetime_is_taken_as_utc(trip: Trip, engine: TypeEngine) -> None:
    assert trip(datetime(2026, 1, 1, 5), datetime) == datetime(2026, 1, 1, 5, tzinfo=UTC)  # noqa: DTZ001
    assert engine.coerce(datetime(2026, 1, 1), datetime).tzinfo is UTC  # noqa: DTZ001


def test_the_form_is_rfc_9557(engine: TypeEngine, context: ValueContext) -> None:
    value = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=BERLIN)
    assert engine.to_json(value, datetime, context) == "2026-01-31T12:00:00.000001+01:00[Europe/Berlin]"


def test_the_instant_wins_where_zone_rules_differ(engine: TypeEngine, context: ValueContext) -> None:
    back = engine.to_python("2026-01-31T12:00:00+05:00[Europe/Berlin]", DATETIME, datetime, context)
    assert back == datetime(2026, 1, 31, 7, tzinfo=UTC)
    assert back.tzinfo is BERLIN


def test_an_unknown_zone_says_what_to_do(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(
        InvalidInputs, match="'Mars/Olympus' is not known on this machine; install the package"
    ):
        engine.to_python("2026-01-31T12:00:00+05:00[Mars/Olympus]", DATETIME, datetime, context)


class _Twelve(tzinfo):
    """A tzinfo of a user's own, without a key."""

    def utcoffset(self, _moment: Any) -> timedelta:
        return timedelta(hours=12)

    def dst(self, _moment: Any) -> None:
        return None

    def tzname(self, _moment: Any) -> str:
        return "twelve"


def test_a_zone_without_a_name_keeps_its_offset(trip: Trip) -> None:
    value = datetime(2026, 1, 1, tzinfo=_Twelve())
    assert trip(value, datetime) == value
    assert trip(value, datetime).utcoffset() == timedelta(hours=12)


@pytest.mark.parametrize("value", [date.min, date.max, date(2026, 2, 28)])
def test_dates(value: date, trip: Trip) -> None:
    back = trip(value, date)
    assert back == value
    assert type(back) is date


@pytest.mark.parametrize(
    "value",
    [time(), time.max, time(1, 2, fold=1), time(1, 2, tzinfo=UTC), time(1, 2, 3, 4, tzinfo=BERLIN)],
)
def test_times_of_day(value: time, trip: Trip) -> None:
    back = trip(value, time)
    assert (back, back.fold, str(back.tzinfo)) == (value, value.fold, str(value.tzinfo))


@pytest.mark.parametrize(
    "value",
    [
        timedelta(),
        timedelta.min,
        timedelta.max,
        timedelta(microseconds=-1),
        timedelta(days=-1, microseconds=10),
    ],
)
def test_durations(value: timedelta, trip: Trip) -> None:
    assert trip(value, timedelta) == value


def test_durations_of_other_writers() -> None:
    assert parse_duration("P1W2DT3H4M5,5S") == timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5.5)
    for text in ("P", "PT", "P1Y", "P1M", "1h", "PT5"):
        with pytest.raises(ValueError, match="is not an ISO 8601 duration"):
            parse_duration(text)


def test_timestamps_of_pandas_are_taken_unless_nanoseconds_would_be_lost(trip: Trip) -> None:
    pandas = pytest.importorskip("pandas")
    assert trip(pandas.Timestamp("2026-01-01T00:00:00.000001Z"), datetime) == datetime(
        2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC
    )
    assert trip(pandas.Timedelta("1s"), timedelta) == timedelta(seconds=1)
    for value, python_type in [
        (pandas.Timestamp(1), datetime),
        (pandas.Timedelta(1, unit="ns"), timedelta),
        (pandas.NaT, datetime),
    ]:
        with pytest.raises(Exception, match=r"expected (datetime|timedelta), got"):
            trip(value, python_type)
