"""Lengths of time that people give, as moments and timers that Temporal and Python can hold. Pure.

An overflow in workflow code is met again by each try of the workflow task: the run would stand still for ever, deaf to an abort.
"""

from __future__ import annotations

from datetime import timedelta

LONGEST_S = 3e9
"""Some 95 years: whoever gives more means that it never ends. Temporal's server counts nanoseconds, which reach to the year 2262."""


def bounded(seconds: float) -> float:
    """Return a number of seconds, or the longest that is waited for."""
    return min(seconds, LONGEST_S)


def span(seconds: float) -> timedelta:
    """Return a length of time, at most the longest."""
    return timedelta(seconds=bounded(seconds))
