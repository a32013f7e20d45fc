"""When a node that waits for another one's outputs asks again."""

from __future__ import annotations

import pytest

from flyte_temporal.workflows.lookups import WAITS, asks_after


@pytest.mark.parametrize("told", [4, 1_023, 1_024, 5_000])
def test_the_pause_between_questions_stays_at_its_longest_however_often_it_was_told(told: int) -> None:
    assert asks_after(told, 30, mine=False) == WAITS.max_s


def test_the_pause_grows_and_ends_with_the_lease() -> None:
    assert [asks_after(told, 30, mine=False) for told in range(4)] == [1, 2, 4, 8]
    assert asks_after(3, 2, mine=False) == 2.1
    assert asks_after(0, 30, mine=True) == WAITS.max_s
    assert asks_after(0, -1, mine=True) == 0.1
