"""Watching an execution to its end, and what Ctrl-C means while one does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.handle import Handle
from flyte_temporal.cli.output import Output
from flyte_temporal.cli.pauses import PauseNews
from flyte_temporal.cli.progress import progress
from flyte_temporal.cli.results import print_result
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord

SECOND_CHANCE_S = 2.0
"""How long a second Ctrl-C is waited for after the first, in seconds: long enough to read one line."""


def follow(
    execution: Handle,
    output: Output,
    place: str = "",
    more: Mapping[str, Any] | None = None,
    began: str = "",
) -> ExitCode:
    """Show progress until an execution is over, then print its result.

    Ctrl-C leaves the execution alone and says how to come back; another one within `SECOND_CHANCE_S` aborts it.

    Args:
        execution: The execution.
        output: Where to show and print.
        place: Options that other commands need to find the execution, with a space in front.
        more: Further members of the JSON document.
        began: What is said first; Ctrl-C means the same from there on.

    Returns:
        The exit code that the execution's end means.
    """
    try:
        if began:
            output.note(began)
        record = _watch(execution, output, place)
    except KeyboardInterrupt:
        if not _asked_again(execution.id, output, place):
            return ExitCode.INTERRUPTED
        execution.abort("Ctrl-C, twice")
        output.note(f"Aborting {execution.id} …")
        record = execution.wait()
    return finish(execution, record, output, more)


def finish(
    execution: Handle, record: ExecutionRecord, output: Output, more: Mapping[str, Any] | None = None
) -> ExitCode:
    """Print the result of an execution that is over."""
    outputs = execution.outputs if record.phase is ExecutionPhase.SUCCEEDED else {}
    return print_result(output, record, outputs, more)


def _watch(execution: Handle, output: Output, place: str) -> ExecutionRecord:
    with progress(output) as display:
        news = PauseNews(place)
        for update in execution.watch():
            display.show(update)
            for line in news.lines(update):
                display.say(line)
            if update.execution.phase.terminal:
                return update.execution
    return execution.wait()


def _asked_again(id_: str, output: Output, place: str) -> bool:
    # The line is printed inside, too: whoever reads it may press before we sleep.
    try:
        output.note(
            f"\nDetached. Execution {id_} goes on: follow it with 'flyte-temporal wait {id_}{place}', stop it with "
            f"'flyte-temporal abort {id_}{place} --reason TEXT', or press Ctrl-C again now."
        )
        time.sleep(SECOND_CHANCE_S)
    except KeyboardInterrupt:
        return True
    return False
