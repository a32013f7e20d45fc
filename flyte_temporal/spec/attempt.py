"""One attempt: the order that the runtime reads, the manifest that it leaves, the state that a launcher reports."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.bindings import Binding
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import Document, Stored
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.execution import Environment, ErrorDocument
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.pods import PodEvidence
from flyte_temporal.spec.storage import StorageConfig as StorageConfig  # noqa: PLC0414 - others import it from here

PLATFORM_STOPPED = "PlatformStopped"
"""Code of an attempt that the platform ended because it was itself told to stop: nobody's failure."""
PLATFORM_STOPPED_MESSAGE = "The platform was stopped while the attempt ran."
OUTAGE_S = 300.0
"""How long an outage of the blob store is waited out by an attempt that has computed, in seconds."""
NO_MANIFEST = 70
"""Exit code of our runtime when it could not leave a manifest (EX_SOFTWARE): its own fault, not the user code's."""

NOT_CLAIMED = 75
"""Exit code of our runtime when the attempt was claimed before, so that it did nothing (EX_TEMPFAIL)."""
NO_STORE = 69
"""Exit code of `runtime.io` when the blob store did not answer (EX_UNAVAILABLE): what it was to do can be done later."""


class Intent(StrEnum):
    """Why we asked an attempt to end; written down before it is told, so that whoever finds it dead knows."""

    NONE = ""
    CANCEL = "request"
    PLATFORM = "platform"
    TIMEOUT = "timeout"
    TAKEN = "taken"
    """Not by us: whoever runs the machine or the cluster has ended the container."""


class Claim(Stored):
    """Who may run an attempt in a container: created once (`spec.keys.claim`), by its runtime or by who stops it before.

    Args:
        attempt: Which attempt.
        by: Name of the container that runs it; empty = nobody ever does.
        intent: Why it was stopped, if it was.
    """

    attempt: AttemptId
    by: str = ""
    intent: Intent = Intent.NONE

    @property
    def began(self) -> bool:
        """Return whether the attempt has begun."""
        return bool(self.by)


class AttemptOrder(Stored):
    """All that is needed to run one attempt anywhere.

    Args:
        attempt: Which attempt.
        task: What to run; overrides are applied.
        inputs: Its inputs.
        bindings: Further inputs, which attempts before it in the same batch give; resolved where it runs.
        environment: Where.
        storage: The blob store.
        inline_bytes: Outputs larger than this travel by reference.
        created_at: When the execution was started, UTC (`current_context().execution_date`).
        earlier: Tokens of the earlier attempts of the node, oldest first: whose checkpoints it believes.
        checkpoint_from: Folders of the node's checkpoints in executions that this one recovers, the nearest first
            (`spec.keys.checkpoints`); they count if the node has none of its own.
        keep_checkpoint: Whether the last checkpoint stays when the attempt succeeds.
        grace_s: Seconds between SIGTERM and SIGKILL when it is stopped.
        interruptible: Whether it may run on a machine that can be taken away; decided for each attempt.
        outage_s: How long an outage of the store may last, in seconds, before what it has computed is given up.
    """

    attempt: AttemptId
    task: TaskSpec
    inputs: dict[str, LiteralValue] = {}
    bindings: dict[str, Binding] = {}
    environment: Environment = Environment()
    storage: StorageConfig
    inline_bytes: int = 64 * 1024
    created_at: datetime | None = None
    earlier: tuple[str, ...] = ()
    checkpoint_from: tuple[str, ...] = ()
    keep_checkpoint: bool = True
    grace_s: float = 10.0
    interruptible: bool = False
    outage_s: float = OUTAGE_S


class Manifest(Stored):
    """Proof that an attempt ended, and how; written last, once, below the attempt's own key.

    Args:
        attempt: Which attempt; a manifest of another token is no proof.
        outputs: Its outputs, if it succeeded.
        error: Its failure, if it did not.
        spec: Digest of the closure to run for its outputs, if it is a dynamic task that has not given them itself.
        deck: Key of its deck in the blob store; empty if it has none.
        started_at: When user code was about to be loaded, UTC.
        finished_at: When the manifest was written, UTC.
        peak_rss_bytes: Largest resident memory of the process.
        oom_kills: Processes that the kernel killed for their memory meanwhile in the attempt's control group, where it tells
            that: the task's own children in a container, those of its neighbours too where a machine's pool shares one.
        log_chunks: Number of log chunks that were uploaded.
        runtime_version: Version of this library in the attempt.
        checkpoint: The last checkpoint that it saved, if it saved one.
        basis: What the result rests on; None if an earlier release wrote the manifest.
        told: Whether a command without our runtime told itself how it failed, by the file `_ERROR`.
    """

    attempt: AttemptId
    outputs: dict[str, LiteralValue] | None = None
    error: ErrorDocument | None = None
    spec: str = ""
    deck: str = ""
    started_at: datetime
    finished_at: datetime
    peak_rss_bytes: int = 0
    oom_kills: int = 0
    log_chunks: int = 0
    runtime_version: str = ""
    checkpoint: SavedCheckpoint | None = None
    basis: Basis | None = None
    told: bool = False


class AttemptPhase(StrEnum):
    """What a launcher sees of an attempt."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    LOST = "LOST"


class AttemptState(Document):
    """What a launcher knows about an attempt. It is never proof of success; only a manifest is.

    Args:
        phase: QUEUED (asked for, not at work), RUNNING, EXITED (ended as described), LOST (gone, nobody saw how).
        exit_code: Exit code, or the negative number of the signal, if EXITED.
        oom: Whether it ran out of memory, as far as is known.
        message: What happened or what it waits for, for people.
        intent: Why it was asked to end, if it was.
        ran: Whether a process of it was ever at work.
        pid: Process id on this machine, if there is one.
        started_at: When its process began to run the attempt, UTC; time-outs of an attempt count from here.
        peak_rss_bytes: Largest resident memory if known.
        checkpoint: The last checkpoint that it has saved, as far as is known.
        pod: What Kubernetes says of its pod, if it is one.
        error: Why it could never run, where the launcher was told so (a pod that the cluster refuses).
        refusal: Why its container could not be made, in Kubernetes' word (`ErrImageNeverPull`; see
            `verdicts.judge_waiting`), if it is over for that; `message` says it for people.
    """

    phase: AttemptPhase
    exit_code: int | None = None
    oom: bool = False
    message: str = ""
    intent: Intent = Intent.NONE
    ran: bool = True
    pid: int | None = None
    started_at: datetime | None = None
    peak_rss_bytes: int = 0
    checkpoint: SavedCheckpoint | None = None
    pod: PodEvidence | None = None
    error: ErrorDocument | None = None
    refusal: str = ""

    @property
    def over(self) -> bool:
        """Return whether the attempt's process is surely gone."""
        return self.phase in {AttemptPhase.EXITED, AttemptPhase.LOST}
