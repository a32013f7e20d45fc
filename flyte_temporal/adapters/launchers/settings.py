"""Settings of the launchers on this machine, and the environment that their processes get."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from flyte_temporal.config.settings import Settings

DEFAULT_SIZE = max(2, os.cpu_count() or 1)
_OURS_ALONE = ("FLYTE_TEMPORAL_METADATA", "FLYTE_TEMPORAL_TEMPORAL")
"""Addresses of the platform's own parts, perhaps with passwords in them: nothing for user code."""


@dataclass(frozen=True)
class PoolConfig:
    """Settings of one launcher.

    Args:
        scratch: Folder for everything of this machine's attempts; several launchers may share it.
        size: Processes of user code at once; further attempts wait.
        max_tasks: Attempts after which a warm process is replaced.
        max_growth_bytes: Growth of a warm process's memory after which it is replaced, bytes.
        idle_s: After how many seconds without work the warm processes of a bundle are ended.
        idle_bundles: For how many bundles warm processes are kept without work. Each edit of a source file makes a
            new bundle, and each bundle's zygote holds the user's imports in memory.
        start_timeout_s: How long the user's module may take to be imported ahead, seconds. Then the processes import
            it themselves, so that one module that hangs holds up its own attempts only.
        cache: Folder of unpacked bundles; by default `bundles` in `scratch`.
    """

    scratch: Path
    size: int = DEFAULT_SIZE
    max_tasks: int = 1000
    max_growth_bytes: int = 1024**3
    idle_s: float = 600.0
    idle_bundles: int = 3
    start_timeout_s: float = 60.0
    cache: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings of an installation say."""
        own = settings.worker
        return cls(
            scratch=own.scratch,
            cache=own.cache,
            size=own.pool_size,
            max_tasks=own.pool_max_tasks,
            max_growth_bytes=own.pool_max_rss,
        )

    @cached_property
    def attempts(self) -> Path:
        """Return the folder of the attempts' journals."""
        return self.scratch / "attempts"

    @cached_property
    def warm(self) -> Path:
        """Return the folder of the warm processes' own folders."""
        return self.scratch / "warm"

    @cached_property
    def zygotes(self) -> Path:
        """Return the folder of the zygotes' logs."""
        return self.scratch / "zygotes"

    @cached_property
    def bundles(self) -> Path:
        """Return the folder of unpacked bundles."""
        return self.cache or self.scratch / "bundles"


def process_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process for user code: this one's, without our own secrets, and `extra`."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(_OURS_ALONE)}
    return {**mine, **extra}


def interpreter_of(given: str) -> str:
    """Return the Python that an environment asks for; this one if it asks for none."""
    return given or sys.executable
