"""`current_context()`: what a running task may know about itself.

The runtime activates the parameters of an attempt, `plain` those of a plain call; user code only reads. Apart from
both because user code must see the same object whichever way it runs.
"""

from __future__ import annotations

import logging as python_logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flyte_temporal.spec.identifiers import ExecutionId

LOGGER_NAME = "flyte_temporal.task"
"""Logger of user tasks; its lines end up in the attempt's log like everything that the task prints."""


class TaskIdentifier(NamedTuple):
    """Which task runs; `version` is empty in plain runs."""

    project: str
    domain: str
    name: str
    version: str = ""


@dataclass(frozen=True)
class ExecutionParameters:
    """What a task knows about its attempt.

    Args:
        execution_id: The execution: project, domain, name.
        task_id: The task.
        execution_date: When the execution was started, UTC; equal for all its attempts.
        working_directory: A folder of this attempt alone, on local disk; gone after the attempt.
        raw_output_prefix: URI below which files written by the user's own code belong.
        attempt: Number of this attempt of the node, from 1.
        node: Path of the node in the execution; empty in plain calls.
    """

    execution_id: ExecutionId
    task_id: TaskIdentifier
    execution_date: datetime
    working_directory: Path
    raw_output_prefix: str
    attempt: int = 1
    node: str = ""
    logging: python_logging.Logger = field(default_factory=lambda: python_logging.getLogger(LOGGER_NAME))


_ACTIVE: ContextVar[ExecutionParameters | None] = ContextVar("flyte_temporal_execution", default=None)


@contextmanager
def activate(parameters: ExecutionParameters) -> Iterator[ExecutionParameters]:
    """Make these parameters the current ones inside the block."""
    token = _ACTIVE.set(parameters)
    try:
        yield parameters
    finally:
        _ACTIVE.reset(token)


def current_context() -> ExecutionParameters:
    """Return the parameters of the running task; outside of any task, those of a plain call of nothing."""
    return _ACTIVE.get() or plain_parameters("")


def active_parameters() -> ExecutionParameters | None:
    """Return the parameters of the running task, or None outside of any task."""
    return _ACTIVE.get()


def plain_parameters(task: str, scratch: Path | None = None) -> ExecutionParameters:
    """Return the parameters that a task sees when it is called as plain Python.

    Args:
        task: Dotted name of the task.
        scratch: Its working directory; by default one folder for the whole process.
    """
    directory = scratch or process_scratch()
    return ExecutionParameters(
        execution_id=ExecutionId(project="local", domain="local", name="plain"),
        task_id=TaskIdentifier("local", "local", task),
        execution_date=datetime.now(UTC),
        working_directory=directory,
        raw_output_prefix=directory.as_uri(),
    )


@cache
def process_scratch() -> Path:
    """Return the folder for files of plain calls, made on first use.

    It is left to the operating system to clean up: the files in it are the outputs that a plain call returned.
    """
    return Path(tempfile.mkdtemp(prefix="flyte-temporal-"))
