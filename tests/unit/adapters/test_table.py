"""When a launcher forgets an attempt that nobody asks about any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.table import KEPT_S, Table


@dataclass
class Attempt:
    over: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def ended() -> Attempt:
    attempt = Attempt()
    attempt.over.set_result(None)
    return attempt


async def test_what_is_over_and_was_not_asked_for_is_forgotten() -> None:
    clock, forgotten = Clock(), list[Attempt]()
    table = Table[Attempt](forgotten.append, clock)
    left, asked, open_ = ended(), ended(), Attempt()
    table["left"], table["asked"], table["open"] = left, asked, open_
    clock.now = KEPT_S - 1
    assert "left" in table, "a sweep that asks needs nothing of it"
    assert table.get("asked") is asked
    clock.now = KEPT_S + 60
    table["new"] = ended()
    assert sorted(table) == ["asked", "new", "open"]
    assert forgotten == [left]


async def test_what_is_taken_out_is_not_forgotten_once_more() -> None:
    clock, forgotten = Clock(), list[Attempt]()
    table = Table[Attempt](forgotten.append, clock)
    table["released"] = ended()
    assert table.pop("released", None) is not None
    assert table.pop("released", None) is None
    with pytest.raises(KeyError):
        table["released"]
    clock.now = 2 * KEPT_S
    assert "released" not in table
    assert (len(table), forgotten) == (0, [])
