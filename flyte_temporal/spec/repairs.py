"""Repairing a run in place: what is asked of it by update, and what it tells of itself.

Each request is the argument of the update of the same name; all of them, and the query `repairs`, answer with a
`RepairState`. Apart from `calls` because no activity knows them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from flyte_temporal.errors import Conflict
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, Fix
from flyte_temporal.spec.identifiers import NodePath
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.policies import Resources

PAUSED_WITH_PARENT = "paused_with_parent"
"""Signal to an execution: the one that started it was paused, or goes on. Argument `Pause`."""

FIXED_WITH_PARENT = "fixed_with_parent"
"""Signal to a shard of a map: code was brought into the run that holds the map. Argument `Fix`."""

CHILD_PAUSED = "child_paused"
"""Signal to an execution: one that it has started waits to be repaired, or does not any more. Argument `ChildPause`."""


class Pause(Document):
    """Who wanted that nothing new starts, as the argument of `pause` and `resume` and for the record.

    Args:
        by: Who.
        reason: Why.
        at: When, UTC; set by the run.
        by_parent: Whether the execution that started this one was paused.
        ends: Whether the pause is over.
    """

    kind: Literal["pause"] = "pause"
    by: str = ""
    reason: str = ""
    at: datetime | None = None
    by_parent: bool = False
    ends: bool = False


class ChildPause(Document):
    """Argument of the signal `child_paused`.

    Args:
        node: Path of the node that started it.
        child: Its name.
        paused: Whether it waits.
    """

    node: NodePath
    child: str
    paused: bool


class NodeRetry(Document):
    """Argument of the update `retry`: try held nodes once more, with a fresh budget.

    Args:
        node: Path of a held node, or its name, or the path or name of one that holds others: all of those; empty = all.
        fix: The code to do it with; None = that of before.
        only_these: Whether the code is for these nodes alone, not for all attempts that start from then on.
        resources: What the next attempts get instead of what was declared.
        by: Who asks.
    """

    kind: Literal["retry"] = "retry"
    node: str = ""
    fix: Fix | None = None
    only_these: bool = False
    resources: Resources | None = None
    by: str = ""


class NodeSkip(Document):
    """Argument of the update `skip`: end one held node with these outputs.

    Args:
        node: Its path, or its name if no other held node has it.
        outputs: A value for each of its outputs, checked against their types.
        by: Who asks.
    """

    kind: Literal["skip"] = "skip"
    node: str
    outputs: dict[str, LiteralValue] = {}
    by: str = ""

    def require_named(self, names: tuple[str, str]) -> None:
        """Refuse a skip of what holds a node: the outputs are meant for that, and the node gives others.

        Args:
            names: Path and name of the held node that was found.

        Raises:
            Conflict: If neither is what this names.
        """
        path, name = names
        if self.node not in names:
            raise Conflict(
                f"The node {self.node} is not held itself: what failed in it is {path} ({name}). Skip that one, with its "
                "own outputs."
            )


class GiveUp(Document):
    """Argument of the update `fail`: let all held nodes fail for good.

    Args:
        by: Who asks.
        reason: Why.
    """

    kind: Literal["fail"] = "fail"
    by: str = ""
    reason: str = ""


Wish = Annotated[NodeRetry | NodeSkip | GiveUp | Pause, Field(discriminator="kind")]
"""What can be asked of a run."""


def update_of(wish: NodeRetry | NodeSkip | GiveUp | Pause) -> str:
    """Return the name of the update that carries a wish."""
    return "resume" if isinstance(wish, Pause) and wish.ends else wish.kind


class HeldNode(Document):
    """A node that would have failed for good.

    Args:
        node: Its path.
        name: Its name.
        task: Name of its task, if it runs one.
        attempts: Its attempts so far.
        error: Why it failed.
        outputs: What it is to give; the inputs are left out.
    """

    node: NodePath
    name: str
    task: str = ""
    attempts: int = 0
    error: ErrorDocument | None = None
    outputs: Interface = Interface()


class RepairState(Document):
    """What waits for somebody in a run.

    Args:
        phase: RUNNING or PAUSED.
        pause: Who paused it, if somebody did.
        held: Nodes that wait to be repaired.
        children: Executions that it has started and that wait to be repaired.
        touched: Paths of the nodes that the request changed.
        mended: Tasks that run with the new code, if the request brought some.
        kept: Tasks that go on with the code of before, and why.
    """

    phase: ExecutionPhase
    pause: Pause | None = None
    held: tuple[HeldNode, ...] = ()
    children: tuple[str, ...] = ()
    touched: tuple[NodePath, ...] = ()
    mended: tuple[str, ...] = ()
    kept: dict[str, str] = {}
