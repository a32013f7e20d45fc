"""What is known about an attempt when somebody asks how it ended: facts only; `verdicts` says what they mean."""

from __future__ import annotations

from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import ErrorDocument


class InitEnd(Document):
    """A container that ran before the task's and failed.

    Args:
        name: Its name.
        exit_code: Its exit code.
        ours: Whether the platform put it there.
    """

    name: str
    exit_code: int
    ours: bool = False


class PodEvidence(Document):
    """What Kubernetes says of an attempt's pod.

    Args:
        gone: Whether a quorum read did not find it.
        phase: Its phase.
        reason: Its `status.reason`.
        message: Its `status.message`.
        disruption: Reason of the condition `DisruptionTarget`, if that is true.
        deleting: Whether it has a `deletionTimestamp`.
        terminating_s: For how long, by our own clock.
        grace_s: Seconds that it was given for that.
        node_ready: Whether its node is ready.
        age_s: Seconds since we created it, by our own clock.
        init: The first container before the task's that failed.
        sidecar_exits: Exit codes of containers beside the task's; they decide nothing.
    """

    gone: bool = False
    phase: str = ""
    reason: str = ""
    message: str = ""
    disruption: str = ""
    deleting: bool = False
    terminating_s: float = 0.0
    grace_s: float = 30.0
    node_ready: bool = True
    age_s: float = 60.0
    init: InitEnd | None = None
    sidecar_exits: tuple[int, ...] = ()

    @property
    def over(self) -> bool:
        """Return whether none of its containers runs any more."""
        return self.gone or self.phase in {"Succeeded", "Failed"}


class Evidence(Document):
    """All that is known about an attempt.

    Args:
        outputs: Whether there is a valid manifest of this attempt, with outputs.
        error: The error document of its manifest.
        intent: Why we asked it to end.
        ran: Whether a process of it was ever at work.
        over: Whether its process is surely gone.
        lost: Whether it is gone, and nobody saw how.
        exit_code: Exit code of the user's process, the signal's number negative or added to 128; None = unknown.
        oom: Whether the kernel, the container runtime or our supervisor says that it ran out of memory.
        peak_bytes: Its largest resident memory; 0 = unknown.
        limit_bytes: Its memory limit; 0 = none.
        witnessed: Whether our runtime was its parent and saw it end: then an exit code is user code's own.
        reads: How often the manifest was looked for.
        read_for_s: Over how many seconds.
        pod: Its pod, if it is one.
    """

    outputs: bool = False
    error: ErrorDocument | None = None
    intent: Intent = Intent.NONE
    ran: bool = True
    over: bool = True
    lost: bool = False
    exit_code: int | None = None
    oom: bool = False
    peak_bytes: int = 0
    limit_bytes: int = 0
    witnessed: bool = False
    reads: int = 3
    read_for_s: float = 10.0
    pod: PodEvidence | None = None

    @property
    def code(self) -> int | None:
        """Return the exit code as a shell and Kubernetes count it."""
        return self.exit_code if self.exit_code is None or self.exit_code >= 0 else 128 - self.exit_code
