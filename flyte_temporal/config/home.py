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


def child_environment(
    overrides: Mapping[str, str], defaults: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return this process's environment for a child process, with changes.

    Args:
        overrides: Variables that the child gets whatever the environment says.
        defaults: Variables that the child gets unless the environment has them.
    """
    return {**(defaults or {}), **os.environ, **overrides}


def search_path() -> str:
    """Return the folders in which programs are looked up."""
    return os.environ.get("PATH", os.defpath)
