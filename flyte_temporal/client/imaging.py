"""The images of what is to run: whether each that tasks name is known, and those that tasks declare are built.

Used by `submitting` for everything that brings tasks to a launcher of containers: a start, a recovery, fixed code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_temporal.config.defaults import builder_settings
from flyte_temporal.errors import BadRequest
from flyte_temporal.spec.images import DEFAULT, Declared, declarations, wanted

if TYPE_CHECKING:
    from flyte_temporal.spec.entities import Closure
    from flyte_temporal.spec.execution import Environment

IN_CONTAINERS = frozenset({"podman", "docker", "kubernetes"})
"""Launchers whose attempts run in images."""


@dataclass(frozen=True)
class Needed:
    """Tasks that are to run, with what is said of their images.

    Args:
        closures: What holds the tasks.
        launcher: What runs them.
        images: Images by the names that tasks use.
        advice: What to do where one is missing, with `{name}` in it.
    """

    closures: Sequence[Closure]
    launcher: str
    images: Mapping[str, str]
    advice: str = "Write --image {name}=URI."

    def check(self) -> None:
        """Refuse names of images that are not given, if containers need them.

        Raises:
            BadRequest: If there is one.
        """
        if self.launcher not in IN_CONTAINERS:
            return
        unknown = [n for closure in self.closures for n in wanted(closure) if n not in self.images]
        if unknown:
            raise BadRequest(
                f"Tasks use the image {unknown[0]!r} by name, and no such image is given. "
                f"{self.advice.format(name=unknown[0])}"
            )

    def build(self, say: Callable[[str], None], root: Callable[[], Path | None]) -> None:
        """Build the declared images that are not there yet, if containers need them.

        Args:
            say: Where to tell what takes long.
            root: Gives the folder of the code, below which the files of declarations are.

        Raises:
            BadRequest: If what is declared cannot be built.
            ImageNotBuilt: If the builder failed.
        """
        declared = {each.image: each for closure in self.closures for each in declarations(closure)}
        if self.launcher not in IN_CONTAINERS or not declared:
            return
        from flyte_temporal.adapters.images.building import Builder

        if self.launcher == "kubernetes":
            _warn_of_nodes(list(declared.values()), say)
        builder = Builder(builder_settings(), say, self.launcher)
        folder = root()
        for declaration in declared.values():
            builder.provide(declaration, folder)


def named_images(environment: Environment) -> dict[str, str]:
    """Return the images of an environment by the names that tasks use."""
    return {**({DEFAULT: environment.image} if environment.image else {}), **environment.images}


def _warn_of_nodes(declared: Sequence[Declared], say: Callable[[str], None]) -> None:
    """Say which images the nodes of a cluster must have, because there is no registry from which they could pull them."""
    from flyte_temporal.adapters.images.building import NOOP

    local = [
        each.image
        for each in declared
        if not each.declaration.get("registry") and each.declaration.get("builder") != NOOP
    ]
    if local:
        say(
            f"{', '.join(local)}: no registry= in the ImageSpec, so nothing is pushed, and pods start only on nodes that have the "
            f"image as docker.io/library/{local[0]} (kind: `kind load docker-image`). Write registry= to have it pushed."
        )
