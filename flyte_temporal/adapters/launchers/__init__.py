"""The ways to run an attempt, one module each; all keep the contract of `ports.launcher`.

Called by the composition root of the worker, which looks a launcher up by the name in the task's environment. Apart
from each other because each brings a library or a platform of its own; so they are imported on use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

from flyte_temporal.errors import LauncherError
from flyte_temporal.ports.launcher import Launcher

if TYPE_CHECKING:
    from flyte_temporal.config.settings import Settings

LAUNCHERS = {
    "docker": "flyte_temporal.adapters.launchers.containers.launcher:make_docker",
    "kubernetes": "flyte_temporal.adapters.launchers.kubernetes.launcher:make",
    "podman": "flyte_temporal.adapters.launchers.containers.launcher:make_podman",
    "pool": "flyte_temporal.adapters.launchers.pool:make",
    "process": "flyte_temporal.adapters.launchers.process:make",
}
"""Name → where its factory is: a function of the `Settings` that returns a `Launcher`."""


def make_launcher(name: str, settings: Settings) -> Launcher:
    """Return a new launcher.

    Raises:
        LauncherError: If there is none of that name.
    """
    if name not in LAUNCHERS:
        raise LauncherError(
            f"There is no launcher {name!r} on this worker; there are: {', '.join(LAUNCHERS)}."
        )
    module, _, factory = LAUNCHERS[name].partition(":")
    make = cast("Callable[[Settings], Launcher]", getattr(import_module(module), factory))
    return make(settings)


class Launchers(Mapping[str, Launcher]):
    """All launchers of a worker; each is made when it is first asked for, so that none is set up that nobody uses.

    Args:
        settings: What they are made with.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.made: dict[str, Launcher] = {}

    def __getitem__(self, name: str) -> Launcher:
        if name not in LAUNCHERS:
            raise KeyError(name)
        if name not in self.made:
            self.made[name] = make_launcher(name, self._settings)
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(LAUNCHERS)

    def __len__(self) -> int:
        return len(LAUNCHERS)

    async def close(self) -> None:
        """Close those that were made."""
        for launcher in self.made.values():
            await launcher.close()
