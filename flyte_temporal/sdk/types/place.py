"""Where the values of the running task live, for files and directories that its own code makes.

`dispatch` and plain calls say it around the task's function; `FlyteFile.new_remote_file` and `FlyteDirectory.new_remote`
ask. Apart from `sdk.context` because it is nothing for users: that one says what a task may know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from flyte_temporal.sdk.context import active_parameters
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import ValueContext

_ACTIVE: ContextVar[ValueContext | None] = ContextVar("flyte_temporal_place", default=None)


@contextmanager
def placed(context: ValueContext) -> Iterator[None]:
    """Say where values live, inside the block."""
    token = _ACTIVE.set(context)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def current_place() -> ValueContext:
    """Return where values of the running task live; outside of any, and in threads that know of none, a local folder."""
    return _ACTIVE.get() or ValueContext(blobs=None, scratch=transfer.own_scratch())


def working_directory() -> Path:
    """Return the folder for files that the running task makes."""
    parameters = active_parameters()
    return parameters.working_directory if parameters is not None else transfer.own_scratch()
