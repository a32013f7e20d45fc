"""What the interpreter asks about child executions beside starting them: names and documents.

Apart from `calls`, which holds most others, because together they are too long to read.
"""

from __future__ import annotations

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase, ExecutionRequest
from flyte_temporal.spec.identifiers import EntityName, ExecutionId, ExecutionName, NodePath
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.lookup_calls import Recalled
from flyte_temporal.spec.runs import ShardEnd

OPEN_CHILD = "flyte_temporal.open_child"
"""Local activity: record an execution that a node is about to start. Request `ChildRequest`, response `ChildOpened`."""

WATCH_CHILD = "flyte_temporal.watch_child"
"""Activity: wait until an execution has ended. Request `ChildWatch`, response `ChildEnded`."""


class ChildRequest(Document):
    """Record the execution of a launch plan that a node is about to start; idempotent.

    Args:
        parent: The request of the execution that the node belongs to.
        node: Path of the node.
        name: Name for the new execution.
        spec: Digest of the closure that holds the launch plan.
        launch_plan: Its name.
        inputs: What the node gives it.
        anew: Whether nothing of an earlier execution is taken over, though the parent recovers one.
    """

    parent: ExecutionRequest
    node: NodePath
    name: ExecutionName
    spec: str
    launch_plan: EntityName
    inputs: dict[str, LiteralValue] = {}
    anew: bool = False


class ChildOpened(Document):
    """The request by which the execution is to be started.

    Args:
        request: The request; of the earlier execution, if that stands for this one.
        recalled: What the earlier execution gave, if that stands; nothing is to be started then. Else why it does not.
        other: Whether the name belongs to an execution that the same node has started for something else: it was reset since.
    """

    request: ExecutionRequest
    recalled: Recalled | None = None
    other: bool = False


class ChildWatch(Document):
    """Wait until an execution has ended.

    Args:
        execution: The execution.
        found: Whether it was met under a name that was to be given to a new one: then it matters whether it goes on.
        work: For a shard that was met, what it is to run (`Shard.work`): one that runs something else is asked to stop.
    """

    execution: ExecutionId
    found: bool = False
    work: str = ""


class ChildEnded(Document):
    """How an execution has ended.

    Args:
        phase: A final phase.
        outputs: Its outputs, if it succeeded.
        error: Its error, if it failed.
        shard: For a shard of a map, how its items ended.
        before: Whether one that was found had ended before it was watched.
        other: Whether it is a shard that ran something else than was asked for.
    """

    phase: ExecutionPhase
    outputs: dict[str, LiteralValue] = {}
    error: ErrorDocument | None = None
    shard: ShardEnd | None = None
    before: bool = False
    other: bool = False
