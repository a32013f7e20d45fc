"""The ways to run an attempt, one module each; all keep the contract of `ports.launcher`.

Called by the composition root of the worker, which looks a launcher up by the name in the task's environment. Apart
from each other because each brings a library or a platform of its own; so they are imported on use.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from flyte_temporal.errors import LauncherError

if TYPE_CHECKING:
    from flyte_temporal.adapters.launchers.settings import PoolConfig
    from flyte_temporal.ports.launcher import Launcher

LAUNCHERS = {
    "pool": "flyte_temporal.adapters.launchers.pool:make",
    "process": "flyte_temporal.adapters.launchers.process:make",
}
"""Name → where its factory is: a function of a `PoolConfig` that returns a `Launcher`."""


def make_launcher(name: str, config: PoolConfig) -> Launcher:
    """Return a new launcher.

    Raises:
        LauncherError: If there is none of that name.
    """
    if name not in LAUNCHERS:
        raise LauncherError(
            f"There is no launcher {name!r} on this worker; there are: {', '.join(LAUNCHERS)}."
        )
    module, _, factory = LAUNCHERS[name].partition(":")
    make = cast("Callable[[PoolConfig], Launcher]", getattr(import_module(module), factory))
    return make(config)
