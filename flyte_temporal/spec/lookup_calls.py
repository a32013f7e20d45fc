"""What the interpreter asks before it has something computed, and has remembered afterwards: names and documents.

Apart from `calls`, which holds all others, because together they are too long to read.
"""

from __future__ import annotations

from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.cache import CacheOrder
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import GateReply, NodeRef, Recovery
from flyte_temporal.spec.identifiers import ExecutionId, NodePath
from flyte_temporal.spec.literals import LiteralValue

LOOKUP = "flyte_temporal.lookup"
"""Local activity: look many nodes up in the catalog. Request `LookupRequest`, response `LookupResult`."""


STORE = "flyte_temporal.store"
"""Local activity: remember outputs of nodes that no attempt gives. Request `StoreRequest`, response `StoreResult`."""


CACHE_ENDED = "cache_ended"
"""Signal to runs that wait for what another one computes: it has ended, well or badly. Argument: list of keys."""


class Recalled(Document):
    """What a node of an earlier execution gave, if that stands for what it would give now.

    Args:
        done: Whether it does.
        outputs: Its outputs.
        spec: Digest of the closure that it gave, if it is a dynamic task.
        closure: That closure.
        reply: The answer that it got, if it is a gate.
        source: The node that produced it.
        basis: What it rests on.
        reason: Why it does not stand, in words.
        settled: Whether the node was tried there, so that nothing older stands either.
        checkpoint_from: As in `AttemptRequest`, for an attempt that is needed.
    """

    done: bool = False
    outputs: dict[str, LiteralValue] = {}
    spec: str = ""
    closure: Closure | None = None
    reply: GateReply | None = None
    source: NodeRef | None = None
    basis: Basis | None = None
    reason: str = ""
    settled: bool = False
    checkpoint_from: tuple[str, ...] = ()

    def further_back(self, older: Recalled) -> Recalled:
        """Return what is known once an older execution was asked, too, and had nothing to copy."""
        folders = (*self.checkpoint_from, *older.checkpoint_from)
        return self.model_copy(update={"settled": self.settled or older.settled, "checkpoint_from": folders})


class LookupItem(Document):
    """A node to look up.

    Args:
        node: Its path.
        key: Its key; empty if the cache has nothing to do with it.
        serialize: Whether it must not be computed while another one computes the same.
        basis: What its result would rest on, if the execution that is recovered may have one that stands for it.
    """

    node: NodePath
    key: str = ""
    serialize: bool = False
    basis: Basis | None = None


class LookupRequest(Document):
    """Look nodes up; a node that must not be computed twice at once gets a lease, or is told who has it.

    Args:
        execution: The execution.
        items: The nodes.
        lease_s: How long a lease holds unless it is extended.
        recover: The execution that is recovered; asked before the catalog.
    """

    execution: ExecutionId
    items: tuple[LookupItem, ...]
    lease_s: float = 30.0
    recover: Recovery | None = None


class Hit(Document):
    """Remembered outputs of a node, and which node gave them."""

    outputs: dict[str, LiteralValue] = {}
    source: NodeRef


class LookupAnswer(Document):
    """What is known about a node; nothing set = it is to be computed.

    Args:
        hit: Its outputs.
        token: Of the lease that it got, if it asked for one.
        holder: The node that computes the same now: to be asked again.
        again_s: When the holder's lease ends if it is not extended, in seconds from now.
        recalled: What the execution that is recovered has of it, if that was asked.
    """

    hit: Hit | None = None
    token: int = 0
    holder: NodeRef | None = None
    again_s: float = 0.0
    recalled: Recalled | None = None


class LookupResult(Document):
    """The answers, in the order of the request's items."""

    answers: tuple[LookupAnswer, ...] = ()


class StoreItem(Document):
    """Outputs of a node to remember.

    Args:
        node: Its path.
        spec: Digest of the closure that holds its task.
        attempt: Number of its last attempt.
        attempt_key: Folder of that in the blob store.
        memo: By what they are remembered.
        outputs: The outputs.
    """

    node: NodePath
    spec: str
    attempt: int = 0
    attempt_key: str = ""
    memo: CacheOrder
    outputs: dict[str, LiteralValue] = {}


class StoreRequest(Document):
    """Remember outputs of nodes; idempotent."""

    execution: ExecutionId
    items: tuple[StoreItem, ...]


class StoreResult(Document):
    """Whether each was stored, in the order of the request's items."""

    stored: tuple[bool, ...] = ()
