"""What is known about an attempt when somebody asks how it ended: facts only; `verdicts` says what they mean."""

from __future__ import annotations

from flyte_temporal.spec.attempt import Intent
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.pods import PodEvidence


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
