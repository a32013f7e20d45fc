"""What Kubernetes says of an attempt's pod: facts only, in words of ours.

Apart from `evidence` because launchers report it in the state of an attempt, and `evidence` is made of such states.
"""

from __future__ import annotations

from flyte_temporal.spec.document import Document


class InitEnd(Document):
    """A container that ran before the task's and failed.

    Args:
        name: Its name.
        exit_code: Its exit code.
        ours: Whether the platform put it there.
        message: What it said at last.
    """

    name: str
    exit_code: int
    ours: bool = False
    message: str = ""


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
        start_error: Why the container runtime could not start the task's command, if it could not.
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
    start_error: str = ""

    @property
    def over(self) -> bool:
        """Return whether none of its containers runs any more."""
        return self.gone or self.phase in {"Succeeded", "Failed"}
