"""Type transformers and dataset handlers of other packages: entry points of the group `flyte_temporal.types`.

They are looked for when a type is met that nothing here knows, and never before. An entry whose name has a dot is the
name of a class or module (`celsius.Celsius`, `celsius.units`): it is loaded only for types from there. One without a dot is
loaded for every unknown type.
"""

from __future__ import annotations

from typing import Any

from flyte_temporal.errors import UnsupportedType

GROUP = "flyte_temporal.types"


def plugged_in(python_type: Any, done: set[str]) -> list[tuple[str, object]]:
    """Return what the installed plug-ins bring that may concern a type, in order of their names, each with its name.

    Args:
        python_type: The unknown type; None = load all that have no dot.
        done: Names of those that are loaded already; the new ones are added.

    Raises:
        UnsupportedType: If a plug-in cannot be loaded.
    """
    from importlib.metadata import entry_points  # 20 ms, and only needed for unknown types

    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        if entry.name in done or not _concerns(entry.name, python_type):
            continue
        try:
            loaded = entry.load()
            made = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # a plug-in may raise anything
            raise UnsupportedType(
                f"The plug-in {entry.name!r} ({entry.value}) of the group {GROUP} cannot be loaded: {error}. "
                "Repair or uninstall it."
            ) from error
        done.add(entry.name)
        found.append((f"{entry.name!r} ({entry.value})", made))
    return found


def _concerns(name: str, python_type: Any) -> bool:
    if "." not in name:
        return True
    cls = python_type if isinstance(python_type, type) else getattr(python_type, "__origin__", None)
    if not isinstance(cls, type):
        return False
    return f"{cls.__module__}.{cls.__qualname__}.".startswith(f"{name}.")
