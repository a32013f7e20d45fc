"""`Celsius` as a number. Imported when a task or workflow declares a `Celsius`."""

from __future__ import annotations

from typing import Any

from flyte_temporal import TypeTransformer
from flyte_temporal.spec.types import FLOAT, LiteralType
from flyte_temporal_celsius import Celsius


class CelsiusTransformer(TypeTransformer[Celsius]):
    """One class, four methods: when it is in charge, the type in the spec, and both ways."""

    def matches(self, python_type: Any) -> bool:
        return python_type is Celsius

    def literal_type(self, python_type: Any, engine: Any) -> LiteralType:
        return FLOAT

    def to_json(self, value: Celsius, python_type: Any, context: Any) -> float:
        if not isinstance(value, Celsius):
            raise TypeError(f"expected Celsius, got {value!r}")
        if value.degrees < -273.15:
            raise ValueError(f"{value.degrees} is below absolute zero")
        return value.degrees

    def to_python(self, value: Any, written: LiteralType, python_type: Any, context: Any) -> Celsius:
        return Celsius(float(value))

    def coerce(self, value: Any, python_type: Any) -> Celsius:
        return Celsius(self.to_json(value, python_type, None))
