"""The table of verdicts, row by row; the numbers are those of its source, reliability.md §1.2."""

from __future__ import annotations

import pytest

from flyte_temporal.spec.attempt import PLATFORM_STOPPED, Intent
from flyte_temporal.spec.evidence import Evidence
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, Verdict
from flyte_temporal.spec.pods import InitEnd, PodEvidence
from flyte_temporal.spec.verdicts import judge, judge_waiting, verdict_of

MIB = 1024 * 1024
USER = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="m")
FATAL = USER.model_copy(update={"code": "NonRecoverable", "recoverable": False})
OURS = ErrorDocument(kind=ErrorKind.SYSTEM, code="StorageError", message="m")
RUNNING = PodEvidence(phase="Running")
FAILED = PodEvidence(phase="Failed")


def pod(reason: str = "", message: str = "", **more: object) -> PodEvidence:
    return FAILED.model_copy(update={"reason": reason, "message": message, **more})


TABLE = [
    # 1: the manifest wins over whatever the pod says
    ("1", Evidence(outputs=True), Verdict.SUCCESS, ""),
    ("1 deleted", Evidence(outputs=True, pod=PodEvidence(gone=True)), Verdict.SUCCESS, ""),
    ("1 exit 143", Evidence(outputs=True, exit_code=143, pod=FAILED), Verdict.SUCCESS, ""),
    ("1 stopped too late", Evidence(outputs=True, intent=Intent.CANCEL), Verdict.SUCCESS, ""),
    ("1 sidecar 137", Evidence(outputs=True, pod=pod(sidecar_exits=(137,))), Verdict.SUCCESS, ""),
    # 2: the error document, as written
    ("2 user", Evidence(error=USER, exit_code=137), Verdict.USER, "UserCodeError"),
    ("2 fatal", Evidence(error=FATAL), Verdict.USER_FATAL, "NonRecoverable"),
    ("2 ours", Evidence(error=OURS, pod=pod("Evicted")), Verdict.SYSTEM, "StorageError"),
    # 3: our own intent
    ("3 cancel", Evidence(intent=Intent.CANCEL, exit_code=-15), Verdict.CANCELLED, "Stopped"),
    ("3 time-out", Evidence(intent=Intent.TIMEOUT, exit_code=137), Verdict.TIMEOUT, "TimedOut"),
    ("3 queued", Evidence(intent=Intent.TIMEOUT, ran=False), Verdict.TIMEOUT, "QueuedTimedOut"),
    ("3 platform", Evidence(intent=Intent.PLATFORM, lost=True), Verdict.CANCELLED, PLATFORM_STOPPED),
    ("3 taken", Evidence(intent=Intent.TAKEN, exit_code=143, pod=FAILED), Verdict.SYSTEM, "Preempted"),
    ("3 not gone yet", Evidence(intent=Intent.CANCEL, over=False, pod=RUNNING), Verdict.WAIT, ""),
    # 4: disruption, if the pod is over
    ("4", Evidence(exit_code=137, pod=pod(disruption="PreemptionByScheduler")), Verdict.SYSTEM, "Preempted"),
    (
        "4 gone",
        Evidence(pod=PodEvidence(gone=True, disruption="DeletionByTaintManager")),
        Verdict.SYSTEM,
        "Preempted",
    ),
    (
        "4 stale",
        Evidence(over=False, pod=RUNNING.model_copy(update={"disruption": "EvictionByEvictionAPI"})),
        Verdict.WAIT,
        "",
    ),
    # 5: the user's own disk
    ("5 limit", Evidence(pod=pod("Evicted", "Pod exceeds the total limit of …")), Verdict.USER, "DiskLimit"),
    ("5 emptyDir", Evidence(pod=pod("Evicted", "Usage of EmptyDir volume x")), Verdict.USER, "DiskLimit"),
    # 6: the node
    *(
        (f"6 {reason}", Evidence(exit_code=137, pod=pod(reason)), Verdict.SYSTEM, "Preempted")
        for reason in (
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
        )
    ),
    # 7: Kubernetes' own deadline
    ("7", Evidence(pod=pod("DeadlineExceeded")), Verdict.TIMEOUT, "TimedOut"),
    # 8: memory
    ("8 flag", Evidence(oom=True, exit_code=137, pod=FAILED), Verdict.USER, "OutOfMemory"),
    (
        "8 near",
        Evidence(exit_code=-9, peak_bytes=95 * MIB, limit_bytes=100 * MIB),
        Verdict.USER,
        "OutOfMemory",
    ),
    # 9: killed
    ("9 unseen", Evidence(exit_code=137, pod=FAILED), Verdict.SYSTEM, "KilledUnseen"),
    ("9 247", Evidence(exit_code=247, pod=FAILED), Verdict.SYSTEM, "KilledUnseen"),
    ("9 far", Evidence(exit_code=-9, peak_bytes=50 * MIB, limit_bytes=100 * MIB), Verdict.SYSTEM, "Killed"),
    ("9 witnessed", Evidence(exit_code=-9, witnessed=True), Verdict.SYSTEM, "Killed"),
    # 10: SIGTERM
    ("10 deleted", Evidence(exit_code=143, pod=pod(deleting=True)), Verdict.SYSTEM, "PodDeletedExternally"),
    ("10 by itself", Evidence(exit_code=143, pod=FAILED), Verdict.USER, "ProcessDied"),
    ("10 here", Evidence(exit_code=-15, witnessed=True), Verdict.USER, "ProcessDied"),
    # 11: it failed
    ("11", Evidence(exit_code=1, pod=FAILED), Verdict.USER, "ProcessExited"),
    ("11 signal", Evidence(exit_code=139, pod=FAILED), Verdict.USER, "ProcessDied"),
    ("11 not found", Evidence(exit_code=127, pod=FAILED), Verdict.USER_FATAL, "BadCommand"),
    ("11 not executable", Evidence(exit_code=126, pod=FAILED), Verdict.USER_FATAL, "BadCommand"),
    ("11 user code's 127", Evidence(exit_code=127, witnessed=True), Verdict.USER, "ProcessExited"),
    ("11 user code's 0", Evidence(exit_code=0, witnessed=True), Verdict.USER, "ProcessExited"),
    ("11 our runtime", Evidence(exit_code=70), Verdict.SYSTEM, "OutputsNotFound"),
    (
        "11 no command",
        Evidence(exit_code=128, pod=pod(start_error="exec: no such file")),
        Verdict.USER_FATAL,
        "BadCommand",
    ),
    # 12: before the task's container
    (
        "12 ours",
        Evidence(exit_code=1, pod=pod(init=InitEnd(name="unpack", exit_code=1, ours=True))),
        Verdict.SYSTEM,
        "InitFailed",
    ),
    (
        "12 theirs",
        Evidence(exit_code=1, pod=pod(init=InitEnd(name="migrate", exit_code=3))),
        Verdict.USER,
        "InitFailed",
    ),
    # 13: exit 0 is no success
    (
        "13",
        Evidence(exit_code=0, pod=PodEvidence(phase="Succeeded")),
        Verdict.SYSTEM,
        "OutputsNotFound",
    ),
    ("13 two reads", Evidence(exit_code=0, reads=2), Verdict.WAIT, ""),
    ("13 too soon", Evidence(exit_code=0, read_for_s=9), Verdict.WAIT, ""),
    # 14: not found
    ("14", Evidence(pod=PodEvidence(gone=True)), Verdict.SYSTEM, "PodDeletedExternally"),
    ("14 just made", Evidence(pod=PodEvidence(gone=True, age_s=9)), Verdict.WAIT, ""),
    ("14 here", Evidence(lost=True), Verdict.SYSTEM, "AttemptLost"),
    # 15: its node does not answer
    (
        "15 early",
        Evidence(
            over=False,
            pod=RUNNING.model_copy(update={"deleting": True, "node_ready": False, "terminating_s": 379}),
        ),
        Verdict.WAIT,
        "",
    ),
    (
        "15",
        Evidence(
            over=False,
            pod=RUNNING.model_copy(update={"deleting": True, "node_ready": False, "terminating_s": 381}),
        ),
        Verdict.SYSTEM,
        "NodeLost",
    ),
    (
        "15 long grace",
        Evidence(
            over=False,
            pod=RUNNING.model_copy(
                update={"deleting": True, "node_ready": False, "terminating_s": 640, "grace_s": 600}
            ),
        ),
        Verdict.WAIT,
        "",
    ),
    # 16: sidecars decide nothing
    (
        "16",
        Evidence(exit_code=0, pod=PodEvidence(phase="Failed", sidecar_exits=(137, 143))),
        Verdict.SYSTEM,
        "OutputsNotFound",
    ),
    # no row knows it
    ("unknown", Evidence(pod=pod("SomethingNew")), Verdict.SYSTEM, "UnknownPodFailure"),
    # nothing is known
    ("it runs", Evidence(over=False, pod=RUNNING), Verdict.WAIT, ""),
    ("it never ran", Evidence(exit_code=1, ran=False), Verdict.SYSTEM, "OutputsNotFound"),
]


@pytest.mark.row(19, 20, 21, 23)
@pytest.mark.parametrize(
    ("evidence", "verdict", "code"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_verdicts(evidence: Evidence, verdict: Verdict, code: str) -> None:
    found = judge(evidence)
    assert (found.verdict, found.code) == (verdict, code)


@pytest.mark.parametrize(
    "row", [r for r in TABLE if r[2] not in {Verdict.SUCCESS, Verdict.WAIT}], ids=lambda r: r[0]
)
def test_a_verdict_and_its_document_say_the_same(row: tuple[str, Evidence, Verdict, str]) -> None:
    """What the interpreter reads out of the document is what the table said."""
    found = judge(row[1])
    assert verdict_of(found.document("m")) is row[2]


WAITING = [
    ("ErrImagePull", "", 1e6, Verdict.WAIT),
    ("ContainerCreating", "", 1e6, Verdict.WAIT),
    ("PodInitializing", "", 1e6, Verdict.WAIT),
    ("SomethingNew", "", 1e6, Verdict.WAIT),
    ("ImagePullBackOff", "not found", 179, Verdict.WAIT),
    ("ImagePullBackOff", "not found", 181, Verdict.USER),
    ("ImagePullBackOff", "429 Too Many Requests", 1, Verdict.SYSTEM),
    ("ImagePullBackOff", 'Back-off pulling image "reg/x:61d429": not found', 1, Verdict.WAIT),
    ("ImagePullBackOff", 'Back-off pulling image "reg/x:429": not found', 1000, Verdict.USER),
    ("ImagePullBackOff", "HEAD https://reg/v2/x/manifests/429: 404 Not Found", 1, Verdict.WAIT),
    ("RegistryUnavailable", "", 1, Verdict.SYSTEM),
    ("ImagePullBackOff", "pull QPS exceeded", 1, Verdict.SYSTEM),
    ("ImagePullBackOff", "RegistryUnavailable", 1, Verdict.SYSTEM),
    ("ImagePullBackOff", "dial tcp: i/o timeout", 1, Verdict.SYSTEM),
    ("InvalidImageName", "", 0, Verdict.USER_FATAL),
    ("ErrImageNeverPull", "", 0, Verdict.USER_FATAL),
    ("ImageInspectError", "", 0, Verdict.USER_FATAL),
    ("CreateContainerError", "", 179, Verdict.WAIT),
    ("CreateContainerError", "", 181, Verdict.USER_FATAL),
    ("CrashLoopBackOff", "", 179, Verdict.WAIT),
    ("CrashLoopBackOff", "", 181, Verdict.USER_FATAL),
    ("CreateContainerConfigError", "", 29, Verdict.WAIT),
    ("CreateContainerConfigError", "", 31, Verdict.USER_FATAL),
    ("Unschedulable", "0/3 nodes", 1799, Verdict.WAIT),
    ("Unschedulable", "0/3 nodes", 1801, Verdict.SYSTEM),
]


@pytest.mark.row(22)
@pytest.mark.parametrize(("reason", "message", "age_s", "verdict"), WAITING)
def test_waiting(reason: str, message: str, age_s: float, verdict: Verdict) -> None:
    assert judge_waiting(reason, message, age_s).verdict is verdict


def test_the_time_without_an_image_is_a_setting() -> None:
    assert judge_waiting("ImagePullBackOff", "not found", 11, image_grace_s=10).verdict is Verdict.USER


def test_the_time_without_a_place_is_a_setting() -> None:
    assert judge_waiting("Unschedulable", "", 11, scheduling_timeout_s=10).verdict is Verdict.SYSTEM
