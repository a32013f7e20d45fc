"""What is said of an execution that waits for somebody: which nodes are held and why, and what may be typed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from flyte_temporal.cli.handle import Update
from flyte_temporal.cli.output import visible
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, NodePhase, NodeRecord

_SHOWN = 5


class PauseNews:
    """Tells once of each node that comes to be held, and once that the execution is paused.

    Args:
        place: Options that other commands need to find the execution, with a space in front.
    """

    def __init__(self, place: str = "") -> None:
        self._place = place
        self._told: set[tuple[str, int]] = set()
        self._paused = False

    def lines(self, update: Update) -> list[str]:
        """Return what is new in a state."""
        paused = update.execution.phase is ExecutionPhase.PAUSED
        news = [
            n for n in update.nodes if n.phase is NodePhase.PAUSED and (n.id, n.attempts) not in self._told
        ]
        self._told |= {(n.id, n.attempts) for n in news}
        began, self._paused = paused and not self._paused, paused
        id_ = update.execution.request.id.name
        if news:
            return held_lines(id_, [(n.id, n.name, n.error) for n in news], self._place)
        if began and not any(n.phase is NodePhase.PAUSED for n in update.nodes):
            return [_waiting(id_, update.nodes, self._place)]
        return []


def held_lines(id_: str, held: Sequence[tuple[str, str, ErrorDocument | None]], place: str = "") -> list[str]:
    """Return which nodes are held and why, and the commands that repair them.

    Args:
        id_: The execution.
        held: Path, name and error of each node.
        place: As in `PauseNews`.
    """
    lines = [f"Execution {id_} is PAUSED. It waits for you, because this failed:"]
    for path, name, error in held[:_SHOWN]:
        said = visible(error.message).split("\n")[0] if error is not None else ""
        lines.append(f"  {path} ({name}): {error.code if error else ''} {said}".rstrip())
    if len(held) > _SHOWN:
        lines.append(f"  and {len(held) - _SHOWN} more: flyte-temporal get nodes {id_}{place}")
    first = shlex.quote(held[0][0])
    lines += [
        f"  try again:  flyte-temporal retry {id_} {first}{place}   (fixed code: --with-code FILE; memory: --memory 2Gi)",
        f"  without it: flyte-temporal skip {id_} {first}{place} --output NAME=VALUE",
        f"  give up:    flyte-temporal fail {id_}{place}",
    ]
    return lines


def _waiting(id_: str, nodes: Sequence[NodeRecord], place: str) -> str:
    children = [n.child for n in nodes if n.child and not n.phase.terminal]
    inside = (
        f" Executions that it runs may wait to be repaired: {', '.join(children[:_SHOWN])}."
        if children
        else ""
    )
    return f"Execution {id_} is PAUSED: nothing new starts.{inside} Go on: flyte-temporal resume {id_}{place}"
