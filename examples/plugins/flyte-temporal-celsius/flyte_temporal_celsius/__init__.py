"""Temperatures. The classes know nothing of flyte_temporal; `transformer` and `handlers` do."""

from __future__ import annotations

from dataclasses import dataclass


class Celsius:
    """A temperature."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


@dataclass
class Readings:
    """Temperatures by place."""

    by_place: dict[str, float]
