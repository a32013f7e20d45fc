"""Where everything of the local stack lies, and the environment given to its processes. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "FLYTE_TEMPORAL_"
"""Every environment variable of ours begins with this."""


def home_directory() -> Path:
    """Return the home of the local stack: `FLYTE_TEMPORAL_HOME`, or `~/.flyte-temporal`. It may not exist yet."""
    given = os.environ.get(f"{PREFIX}HOME", "").strip()
    chosen = Path(given).expanduser() if given else Path.home() / ".flyte-temporal"
    # Two spellings of one folder must mean one stack, so links are resolved once, here.
    return chosen.resolve()


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment for a child process, with changes."""
    return {**os.environ, **changes}


def set_environment(fixed: Mapping[str, str], defaults: Mapping[str, str]) -> None:
    """Change the environment of this process and of the children that it starts from now on.

    Called once by the supervisor of the local stack, so that it and its worker read the same settings.

    Args:
        fixed: Variables that are set whatever the environment says.
        defaults: Variables that are set unless the environment has them.
    """
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ.update(fixed)


def search_path() -> str:
    """Return the folders in which programs are looked up."""
    return os.environ.get("PATH", os.defpath)
