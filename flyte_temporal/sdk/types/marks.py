"""Marks in JSON of type `any`: how plain data keeps what JSON lacks.

NaN, large integers, bytes, dates, tuples and dicts with other keys than strings become an object with one key that starts
with `$`; an object of the user's own that looks like that is written as `$map`. Used by `plain` (Python values),
`adapt` (typed JSON) and `display`, which takes the marks away.
"""

from __future__ import annotations

from typing import Any

from flyte_temporal.spec.types import Simple

SCALARS: dict[str, Simple] = {
    "$int": Simple.INTEGER,
    "$float": Simple.FLOAT,
    "$bytes": Simple.BYTES,
    "$datetime": Simple.DATETIME,
    "$date": Simple.DATE,
    "$time": Simple.TIME,
    "$duration": Simple.DURATION,
    "$decimal": Simple.DECIMAL,
    "$uuid": Simple.UUID,
}
"""Mark → type of what it holds, as JSON of that type."""

_MARKS = {simple: name for name, simple in SCALARS.items()}


def marked(value: Any) -> tuple[str, Any] | None:
    """Return mark and content if some JSON of type `any` stands for what JSON lacks, else None."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, content),) = value.items()
        if name in SCALARS or name in {"$map", "$tuple"}:
            return name, content
    return None


def mark(value: Any, simple: Simple) -> Any:
    """Return JSON of a simple type as JSON of type `any`."""
    if simple in {Simple.INTEGER, Simple.FLOAT} and not isinstance(value, str):
        return value
    return {_MARKS[simple]: value} if simple in _MARKS else value


def mark_map(pairs: list[list[Any]]) -> Any:
    """Return the entries of a dict, already of type `any`, as JSON of type `any`: an object where that is safe."""
    ordinary = all(isinstance(key, str) for key, _ in pairs)
    if ordinary and not (len(pairs) == 1 and pairs[0][0].startswith("$")):
        return {key: item for key, item in pairs}  # noqa: C416 - dict() of lists of two is not typed
    return {"$map": pairs}
