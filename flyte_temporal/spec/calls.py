"""Names of the activities that the interpreter asks for, with one request and one response model each.

The interpreter knows activities only by these; a unit test checks that each has a registered activity of that
signature. An attempt's activity has the task's own name as its type (it is served by one dynamic activity), so that
histories read in the user's words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, JsonValue

from flyte_temporal.errors import Conflict
from flyte_temporal.spec.bindings import Binding
from flyte_temporal.spec.cache import CacheOrder
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    CacheStatus,
    Environment,
    ErrorDocument,
    ExecutionPhase,
    FailedAttempt,
    GateReply,
    NodePhase,
    NodeRecord,
    Repair,
)
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId, NodePath
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.policies import Overrides, Resources, ResourceValues
from flyte_temporal.spec.types import LiteralType

RECORD = "flyte_temporal.record"
"""Local activity: write records of an execution and its nodes. Request `RecordRequest`, no response."""

STOP = "flyte_temporal.stop"
"""Activity: see that attempts are over whose own activities ended without saying so. Request `StopRequest`."""

LOAD = "flyte_temporal.load"
"""Local activity: read a closure. Request `LoadRequest`, response `Closure`."""

READ = "flyte_temporal.read"
"""Local activity: read values that travel by reference. Request `ReadRequest`, response `ReadResult`."""

SPLIT = "flyte_temporal.split"
"""Local activity: cut lists that travel by reference into parts. Request `SplitRequest`, response `SplitResult`."""

JOIN = "flyte_temporal.join"
"""Local activity: store the lists that a shard gives. Request `JoinRequest`, response `JoinResult`."""

SHARD_FAILED = "shard_failed"
"""Signal to a run: items of one of its shards have failed. Argument `ShardFailed`."""

SHARD_STOP = "shard_stop"
"""Signal to a shard: let nothing new start and stop what runs, because the map has failed. No argument."""


class AttemptRequest(Document):
    """Run one attempt and return when it has ended; the activity type is the task's name.

    Args:
        attempt: Which attempt.
        spec: Digest of the closure that holds the task.
        task: Name of the task.
        inputs: Its inputs.
        environment: Where it runs.
        overrides: The node's own settings.
        order: Position of the node in listings.
        name: Name of the node for people.
        inline_bytes: Outputs larger than this travel by reference.
        created_at: When the execution started, UTC.
        first_started_at: When the node's first attempt was asked for, UTC.
        memo: By what its outputs are to be remembered, if they are.
        cache: What the cache has done for the node so far.
        earlier: Tokens of the node's earlier attempts, oldest first.
        checkpoint_from: Folders of the node's checkpoints in executions that this one recovers, the nearest first.
        again: Whether an earlier run of the execution has asked for this very attempt: it may be at work, or over.
        asked_at: When this one was, UTC.
        memory: Memory that it gets, request and limit, instead of what the task says; empty = as the task says.
        interruptible: Whether it may run on a machine that can be taken away.
        failed: Earlier attempts, for the node's record.
        repairs: What was done by hand, likewise.
    """

    attempt: AttemptId
    spec: str
    task: str
    inputs: dict[str, LiteralValue] = {}
    environment: Environment = Environment()
    overrides: Overrides | None = None
    order: int = 0
    name: str = ""
    inline_bytes: int = 64 * 1024
    created_at: datetime | None = None
    first_started_at: datetime | None = None
    memo: CacheOrder | None = None
    cache: CacheStatus = CacheStatus.DISABLED
    earlier: tuple[str, ...] = ()
    checkpoint_from: tuple[str, ...] = ()
    again: bool = False
    asked_at: datetime | None = None
    memory: str = ""
    interruptible: bool = False
    failed: tuple[FailedAttempt, ...] = ()
    repairs: tuple[Repair, ...] = ()

    def changes(self) -> Overrides:
        """Return all that this attempt sets anew of its task's policy."""
        given = self.overrides or Overrides()
        if not self.memory:
            return given
        side = ResourceValues(mem=self.memory)
        return given.then(Overrides(resources=Resources(requests=side, limits=side)))


class AttemptResult(Document):
    """A successful attempt. A failed one fails the activity, with the `ErrorDocument` as the failure's detail.

    Args:
        outputs: Its outputs; empty if `spec` is set.
        spec: Digest of the closure to run for its outputs (dynamic tasks).
        closure: That closure.
        started_at: When user code was about to be loaded, UTC.
        finished_at: When the manifest was written, UTC.
        peak_rss_bytes: Largest resident memory of its process.
        put_failed: Whether its outputs were to be remembered and could not be.
        lease_lost: Whether it was not started, because another node has taken over the lease to compute the same.
        checkpoint: The last checkpoint that it saved, if it saved one.
    """

    outputs: dict[str, LiteralValue] = {}
    spec: str = ""
    closure: Closure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    peak_rss_bytes: int = 0
    put_failed: bool = False
    lease_lost: bool = False
    checkpoint: SavedCheckpoint | None = None


class StopRequest(Document):
    """Stop attempts that may still be at work, and keep those from starting that have not begun.

    Args:
        attempts: Which.
        launcher: Name of their launcher.
    """

    attempts: tuple[AttemptId, ...]
    launcher: str


class Member(Document):
    """One attempt of a batch; what it does not say, the batch says for all. Fields as of `AttemptRequest`.

    Args:
        node: Path of its node.
        number: Number of the attempt.
        token: Its token.
        bindings: Inputs that are bound to outputs of members before it.
    """

    node: NodePath
    number: int
    token: str
    task: str
    inputs: dict[str, LiteralValue] = {}
    bindings: dict[str, Binding] = {}
    overrides: Overrides | None = None
    order: int = 0
    name: str = ""
    first_started_at: datetime | None = None
    memo: CacheOrder | None = None
    cache: CacheStatus = CacheStatus.DISABLED
    checkpoint_from: tuple[str, ...] = ()
    asked_at: datetime | None = None
    interruptible: bool = False


class BatchRequest(Document):
    """Run several attempts, one after the other in one process, and return when all have ended, or when it is time to.

    Idempotent member by member: what is done is read, what runs is found again, the rest is started. The activity type
    is the name of the first member's task.

    Args:
        execution: The execution.
        spec: Digest of the closure that holds the tasks.
        members: The attempts, in the order in which they run.
        go_on: Whether the rest still runs when one has failed; otherwise the batch returns at once.
        longest_s: A member that runs longer is handed back, and the rest with it; seconds.
        again: Whether a member was asked for before, so that it may run or be done already.
        environment: Where they run.
        inline_bytes: As of `AttemptRequest`.
        created_at: As of `AttemptRequest`.
    """

    execution: ExecutionId
    spec: str
    members: tuple[Member, ...]
    go_on: bool = False
    longest_s: float = 1.0
    again: bool = False
    environment: Environment = Environment()
    inline_bytes: int = 64 * 1024
    created_at: datetime | None = None


Asked = Annotated[AttemptRequest | BatchRequest, Field(union_mode="left_to_right")]
"""What the activity of a task is asked for."""


class MemberResult(Document):
    """What became of a member of a batch; nothing is set if it has not begun, or was handed back.

    Args:
        outputs: Its outputs, if it succeeded.
        error: Its failure, if it failed.
        stopped: Whether it was at work, and stopped because the batch was to end.
        began: Whether it is at work still, or nothing proves that it is not; asked for again, it is found again.
        seconds: How long it ran.
        put_failed: As of `AttemptResult`.
        checkpoint: As of `AttemptResult`.
    """

    outputs: dict[str, LiteralValue] | None = None
    error: ErrorDocument | None = None
    stopped: bool = False
    began: bool = False
    seconds: float = 0.0
    put_failed: bool = False
    checkpoint: SavedCheckpoint | None = None


class BatchResult(Document):
    """What became of the members of a batch, in their order."""

    members: tuple[MemberResult, ...]


class Wish(Document):
    """A value to read, and the type by which its reader knows it."""

    literal: LiteralValue
    type: LiteralType


class ReadRequest(Document):
    """Read values that the interpreter must know: operands of conditions, lengths of lists.

    Args:
        values: Values of which the JSON is wanted; scalars.
        lengths: Lists of which the length is wanted.
    """

    values: dict[str, Wish] = {}
    lengths: dict[str, Wish] = {}


class ReadResult(Document):
    """What was read, by the names of the request."""

    values: dict[str, JsonValue] = {}
    lengths: dict[str, int] = {}


class SplitRequest(Document):
    """Cut lists that travel by reference into parts; idempotent, because what is stored is addressed by its content.

    Args:
        lists: The lists.
        size: Elements of a part; the last one has what is left.
        alone: Whether to give the elements themselves instead of lists of them; `size` is 1 then.
        inline_bytes: Parts larger than this travel by reference.
    """

    lists: dict[str, Wish]
    size: int
    alone: bool = False
    inline_bytes: int


class SplitResult(Document):
    """The parts of each list, in order."""

    parts: dict[str, tuple[LiteralValue, ...]]


class JoinRequest(Document):
    """Store lists, whose elements travel inline, as one value each; idempotent as `SplitRequest`.

    Args:
        lists: The lists.
        inline_bytes: A list larger than this travels by reference.
    """

    lists: dict[str, Wish]
    inline_bytes: int


class JoinResult(Document):
    """The same lists, by reference where they are large."""

    lists: dict[str, LiteralValue]


class ShardFailed(Document):
    """Tell a run how many items of one of its shards have failed so far.

    Args:
        path: Path of the array node.
        offset: Position of the first item of the shard.
        failed: How many items of the shard have failed for good.
    """

    path: NodePath
    offset: int
    failed: int


class ShardState(Document):
    """A shard that a run has under way, as the query `shards` gives it.

    Args:
        workflow: Id of the workflow that runs it.
        path: Path of the array node.
        offset: Position of its first item.
        count: Number of its items.
    """

    workflow: str
    path: NodePath
    offset: int
    count: int


class LoadRequest(Document):
    """Read a stored closure."""

    spec: str


class GateAnswer(Document):
    """Argument of the update `answer`: what somebody says to a gate.

    Args:
        gate: Its name, or the path of its node.
        reply: The answer; a value has been checked against the gate's type.
        unseen: Whether the gate was not there when its type was to be looked up, so that nothing was checked: it is refused.
    """

    gate: str
    reply: GateReply
    unseen: bool = False

    def require_seen(self) -> None:
        """Refuse an answer to a gate that has come since its type was looked up.

        Raises:
            Conflict: If it is one.
        """
        if self.unseen:
            raise Conflict(
                f"The gate {self.gate!r} has come only now, and the answer was not checked. Give it again."
            )


class GateState(Document):
    """A gate of a run, as the query `gates` and the update `answer` give it.

    Args:
        node: Path of its node.
        name: Its name.
        gate: `input` or `approve`.
        type: Type of the value that it waits for, or lets pass.
        phase: State of its node.
        reply: The answer, if it has one.
    """

    node: NodePath
    name: str
    gate: str
    type: LiteralType | None = None
    phase: NodePhase = NodePhase.QUEUED
    reply: GateReply | None = None


class NodeAbort(Document):
    """Argument of the update `abort_node`: have one node fail for good.

    Args:
        node: Its path, or its name if no other node has it.
        reason: Why.
        by: Who asks.
    """

    node: str
    reason: str = ""
    by: str = ""


class RecordRequest(Document):
    """Records to write; idempotent.

    Args:
        execution: The execution.
        nodes: Final or current states of nodes.
        phase: New phase of the execution, if it changed.
        outputs: Its outputs, when it succeeded.
        error: Its error, when it failed.
        reason: Why it was aborted.
        at: Time of the change by the workflow's clock, UTC.
        run: Temporal's id of the run that says so; empty if it is not known. Filled in by whoever writes it.
    """

    execution: ExecutionId
    nodes: tuple[NodeRecord, ...] = ()
    phase: ExecutionPhase | None = None
    outputs: dict[str, LiteralValue] = {}
    error: ErrorDocument | None = None
    reason: str = ""
    at: datetime | None = None
    run: str = ""
