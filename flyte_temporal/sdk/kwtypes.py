"""`kwtypes(a=int, b=str)`: names with types, in order. Used to declare inputs, outputs and columns; flytekit's name."""

from __future__ import annotations

from typing import Any


def kwtypes(**kwargs: Any) -> dict[str, Any]:
    """Return the given types by name, in the order in which they were written.

    Args:
        kwargs: A Python type, or any other annotation, for each name.
    """
    return dict(kwargs)
