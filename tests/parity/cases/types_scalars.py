"""Every scalar through two tasks: what arrives is what was sent, with its type."""

# ruff: noqa: B008 - users write it

import datetime as dt
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from flyte_temporal import task, workflow


@task
def through(
    i: int,
    f: float,
    b: bool,
    s: str,
    raw: bytes,
    when: dt.datetime,
    day: dt.date,
    clock: dt.time,
    long: dt.timedelta,
    money: Decimal,
    key: UUID,
    place: Path,
    nothing: None,
) -> tuple[int, float, bool, str, bytes, dt.datetime, dt.date, dt.time, dt.timedelta, Decimal, UUID, Path]:
    assert nothing is None
    return i, f, b, s, raw, when, day, clock, long, money, key, place


@task
def describe(
    i: int,
    raw: bytes,
    when: dt.datetime,
    day: dt.date,
    long: dt.timedelta,
    money: Decimal,
    key: UUID,
    place: Path,
) -> list[str]:
    return [repr(i), repr(raw), when.isoformat(), repr(day), str(long), repr(money), str(key), place.name]


@workflow
def wf(
    i: int = 2**70,
    f: float = 3,
    b: bool = True,
    s: str = "é\n",
    raw: bytes = b"\x00\xff",
    when: dt.datetime = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC),
    day: dt.date = dt.date(2026, 2, 1),
    clock: dt.time = dt.time(1, 2, 3),
    long: dt.timedelta = dt.timedelta(hours=1.5),
    money: Decimal = Decimal("0.10"),
    key: UUID = UUID("12345678123456781234567812345678"),
    place: Path = Path("/data/x.csv"),
) -> tuple[list[str], float, bool, str, dt.time]:
    o = through(
        i=i,
        f=f,
        b=b,
        s=s,
        raw=raw,
        when=when,
        day=day,
        clock=clock,
        long=long,
        money=money,
        key=key,
        place=place,
        nothing=None,
    )
    told = describe(i=o[0], raw=o[4], when=o[5], day=o[6], long=o[8], money=o[9], key=o[10], place=o[11])
    return told, o[1], o[2], o[3], o[7]
