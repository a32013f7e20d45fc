"""Lengths and tolerance of maps."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.arrays import (
    InvalidArrayLength,
    TooFewItems,
    check_enough,
    item_count,
    required_successes,
    too_many_failed,
)
from flyte_temporal.spec.nodes import ArrayTarget, TaskTarget


def target(successes: int | None = None, ratio: float | None = None) -> ArrayTarget:
    return ArrayTarget(
        item=TaskTarget(task="m.t"), over=("x",), min_successes=successes, min_success_ratio=ratio
    )


@pytest.mark.parametrize(
    ("successes", "ratio", "count", "required"),
    [
        (None, None, 5, 5),
        (None, 1.0, 5, 5),
        (None, 0.5, 5, 3),
        (None, 0.1, 30, 3),
        (None, 0.0, 5, 0),
        (2, None, 5, 2),
        (2, 0.9, 10, 9),
        (4, 0.1, 10, 4),
        (4, None, 3, 4),
        (None, 0.5, 0, 0),
    ],
)
def test_required_successes(successes: int | None, ratio: float | None, count: int, required: int) -> None:
    assert required_successes(target(successes, ratio), count) == required


def test_it_fails_with_the_first_failure_beyond_tolerance() -> None:
    assert too_many_failed(target(), 3, 1)
    assert not too_many_failed(target(ratio=0.5), 4, 2)
    assert too_many_failed(target(ratio=0.5), 4, 3)


def test_a_map_that_can_only_fail_is_refused() -> None:
    check_enough(target(3), 3)
    with pytest.raises(TooFewItems, match="needs 3 successes, but its lists have 2 elements"):
        check_enough(target(3), 2)


def test_lists_of_different_length_are_refused_with_both_lengths() -> None:
    assert item_count({"a": 2, "b": 2}) == 2
    with pytest.raises(InvalidArrayLength, match="'a' has 3 and 'c' has 2"):
        item_count({"a": 3, "b": 3, "c": 2})
