"""Runs: what is asked for, the states that executions and nodes pass through, and how they end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import Document, digest
from flyte_temporal.spec.entities import Root
from flyte_temporal.spec.identifiers import (
    EntityName,
    ExecutionId,
    ExecutionName,
    ImageName,
    NodePath,
    VersionName,
)
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.policies import CacheSettings


class ExecutionPhase(StrEnum):
    """States of an execution."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"

    @property
    def terminal(self) -> bool:
        """Return whether nothing follows this phase."""
        return self in {ExecutionPhase.SUCCEEDED, ExecutionPhase.FAILED, ExecutionPhase.ABORTED}


class NodePhase(StrEnum):
    """States of a node."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    SKIPPED = "SKIPPED"
    RECOVERED = "RECOVERED"

    @property
    def terminal(self) -> bool:
        """Return whether nothing follows this phase."""
        return self not in {NodePhase.QUEUED, NodePhase.RUNNING, NodePhase.PAUSED}


class CacheStatus(StrEnum):
    """What the cache did for a node.

    DISABLED: it is not to be cached. MISS: it was looked up, computed, and stored if it succeeded. HIT: its outputs were
    remembered. PUT_FAILED: they were computed but could not be stored. SKIPPED: it was not looked up, as was asked for
    (`--overwrite-cache`), but stored anew.
    """

    DISABLED = "DISABLED"
    MISS = "MISS"
    HIT = "HIT"
    PUT_FAILED = "PUT_FAILED"
    SKIPPED = "SKIPPED"


class BundleRef(Document):
    """A code bundle in the blob store: an archive of the source root, addressed by its digest."""

    sha256: str
    key: str
    size: int


class Environment(Document):
    """Where attempts of an execution run, unless a task names an image.

    Args:
        launcher: Name of the launcher, such as `pool` or `process`.
        interpreter: Python of local attempts: the one that made the request, not the worker's. Empty for images.
        image: Container image of tasks that name none; empty for local attempts.
        bundle: The code.
        env: Environment variables.
        cluster: Name of the cluster among the settings, for launchers that have several; empty = the default one.
        images: Images by the names that tasks use in templates (`{{.image.NAME.fqn}}`).
    """

    launcher: str = "pool"
    interpreter: str = ""
    image: ImageName = ""
    bundle: BundleRef | None = None
    env: dict[str, str] = {}
    cluster: str = ""
    images: dict[str, ImageName] = {}

    def where(self, other: Environment) -> Environment:
        """Return this code and Python where those of another execution ran: its launcher, cluster, images and variables."""
        kept = ("launcher", "cluster", "env", "image", "images")
        return self.model_copy(update={name: getattr(other, name) for name in kept})


class ErrorKind(StrEnum):
    """Whose fault a failure is."""

    USER = "user"
    SYSTEM = "system"


class Verdict(StrEnum):
    """What an attempt's end means for its node."""

    SUCCESS = "SUCCESS"
    USER = "USER"
    """Uses the task's `retries`."""
    USER_FATAL = "USER_FATAL"
    """The user's, and another attempt cannot help."""
    SYSTEM = "SYSTEM"
    """Uses the platform's own budget."""
    WAIT = "WAIT"
    """Nothing has been decided; no attempt is used up."""
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    """As USER, by its own code."""


class ErrorDocument(Document):
    """A failure, as it is stored, shown and put into Temporal.

    Args:
        kind: Whose fault.
        code: Stable code, such as `UserCodeError` or `OutOfMemory`.
        message: What happened, in words; at most 4 KiB (mutable state of Temporal keeps no more).
        node: Path of the node that failed; empty if the execution as a whole did.
        recoverable: Whether another attempt may help.
        exception: Type name of the exception that user code raised.
        exceptions: Qualified names of its class and of all that it is derived from, for `RetryPolicy.on`.
        traceback: Frames of the user's own code, cut to 16 KiB.
        full_traceback: Key of the whole traceback in the blob store; empty if `traceback` is all.
        others: Later failures of the same execution, in the order in which they happened; theirs are empty.
    """

    kind: ErrorKind
    code: str
    message: str
    node: str = ""
    recoverable: bool = True
    exception: str = ""
    exceptions: tuple[str, ...] = ()
    traceback: str = ""
    full_traceback: str = ""
    others: tuple[ErrorDocument, ...] = ()


class ParentRef(Document):
    """The node that started an execution as a part of its own.

    Args:
        execution: Name of the execution that the node belongs to; of the same project and domain.
        node: Path of the node.
    """

    execution: ExecutionName
    node: NodePath


class NodeRef(Document):
    """A node of an execution of the same project and domain: where a value comes from, or who computes it.

    Args:
        execution: Name of the execution.
        node: Path of the node.
        attempt: Number of the attempt that gave the value; 0 if that does not matter.
        attempt_key: Folder of that attempt in the blob store: its logs and deck are there.
    """

    execution: ExecutionName
    node: NodePath
    attempt: int = 0
    attempt_key: str = ""


class MendedTask(Document):
    """A task whose attempts run with other code than the execution began with.

    Args:
        name: Its name in that code.
        interface: Digest of its interface, which is that of before.
        cache: Its cache settings there: the version of an automatic one follows the code.
    """

    name: EntityName
    interface: str
    cache: CacheSettings = CacheSettings()


class Fix(Document):
    """Code that was brought into a running execution. Its DAG stays as it is.

    Args:
        spec: Digest of the closure that holds its tasks.
        environment: Where it runs.
        tasks: What stands for which task of the execution.
        only: Paths of the nodes that it is for; empty = for all attempts that start from then on.
        by: Who brought it.
        at: When, UTC.
    """

    spec: str
    environment: Environment
    tasks: dict[EntityName, MendedTask]
    only: tuple[NodePath, ...] = ()
    by: str = ""
    at: datetime | None = None


class Repair(Document):
    """What somebody did to a node that was held, for its record.

    Args:
        kind: `retry`, `skip` or `fail`.
        by: Who.
        at: When, UTC.
        note: With what, in words.
        spec: Digest of the closure that the fixed code came with; empty = the code of before.
    """

    kind: Literal["retry", "skip", "fail"]
    by: str = ""
    at: datetime | None = None
    note: str = ""
    spec: str = ""


class Recovery(Document):
    """An earlier execution of which results are taken over.

    Args:
        execution: Its name; of the same project and domain.
        trust_code: Whether results of code that has changed since are taken over too.
        rerun: Paths of nodes that are run again, with all that is in them and after them, though nothing has changed.
        module: Name of the module that the root entity was in then and, behind it, of the one that it is in now, if the code
            has moved to another file; else empty. Tasks of the one are those of the other.
    """

    execution: ExecutionName
    trust_code: bool = False
    rerun: tuple[NodePath, ...] = ()
    module: tuple[str, ...] = ()

    def moved(self, basis: Basis | None) -> Basis | None:
        """Return a basis of then as it reads in the module of now."""
        if basis is None or not self.module:
            return basis
        return basis.model_copy(update={"what": self.renamed(basis.what)})

    def of_child(self, execution: str) -> Recovery:
        """Return how a child recovers the one of before: as its parent does, from its own first nodes on."""
        return self.model_copy(update={"execution": execution, "rerun": ()})

    def asks_for(self, path: str) -> bool:
        """Return whether a node is to be run again by wish: it is one of those named, or inside of one."""
        return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in self.rerun)

    def asks_within(self, path: str) -> bool:
        """Return whether something inside of a node is to be run again by wish."""
        return any(name.startswith((f"{path}.", f"{path}[")) for name in self.rerun)

    def renamed(self, name: str) -> str:
        """Return the name that an entity of then has now."""
        if not self.module or not name.startswith(f"{self.module[0]}."):
            return name
        return self.module[1] + name[len(self.module[0]) :]


class ExecutionRequest(Document):
    """A request to start an execution, complete: running it needs nothing of the requester's machine but storage.

    Args:
        id: The execution.
        root: The entity.
        version: Its version.
        spec: Digest of its closure.
        inputs: Values for its inputs, defaults already filled in.
        environment: Where it runs.
        requested_by: Who asked.
        labels: For people and search.
        overwrite_cache: Recompute and store anew.
        no_cache: Neither look up nor store anything, whatever the tasks say.
        max_parallelism: Largest number of nodes at work at once; 0 = no limit of its own.
        parent: The node that started it, if one did.
        recover: What of an earlier execution it takes over, if it recovers one.
        deadline_s: Seconds from its start after which it fails; 0 = none but that of its workflow.
        pause_on_failure: Whether nodes that would fail for good are held instead, for somebody to repair them.
        fixes: Code that was brought into the execution that started it.
    """

    id: ExecutionId
    root: Root
    version: VersionName
    spec: str
    inputs: dict[str, LiteralValue] = {}
    environment: Environment = Environment()
    requested_by: str = ""
    labels: dict[str, str] = {}
    overwrite_cache: bool = False
    no_cache: bool = False
    max_parallelism: int = 0
    parent: ParentRef | None = None
    recover: Recovery | None = None
    deadline_s: float = 0.0
    pause_on_failure: bool = False
    fixes: tuple[Fix, ...] = ()

    def fingerprint(self) -> str:
        """Return the digest by which a repeated request is told from another one under the same id.

        Who asked is not part of it: a retry by a colleague is the same request.
        """
        return digest(self.model_copy(update={"requested_by": ""}))


class GateReply(Document):
    """The answer that a gate got.

    Args:
        approved: Whether it was approved; None for a gate that waits for a value.
        value: The value, as JSON of the gate's type; None unless the gate waits for one.
        by: Who answered.
        at: When, UTC.
    """

    approved: bool | None = None
    value: JsonValue = None
    by: str = ""
    at: datetime | None = None


class FailedAttempt(Document):
    """An attempt of a node that did not succeed.

    Args:
        number: Its number.
        verdict: How it ended.
        code: Code of its error.
        message: The beginning of its message.
        attempt_key: Its folder in the blob store.
        asked_at: When it was asked for, UTC.
        finished_at: When its end was known, UTC.
        memory: Its memory limit, if an earlier attempt had it raised.
        interruptible: Whether it ran on a machine that can be taken away.
        next: What was decided then.
    """

    number: int
    verdict: Verdict
    code: str
    message: str = ""
    attempt_key: str = ""
    asked_at: datetime | None = None
    finished_at: datetime | None = None
    memory: str = ""
    interruptible: bool = False
    next: str = ""


class NodeRecord(Document):
    """State of a node as stored and shown.

    Args:
        id: Path of the node.
        name: Name for people.
        kind: `task`, `dynamic`, `workflow`, `launch_plan`, `branch`, `gate`, `array`.
        phase: Its state.
        attempts: Number of attempts so far.
        cache: What the cache did.
        started_at: When its first attempt was asked for, UTC.
        finished_at: When it ended, UTC.
        order: Position among the nodes of its execution, for listing.
        task: Name of the task, for task nodes.
        attempt_key: Folder of the last attempt in the blob store.
        error: Why it failed.
        reason: Why it waits, in words (`waiting for a free process`).
        child: Name of the execution that it started, for launch plans.
        spec: Digest of the closure that it gave, for dynamic tasks.
        reply: The answer that it got, for gates.
        source: The node whose outputs it has, if they were not computed here.
        checkpoint: The last checkpoint that one of its attempts saved.
        basis: What its result rests on. For tasks their manifests say so for sure.
        anew: Why it was not copied from the execution that this one recovers, in words.
        items: Number of its items, for maps in shards; listings of the whole execution leave the items out.
        item_phases: How many of these items are in which phase; filled in by listings, never stored.
        failed: Its attempts that failed, the last ones of them.
        repairs: What was done by hand while it was held.
    """

    id: NodePath
    name: str
    kind: str
    phase: NodePhase
    attempts: int = 0
    cache: CacheStatus = CacheStatus.DISABLED
    started_at: datetime | None = None
    finished_at: datetime | None = None
    order: int = 0
    task: str = ""
    attempt_key: str = ""
    error: ErrorDocument | None = None
    reason: str = ""
    child: str = ""
    spec: str = ""
    reply: GateReply | None = None
    source: NodeRef | None = None
    checkpoint: SavedCheckpoint | None = None
    basis: Basis | None = None
    anew: str = ""
    items: int = 0
    item_phases: dict[NodePhase, int] = {}
    failed: tuple[FailedAttempt, ...] = ()
    repairs: tuple[Repair, ...] = ()


class ExecutionRecord(Document):
    """State of an execution as stored and shown.

    Args:
        request: What was asked for.
        phase: Its state.
        created_at: When it was accepted, UTC.
        started_at: When it began, UTC.
        finished_at: When it ended, UTC.
        outputs: Its outputs, if it succeeded.
        error: Why it failed.
        abort_reason: Why it was aborted.
        aborted_by: Who aborted it.
        run: Temporal's id of the run that the record follows. Another one after a continue-as-new and after a reset.
        untold: Whether that run, which a reset has made, has still to tell what of its nodes it had behind it.
    """

    request: ExecutionRequest
    phase: ExecutionPhase
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: dict[str, LiteralValue] = {}
    error: ErrorDocument | None = None
    abort_reason: str = ""
    aborted_by: str = ""
    run: str = ""
    untold: bool = False

    @property
    def recovered_from(self) -> str:
        """Return the name of the execution that it recovers; empty if it recovers none."""
        return self.request.recover.execution if self.request.recover else ""
