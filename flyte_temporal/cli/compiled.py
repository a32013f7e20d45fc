"""What `run` hands to the module that starts it, durably or plainly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_temporal.sdk.entity import Entity
    from flyte_temporal.spec.entities import Closure


@dataclass(frozen=True)
class Compiled:
    """An entity that was found and compiled.

    Args:
        file: The user's file.
        name: Name of the entity as it was asked for.
        entity: The entity.
        closure: What it compiles to.
    """

    file: Path
    name: str
    entity: Entity
    closure: Closure
