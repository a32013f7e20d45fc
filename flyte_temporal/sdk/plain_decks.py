"""The deck of a task that runs as plain Python: a file in the task's own folder, with a line in the log that says where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flyte_temporal.sdk.context import ExecutionParameters

FILE = "deck.html"


@contextmanager
def kept_plainly(parameters: ExecutionParameters) -> Iterator[None]:
    """Write the deck when the block ends, however it ends."""
    error = ""
    try:
        yield
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    finally:
        if parameters.report.enabled:
            from flyte_temporal.sdk.deck_document import Heading, document

            heading = Heading(parameters.task_id.name, "plain run", error, datetime.now(UTC))
            file = parameters.working_directory / FILE
            file.write_text(document(parameters.report, heading), encoding="utf-8", errors="backslashreplace")
            parameters.logging.info("The deck of %s is at %s", parameters.task_id.name, file)
