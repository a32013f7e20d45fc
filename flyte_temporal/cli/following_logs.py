"""`flyte-temporal logs --follow`: print what tasks print while they do, until they have ended.

Apart from `queries` because it keeps books: which lines it has shown, and which one may still be cut in its middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flyte_temporal.client import Execution, LogLine
from flyte_temporal.errors import NotFound

_PAUSE_S = 1.0

Key = tuple[str, int]


def follow_logs(
    execution: Execution, of: tuple[str | None, int | None], say: Callable[[LogLine], None]
) -> None:
    """Show each line once, until the execution, or the node that is asked for, has ended.

    Args:
        execution: Whose lines.
        of: Path or name of a node, and number of an attempt; None = all.
        say: Shows a line.

    Raises:
        NotFound: If all has ended and there was no such node or attempt.
    """
    shown: dict[Key, int] = {}
    last: dict[Key, str] = {}
    while True:
        over = _is_over(execution, of[0])
        for key, lines in _lines(execution, of, wait=not over).items():
            done = shown.get(key, 0)
            # The last one may have been cut in its middle, unless it stays as it is.
            certain = over or last.get(key) == lines[-1].text
            upto = len(lines) if certain else len(lines) - 1
            for line in lines[done:upto]:
                say(line)
            shown[key], last[key] = max(done, upto), lines[-1].text
        if over:
            return
        time.sleep(_PAUSE_S)


def _lines(
    execution: Execution, of: tuple[str | None, int | None], *, wait: bool
) -> dict[Key, list[LogLine]]:
    found: dict[Key, list[LogLine]] = {}
    try:
        for line in execution.logs(*of):
            found.setdefault((line.node, line.attempt), []).append(line)
    except NotFound:
        # The node, or its attempt, may be about to begin.
        if not wait:
            raise
    return found


def _is_over(execution: Execution, node: str | None) -> bool:
    if execution.record().phase.terminal:
        return True
    if node is None:
        return False
    try:
        return execution.node(node).phase.terminal
    except NotFound:
        return False
