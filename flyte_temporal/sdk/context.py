"""`current_context()`: what a running task may know about itself.

The runtime activates the parameters of an attempt, `plain` those of a plain call; user code only reads. Apart from
both because user code must see the same object whichever way it runs.
"""

from __future__ import annotations

import atexit
import logging as python_logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from flyte_temporal.sdk.checkpoints import Checkpoint
from flyte_temporal.sdk.decks import Deck, DeckField, Report, reporting
from flyte_temporal.sdk.plain_checkpoints import plain_checkpoint
from flyte_temporal.sdk.secrets import SecretsManager
from flyte_temporal.sdk.stopping import Stopping
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
        logging: Logger of the task; what it writes ends up in the attempt's log.
        secrets: The secrets that the task requested.
        report: What its deck is made of.
        stop: How it hears that it is to stop.
        checkpoint: What it saves while it runs, and what its earlier attempts saved.
    """

    execution_id: ExecutionId
    task_id: TaskIdentifier
    execution_date: datetime
    working_directory: Path
    raw_output_prefix: str
    attempt: int = 1
    node: str = ""
    logging: python_logging.Logger = field(default_factory=lambda: python_logging.getLogger(LOGGER_NAME))
    secrets: SecretsManager = field(default_factory=SecretsManager)
    report: Report = field(default_factory=Report, repr=False)
    stop: Stopping = field(default_factory=Stopping, repr=False)
    checkpoint: Checkpoint = field(default_factory=plain_checkpoint, repr=False)

    @property
    def stopping(self) -> bool:
        """Whether the attempt is to stop: ask once per round of a loop, save, and raise an exception of any kind.

        From the first time that it is asked, SIGTERM no longer ends the process: the task has the grace time less 5 s (less a
        half, if that is less). What it raises then is not its failure, and uses up no retry if the platform stops.

        Raises:
            UserCodeError: If it is asked for the first time outside of the main thread.
        """
        return self.stop.requested

    @property
    def enable_deck(self) -> bool:
        """Whether a deck is kept with this attempt."""
        return self.report.enabled

    @property
    def decks(self) -> list[Deck]:
        """The tabs of this attempt's deck that user code has made, in order."""
        return self.report.decks

    @property
    def default_deck(self) -> Deck:
        """The tab `default`, made on first use."""
        return self.report.tab("default")

    @property
    def timeline_deck(self) -> Deck:
        """The tab with the times of the attempt, to which user code may add."""
        return self.report.tab(DeckField.TIMELINE.value)

    @property
    def stats(self) -> Stats:
        """Counters and timers of flytekit's users; nothing collects them here."""
        return Stats()


class Stats:
    """Takes what tasks written for flytekit count and time, and does nothing with it."""

    def incr(self, metric: str, count: int = 1, rate: float = 1, **tags: Any) -> None:
        """Count something."""

    def decr(self, metric: str, count: int = 1, rate: float = 1, **tags: Any) -> None:
        """Count something down."""

    def gauge(self, metric: str, value: float, rate: float = 1, delta: bool = False, **tags: Any) -> None:  # noqa: FBT001, FBT002 - flytekit's signature
        """State a value."""

    def timing(self, metric: str, delta: float | timedelta, rate: float = 1, **tags: Any) -> None:
        """State a duration."""

    def timer(self, metric: str, rate: float = 1, **tags: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - as above
        """Return a block whose duration would be stated."""
        return nullcontext()


_ACTIVE: ContextVar[ExecutionParameters | None] = ContextVar("flyte_temporal_execution", default=None)


@contextmanager
def activate(parameters: ExecutionParameters) -> Iterator[ExecutionParameters]:
    """Make these parameters the current ones inside the block."""
    token = _ACTIVE.set(parameters)
    try:
        with reporting(parameters.report):
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

    It outlives the process if there are files in it, for these are the outputs that a plain call returned: the
    operating system cleans up.
    """
    folder = Path(tempfile.mkdtemp(prefix="flyte-temporal-"))
    maker = os.getpid()
    atexit.register(lambda: drop_if_without_files(folder) if os.getpid() == maker else None)
    return folder


def drop_if_without_files(folder: Path) -> None:
    """Remove a folder with all below it, unless there is a file somewhere in it."""
    if not any(files for _, _, files in os.walk(folder)):
        shutil.rmtree(folder, ignore_errors=True)
