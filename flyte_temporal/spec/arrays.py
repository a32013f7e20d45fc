"""How many items an array node has, and when too many of them have failed: one meaning for both ways of running.

Pure. Called by the interpreter and by plain runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.nodes import ArrayTarget


class InvalidArrayLength(UserCodeError):
    """The lists that a map runs over differ in length."""

    code = "InvalidArrayLength"
    retryable = False


class TooFewItems(UserCodeError):
    """A map has fewer elements than it needs successes, so it could only fail."""

    code = "TooFewItems"
    retryable = False


def item_count(lengths: Mapping[str, int]) -> int:
    """Return how many items an array node has.

    Args:
        lengths: Length of the list of each input in `ArrayTarget.over`; at least one.

    Raises:
        InvalidArrayLength: If the lists differ in length; names two and their lengths.
    """
    (first, count), *others = lengths.items()
    for name, length in others:
        if length != count:
            raise InvalidArrayLength(
                f"A map takes one element of each list, so the lists must be equally long: {first!r} has {count} "
                f"and {name!r} has {length}. Bind what is the same for every item with functools.partial."
            )
    return count


def required_successes(target: ArrayTarget, count: int) -> int:
    """Return how many of `count` items must succeed for the node to succeed; may be more than there are."""
    if not target.tolerant:
        return count
    # By its decimal digits: 0.1 of 30 is 3, which floats make 3.0000000000000004.
    ratio = Decimal(repr(target.min_success_ratio or 0.0))
    return max(target.min_successes or 0, math.ceil(ratio * count))


def check_enough(target: ArrayTarget, count: int) -> None:
    """Refuse, before anything runs, a map that could only fail.

    Raises:
        TooFewItems: If more successes are required than there are items.
    """
    required = required_successes(target, count)
    if required > count:
        raise TooFewItems(
            f"The map needs {required} successes, but its lists have {count} elements. Lower min_successes, or use "
            "min_success_ratio."
        )


def too_many_failed(target: ArrayTarget, count: int, failed: int) -> bool:
    """Return whether so many items have failed for good that the node fails."""
    return failed > count - required_successes(target, count)
