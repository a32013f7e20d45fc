"""How an attempt ended, and whose fault it is: one table over plain evidence. Pure.

Launchers and activities collect the evidence, the runtime describes deaths that it saw by the same table, and the
interpreter's `retries` decides what follows from the verdict. Apart from all of them because each would else have a
table of its own. The rows are those of a pod's life; a process on this machine has fewer of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from flyte_temporal.spec.attempt import NO_MANIFEST, PLATFORM_STOPPED, PLATFORM_STOPPED_MESSAGE, Intent
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, Verdict
from flyte_temporal.spec.policies import Timeouts

NEAR_LIMIT = 0.95
"""Share of its memory limit from which a killed process is taken to have been killed for it."""
STOPPED = "Stopped"
PREEMPTED = "Preempted"
TIMED_OUT = "TimedOut"
QUEUED_TIMED_OUT = "QueuedTimedOut"
TOTAL_TIMED_OUT = "TotalTimedOut"
DEADLINE_EXCEEDED = "DeadlineExceeded"
NODE_ABORTED = "NodeAborted"
TIME_OUTS = frozenset({TIMED_OUT, QUEUED_TIMED_OUT, TOTAL_TIMED_OUT, DEADLINE_EXCEEDED})
OUT_OF_MEMORY = "OutOfMemory"
KILLED_UNSEEN = "KilledUnseen"
"""Code of a kill of which nobody knows the memory: it may have been for it, so fewer further attempts are made."""

UNKNOWN_POD_FAILURE = "UnknownPodFailure"
"""Code of a pod that failed for a reason which no row knows; each is counted, so that the row gets written."""


class Judgement(Document):
    """What the table says.

    Args:
        verdict: The verdict.
        code: Stable code of the error; empty for SUCCESS.
        reason: The fact that decided, in a few words.
    """

    verdict: Verdict
    code: str = ""
    reason: str = ""

    def document(self, message: str) -> ErrorDocument:
        """Return the error document of a failure, with a message for people."""
        system = self.verdict in {Verdict.SYSTEM, Verdict.CANCELLED}
        return ErrorDocument(
            kind=ErrorKind.SYSTEM if system else ErrorKind.USER,
            code=self.code,
            message=message,
            recoverable=self.verdict is not Verdict.USER_FATAL,
        )


def verdict_of(error: ErrorDocument) -> Verdict:
    """Return the verdict that an error document states."""
    if error.code in {STOPPED, PLATFORM_STOPPED}:
        return Verdict.CANCELLED
    if error.kind is ErrorKind.SYSTEM:
        return Verdict.SYSTEM
    if error.code in TIME_OUTS:
        return Verdict.TIMEOUT
    return Verdict.USER if error.recoverable else Verdict.USER_FATAL


def told(code: str, limits: Timeouts) -> str:
    """Return what is said of an attempt that we stopped; empty for other codes."""
    match code:
        case "Stopped":
            return "The attempt was stopped on request."
        case "PlatformStopped":
            return PLATFORM_STOPPED_MESSAGE
        case "Preempted":
            return (
                "The attempt's container was ended from outside while it ran: its machine was taken away, or somebody "
                "deleted it."
            )
        case "TimedOut":
            return f"The attempt ran longer than its time-out of {limits.run_s:g} s."
        case "QueuedTimedOut":
            return f"The attempt waited longer than its time-out of {limits.queued_s:g} s for a free process."
        case _:
            return ""


def judge(evidence: Evidence) -> Judgement:
    """Return the verdict on an attempt: that of the first row which knows it."""
    for row in _ROWS:
        found = row(evidence)
        if found is not None:
            return found
    return Judgement(verdict=Verdict.WAIT, reason="it runs")


def _manifest(seen: Evidence) -> Judgement | None:
    """Rows 1 and 2: what the attempt itself left, whatever anybody else says."""
    if seen.outputs:
        return Judgement(verdict=Verdict.SUCCESS)
    if seen.error is not None:
        return Judgement(
            verdict=verdict_of(seen.error), code=seen.error.code, reason="its own error document"
        )
    return None


def _intended(seen: Evidence) -> Judgement | None:
    """Row 3: we asked for it."""
    if seen.intent is Intent.NONE or not (seen.over or seen.lost):
        return None
    if seen.intent is Intent.TIMEOUT:
        code = TIMED_OUT if seen.ran else QUEUED_TIMED_OUT
        return Judgement(verdict=Verdict.TIMEOUT, code=code, reason="it was stopped for its time-out")
    if seen.intent is Intent.TAKEN:
        return Judgement(
            verdict=Verdict.SYSTEM, code=PREEMPTED, reason="its container was ended from outside"
        )
    code = PLATFORM_STOPPED if seen.intent is Intent.PLATFORM else STOPPED
    return Judgement(verdict=Verdict.CANCELLED, code=code, reason="it was stopped on request")


_NODE_REASONS = frozenset(
    {
        "Evicted",
        "Shutdown",
        "NodeShutdown",
        "Terminated",
        "NodeLost",
        "NodeAffinity",
        "Preempting",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "ProviderFailed",
    }
)
_DISK_WORDS = ("exceeds the total limit", "emptydir", "ephemeral local storage usage exceeds")


def _taken_away(seen: Evidence) -> Judgement | None:
    """Rows 4 to 7: the cluster ended the pod, and says why."""
    pod = seen.pod
    if pod is None:
        return None
    if pod.disruption and pod.over:
        return Judgement(verdict=Verdict.SYSTEM, code=PREEMPTED, reason=pod.disruption)
    if pod.reason == "Evicted" and any(words in pod.message.lower() for words in _DISK_WORDS):
        return Judgement(verdict=Verdict.USER, code="DiskLimit", reason=pod.message)
    if pod.reason in _NODE_REASONS:
        return Judgement(verdict=Verdict.SYSTEM, code=PREEMPTED, reason=pod.reason)
    if pod.reason == "DeadlineExceeded":
        return Judgement(verdict=Verdict.TIMEOUT, code=TIMED_OUT, reason="activeDeadlineSeconds")
    return None


def _killed(seen: Evidence) -> Judgement | None:
    """Rows 8 to 10: out of memory, or killed by a signal from outside."""
    code, near = seen.code, bool(seen.limit_bytes) and seen.peak_bytes >= NEAR_LIMIT * seen.limit_bytes
    if seen.oom or (code == 137 and near):
        return Judgement(verdict=Verdict.USER, code=OUT_OF_MEMORY, reason=f"peak {seen.peak_bytes} bytes")
    if code in {137, 247}:
        return Judgement(
            verdict=Verdict.SYSTEM,
            code="Killed" if seen.peak_bytes or seen.witnessed else KILLED_UNSEEN,
            reason=f"exit code {code}",
        )
    if code == 143 and seen.pod is not None and seen.pod.deleting:
        return Judgement(
            verdict=Verdict.SYSTEM, code="PodDeletedExternally", reason="deleted by somebody else"
        )
    return None


def _init(seen: Evidence) -> Judgement | None:
    """Row 12, before 11: what failed first is told first."""
    init = seen.pod.init if seen.pod else None
    if init is None or not init.exit_code:
        return None
    verdict = Verdict.SYSTEM if init.ours else Verdict.USER
    why = f"{init.name}: exit code {init.exit_code}"
    return Judgement(
        verdict=verdict, code="InitFailed", reason=f"{why}: {init.message}" if init.message else why
    )


def _exited(seen: Evidence) -> Judgement | None:
    """Rows 11 and 13: it ended by itself. Row 16 is that exit codes of sidecars are not looked at."""
    code = seen.code
    if seen.pod is not None and seen.pod.start_error:
        return Judgement(verdict=Verdict.USER_FATAL, code="BadCommand", reason=seen.pod.start_error)
    if code is None or not seen.ran:
        return None
    if code == NO_MANIFEST and not seen.witnessed:
        return Judgement(
            verdict=Verdict.SYSTEM, code="OutputsNotFound", reason="its runtime could not store its result"
        )
    if code in {126, 127} and not seen.witnessed:
        return Judgement(verdict=Verdict.USER_FATAL, code="BadCommand", reason=f"exit code {code}")
    if code > 128 and seen.exit_code is not None and (seen.exit_code < 0 or not seen.witnessed):
        return Judgement(verdict=Verdict.USER, code="ProcessDied", reason=f"signal {code - 128}")
    if code or seen.witnessed:
        return Judgement(verdict=Verdict.USER, code="ProcessExited", reason=f"exit code {code}")
    if seen.reads < 3 or seen.read_for_s < 10:
        return Judgement(verdict=Verdict.WAIT, reason="its manifest may still appear")
    return Judgement(verdict=Verdict.SYSTEM, code="OutputsNotFound", reason="exit code 0, and no manifest")


def _gone(seen: Evidence) -> Judgement | None:
    """Rows 14 and 15: nobody is left to ask."""
    pod = seen.pod
    if pod is not None and pod.gone:
        if pod.age_s < 10:
            return Judgement(verdict=Verdict.WAIT, reason="just created; the read may be older")
        return Judgement(verdict=Verdict.SYSTEM, code="PodDeletedExternally", reason="not found")
    if pod is not None and pod.deleting and not pod.node_ready:
        # Never before the node's grace of 50 s, its toleration of 300 s and 30 s more.
        if pod.terminating_s > max(pod.grace_s + 60, 380):
            return Judgement(verdict=Verdict.SYSTEM, code="NodeLost", reason="its node does not answer")
        return Judgement(verdict=Verdict.WAIT, reason="its node may come back")
    if seen.lost:
        return Judgement(verdict=Verdict.SYSTEM, code="AttemptLost", reason="no trace is left")
    if pod is not None and pod.phase == "Failed":
        return Judgement(verdict=Verdict.SYSTEM, code=UNKNOWN_POD_FAILURE, reason=pod.reason or "no reason")
    if seen.over and (pod is None or pod.over):
        return Judgement(verdict=Verdict.SYSTEM, code="OutputsNotFound", reason="nobody saw how it ended")
    return None


_ROWS: tuple[Callable[[Evidence], Judgement | None], ...] = (
    _manifest,
    _intended,
    _taken_away,
    _killed,
    _init,
    _exited,
    _gone,
)

IMAGE_GRACE_S = 180.0
"""How long an image may fail to be pulled, or a container to be made or to start, unless a setting says otherwise."""
_CONFIG_GRACE_S = 30.0
SCHEDULING_TIMEOUT_S = 30 * 60.0
"""How long a pod may find no place, unless a setting says otherwise."""
_REGISTRY_WORDS = ("429", "pull qps exceeded", "registryunavailable", "i/o timeout")
_QUOTED = re.compile(r"[\"'`][^\s\"'`]*[/:.@][^\s\"'`]*[\"'`]")
"""How kubelets and engines write names of images: they are no words."""


def mentions(message: str, words: Iterable[str], image: str = "") -> bool:
    """Return whether a message about an image has one of some words, as a word of its own and not as a part of a name.

    Args:
        message: The message.
        words: The words, in lower case.
        image: The image's name, which may have any of them in it, such as `429` in its tag.
    """
    said = _QUOTED.sub(" ", message.lower())
    said = said.replace(image.lower(), " ") if image else said
    either = "|".join(re.escape(word) for word in words)
    return re.search(rf"(?<![\w./:@-])(?:{either})(?![\w@/-])", said) is not None


def judge_waiting(
    reason: str,
    message: str,
    age_s: float,
    scheduling_timeout_s: float = SCHEDULING_TIMEOUT_S,
    image_grace_s: float = IMAGE_GRACE_S,
) -> Judgement:
    """Return the verdict on a container that waits.

    Args:
        reason: Why, in the cluster's word.
        message: What it says about it.
        age_s: For how long it has been in that state, by our own clock; the cluster's are not in step with it.
        scheduling_timeout_s: How long a pod may find no place.
        image_grace_s: How long an image may fail to be pulled, or a container to be made or to start.
    """
    wait = Judgement(verdict=Verdict.WAIT, code="", reason=reason)
    match reason:
        case "ImagePullBackOff":
            if mentions(message, _REGISTRY_WORDS):
                return Judgement(verdict=Verdict.SYSTEM, code="RegistryUnavailable", reason=message)
            late, verdict, code = age_s > image_grace_s, Verdict.USER, "ImagePull"
        case "RegistryUnavailable":
            return Judgement(verdict=Verdict.SYSTEM, code="RegistryUnavailable", reason=message)
        case "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError":
            late, verdict, code = True, Verdict.USER_FATAL, "BadImage"
        case "CreateContainerError":
            late, verdict, code = age_s > image_grace_s, Verdict.USER_FATAL, "CreateContainer"
        case "CrashLoopBackOff":
            # A container before the task's, or beside it, that never gets ready.
            late, verdict, code = age_s > image_grace_s, Verdict.USER_FATAL, "InitFailed"
        case "CreateContainerConfigError":
            # A secret may still be on its way.
            late, verdict, code = (
                age_s > min(_CONFIG_GRACE_S, image_grace_s),
                Verdict.USER_FATAL,
                "CreateContainer",
            )
        case "Unschedulable":
            late, verdict, code = age_s > scheduling_timeout_s, Verdict.SYSTEM, "Unschedulable"
        case _:
            return wait
    return Judgement(verdict=verdict, code=code, reason=message or reason) if late else wait
