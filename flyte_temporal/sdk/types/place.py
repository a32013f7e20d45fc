"""Where the values of the running task live, for files and directories that its own code makes.

`dispatch` and plain calls say it around the task's function; `FlyteFile.new_remote_file` and `FlyteDirectory.new_remote`
ask. Apart from `sdk.context` because it is nothing for users: that one says what a task may know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import ValueContext

_ACTIVE: ContextVar[tuple[ValueContext, Path] | None] = ContextVar("flyte_temporal_place", default=None)


@contextmanager
def placed(context: ValueContext, folder: Path | None = None) -> Iterator[None]:
    """Say where values live, inside the block.

    Args:
        context: Where stored values are, and where copies go.
        folder: Working directory of the running task, if it is not the folder of the copies.
    """
    token = _ACTIVE.set((context, folder or context.scratch))
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def current_place() -> ValueContext:
    """Return where values of the running task live; outside of any, and in threads that know of none, a local folder."""
    active = _ACTIVE.get()
    return active[0] if active is not None else ValueContext(blobs=None, scratch=transfer.own_scratch())


def working_directory() -> Path:
    """Return the folder for files that the running task makes."""
    active = _ACTIVE.get()
    return active[1] if active is not None else transfer.own_scratch()
