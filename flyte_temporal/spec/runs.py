"""A run of the interpreter: what it is given, the limits that it keeps, and what it returns.

Apart from `execution`, whose words are everybody's: these are between those who start runs and the interpreter.
"""

from __future__ import annotations

from typing import Literal

from flyte_temporal.spec.document import Document, Stored, digest
from flyte_temporal.spec.execution import ErrorDocument, ExecutionRequest, NodeRef
from flyte_temporal.spec.identifiers import NodePath
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import Node


class RunLimits(Document):
    """Settings that the interpreter must know; recorded in its input so that a replay sees the same.

    Args:
        window: New commands per activation at most (a slower activation wedges the worker: temporal.md §0.1).
        pending: Activities pending at once at most (2,000 is Temporal's hard limit).
        nodes: Nodes and items of maps that one run holds at most, those of dynamic tasks included; ended ones are
            forgotten when the run continues as new, and the items of a map in shards are in other runs.
        shard: A map of more items than this is run in shards of at most so many; 0 = never.
        history_events: Length of a history from which on the run continues as new; 0 = when Temporal suggests it.
        system_retries: Attempts of a node that the platform may lose before it fails.
        lease_s: How long a node keeps the right to compute what others wait for, unless its attempt extends it; that
            happens three times in this time.
        interruptible_failures: Attempts of an interruptible node that the platform may lose before the next ones run on
            machines that are not taken away.
        heartbeat_timeout_s: After how long without a heartbeat an attempt's activity is given to another worker.
        run_timeout_s: Longest time of one attempt when the task sets none.
        inline_bytes: Largest value kept inline.
        batches: Whether several short attempts may travel in one activity; `always`: what is not measured is short.
        slots: Attempts that can be at work at once in warm processes; batches leave none of them without work.
    """

    window: int = 100
    pending: int = 500
    nodes: int = 20_000
    shard: int = 1_000
    history_events: int = 0
    system_retries: int = 3
    lease_s: float = 30.0
    interruptible_failures: int = 2
    heartbeat_timeout_s: float = 30.0
    run_timeout_s: float = 7 * 24 * 3600.0
    inline_bytes: int = 64 * 1024
    batches: Literal["off", "on", "always"] = "off"
    slots: int = 2


SHARDED_ORDER = 1_000_000_000
"""Position in listings of the first item of a map in shards: what is from here on is left out unless it is asked for."""


INTERPRETER = 3
"""Version of the interpreter's commands. Raised with every change after which a history of before would not replay; the
interpreter goes on doing what a run's own version did. 2: failed and skipped tasks are recorded when they end, not
only with the end of the run. 3: caches, repairs, batches and continue-as-new."""


WORK = "FtWork"
"""Name under which a shard's memo in Temporal says from its start on what it runs (`Shard.work`)."""


class Shard(Document):
    """The part of a map that a run of its own executes, in the name of the execution that the map belongs to.

    Args:
        spec: Digest of the closure that the node belongs to.
        node: The array node.
        path: Its path in the execution.
        inputs: What it is given; of the lists only this part.
        offset: Position of the first item.
        count: Number of items.
        total: Number of items of the whole map.
        allowed: How many items of the whole map may fail.
        concurrency: Items at once at most; 0 = no limit of its own.
        parallel: Attempts and children at once at most; 0 = as the limits say.
    """

    spec: str
    node: Node
    path: NodePath
    inputs: dict[str, LiteralValue]
    offset: int
    count: int
    total: int
    allowed: int = 0
    concurrency: int = 0
    parallel: int = 0

    def work(self) -> str:
        """Return a digest of what is to be done, however many at once."""
        return digest(self.model_copy(update={"concurrency": 0, "parallel": 0}))


class RunInput(Stored):
    """First argument of the interpreter; the closure is the second, so that equal closures are stored once.

    Args:
        request: What is asked for.
        limits: Settings that the run must know.
        interpreter: Version of the interpreter by which the run is executed to its end.
        shard: The part of a map that is to be run instead of the root of the closure.
    """

    request: ExecutionRequest
    limits: RunLimits = RunLimits()
    interpreter: int = 1
    shard: Shard | None = None


class RunOutput(Document):
    """What the interpreter returns.

    Args:
        outputs: The outputs.
        shard: For a shard, how its items ended.
    """

    outputs: dict[str, LiteralValue] = {}
    shard: ShardEnd | None = None


class ShardEnd(Document):
    """How the items of a shard ended.

    Args:
        failed: How many have failed for good.
        errors: The first of their failures; all are in the records of the items.
        stopped: Whether it was told to stop before all had run.
        copied: Where the first item was copied from, if it recovers an earlier execution and none was run.
        work: What it has run (`Shard.work`).
    """

    failed: int = 0
    errors: tuple[ErrorDocument, ...] = ()
    stopped: bool = False
    copied: NodeRef | None = None
    work: str = ""


RunOutput.model_rebuild()
