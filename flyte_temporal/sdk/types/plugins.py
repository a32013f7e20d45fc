"""Type transformers of other packages: entry points of the group `flyte_temporal.types`, loaded when an unknown type is met."""

from __future__ import annotations

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types.converter import TypeFamily

GROUP = "flyte_temporal.types"


def plugged_in() -> list[TypeFamily]:
    """Return the transformers of all installed plug-ins, in order of their names.

    Raises:
        UnsupportedType: If a plug-in cannot be loaded, or is no transformer.
    """
    from importlib.metadata import entry_points  # 20 ms, and only needed for unknown types

    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            loaded = entry.load()
            family = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # a plug-in may raise anything
            raise UnsupportedType(
                f"The plug-in {entry.name!r} ({entry.value}) of the group {GROUP} cannot be loaded: {error}. "
                "Repair or uninstall it."
            ) from error
        if not isinstance(family, TypeFamily):
            raise UnsupportedType(
                f"The plug-in {entry.name!r} ({entry.value}) is a {type(family).__name__}, not a TypeTransformer."
            )
        found.append(family)
    return found
