"""What the cluster's word about a pod means for its attempt. Pure, and made of the newest object alone.

Short pods are never seen Running: nothing here, and nobody who uses it, waits for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flyte_temporal.spec.pods import InitEnd, PodEvidence

Json = dict[str, Any]

OURS = "flyte-temporal-"
"""What the names of containers begin with that we put beside the user's."""
_START_ERRORS = {"StartError", "ContainerCannotRun"}
_IMAGE = {"ErrImagePull", "ImagePullBackOff"}
_TAIL_LINES = 20
_SAID_CHARS = 1000
"""What a reason takes of the words of a container beside the task's."""


@dataclass(frozen=True)
class Waiting:
    """Why a pod is not at work.

    Args:
        reason: The cluster's word.
        message: What it says about it.
    """

    reason: str
    message: str = ""

    @property
    def family(self) -> str:
        """What stays the same while words change: the clock of a wait runs on."""
        return "image" if self.reason in _IMAGE else self.reason

    @property
    def text(self) -> str:
        """For people."""
        known = _WORDS.get(self.reason)
        if known is not None:
            return f"{known}: {self.message}" if self.message else known
        return f"{self.reason}: {self.message}" if self.message else self.reason


_WORDS = {
    "ContainerCreating": "its container is being made (image, volumes)",
    "PodInitializing": "its first containers run",
    "Unschedulable": "no place in the cluster (Unschedulable)",
    "SchedulingGated": "held back by a scheduling gate of the cluster",
}


@dataclass(frozen=True)
class Look:
    """A pod as its attempt sees it.

    Args:
        over: Whether the process of the attempt has surely ended.
        running: Whether it is at work.
        exit_code: Its exit code, if it has ended.
        oom: Whether it ran out of memory.
        started_at: When it began, by the cluster's clock.
        tail: Its last words.
        waiting: Why it does not run.
        deleting: Whether somebody asked for its deletion.
        node: Its node.
        taken: Whether it ended because, or after, the pod was to be taken away: by its end alone nobody can tell whether it
            had done what it was to do.
    """

    over: bool = False
    running: bool = False
    exit_code: int | None = None
    oom: bool = False
    started_at: datetime | None = None
    tail: str = ""
    waiting: Waiting | None = None
    deleting: bool = False
    node: str = ""
    taken: bool = False


def look(pod: Json, primary: str) -> Look:
    """Return how an attempt's pod is.

    Args:
        pod: The newest object.
        primary: Name of the container that runs the task.
    """
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    state: Json = _status_of(pod, primary).get("state") or {}
    ended: Json | None = state.get("terminated")
    running: Json | None = state.get("running")
    terminal = status.get("phase") in {"Succeeded", "Failed"}
    # Beside a container of the user's own, ours goes on after it: it stores what that one left.
    uploads = any(str(c.get("name", "")).startswith(OURS) for c in spec.get("initContainers") or ())
    now: Json = ended or running or {}
    began = now.get("startedAt")
    return Look(
        over=terminal or (ended is not None and not uploads),
        running=running is not None and not terminal,
        exit_code=ended.get("exitCode") if ended else None,
        oom=ended is not None and ended.get("reason") == "OOMKilled",
        started_at=_time(began) if began else None,
        tail=_tail(ended.get("message") or "") if ended else "",
        waiting=None if terminal or ended or running else waiting(pod),
        deleting="deletionTimestamp" in (pod.get("metadata") or {}),
        node=spec.get("nodeName") or "",
        taken=ended is not None and _taken(pod, ended),
    )


def _taken(pod: Json, ended: Json) -> bool:
    meta, finished = pod.get("metadata") or {}, _time(ended.get("finishedAt") or "")
    marks = [
        _time(condition.get("lastTransitionTime") or "")
        for condition in (pod.get("status") or {}).get("conditions") or ()
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
    ]
    if "deletionTimestamp" in meta:
        # It says when the grace is over.
        end, grace_s = _time(meta["deletionTimestamp"]), float(meta.get("deletionGracePeriodSeconds") or 0)
        marks.append(end - timedelta(seconds=grace_s) if end else None)
    return any(mark is None or finished is None or mark <= finished for mark in marks)


def waiting(pod: Json) -> Waiting | None:
    """Return why a pod does not run yet; None if nothing is said about it."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Waiting(condition.get("reason") or "Unschedulable", condition.get("message") or "")
    if crashing := _crashing(pod):
        return crashing
    for one in _statuses(pod):
        why = (one.get("state") or {}).get("waiting")
        # What only waits for containers before it says nothing.
        if why and why.get("reason") not in {None, "PodInitializing"}:
            return Waiting(why["reason"], why.get("message") or "")
    first: list[Json] = [one.get("state") or {} for one in status.get("initContainerStatuses") or ()]
    # Before any of them has begun, the kubelet says of all that they wait for those before them.
    if any("running" in state or "terminated" in state for state in first):
        return Waiting("PodInitializing")
    return Waiting("ContainerCreating") if (pod.get("spec") or {}).get("nodeName") else None


def _crashing(pod: Json) -> Waiting | None:
    """Return which container beside the task's ends again and again before it is ready, also while it runs between two ends."""
    beside = _restarted(pod)
    for one in (pod.get("status") or {}).get("initContainerStatuses") or ():
        if one.get("name") in beside and one.get("restartCount") and not one.get("started"):
            return Waiting("CrashLoopBackOff", f"{one['name']} has ended {one['restartCount']} times")
    return None


def evidence(pod: Json | None, primary: str, **clocks: Any) -> PodEvidence:
    """Return what is known about a pod, for the table of verdicts.

    Args:
        pod: The newest object; None if there never was one.
        primary: Name of the container that runs the task.
        clocks: Fields of `PodEvidence` that our own clocks and other reads give.
    """
    if pod is None:
        return PodEvidence(**clocks)
    status, meta = pod.get("status") or {}, pod.get("metadata") or {}
    ended = (_status_of(pod, primary).get("state") or {}).get("terminated") or {}
    start_error = ended.get("message") or ended.get("reason") if ended.get("reason") in _START_ERRORS else ""
    others = (
        (one.get("state") or {}).get("terminated")
        for one in status.get("containerStatuses") or ()
        if one.get("name") != primary
    )
    return PodEvidence(
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        disruption=_disruption(status),
        deleting="deletionTimestamp" in meta,
        grace_s=float(meta.get("deletionGracePeriodSeconds") or 0),
        init=_failed_init(pod),
        sidecar_exits=tuple(end.get("exitCode", 0) for end in others if end),
        start_error=start_error or "",
        **clocks,
    )


def _disruption(status: Json) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return condition.get("reason") or "DisruptionTarget"
    return ""


def _failed_init(pod: Json) -> InitEnd | None:
    beside = _restarted(pod)
    for one in (pod.get("status") or {}).get("initContainerStatuses") or ():
        name, end = one.get("name", ""), (one.get("state") or {}).get("terminated")
        if end and end.get("exitCode") and name not in beside:
            said = _tail(end.get("message") or "")[-_SAID_CHARS:]
            return InitEnd(name=name, exit_code=end["exitCode"], ours=name.startswith(OURS), message=said)
    return None


def last_words(pod: Json, name: str) -> str:
    """Return what a container beside the task's said at last, if it has ended badly: the pod's own log is gone with it."""
    for one in (pod.get("status") or {}).get("initContainerStatuses") or ():
        end = (one.get("state") or {}).get("terminated") or {}
        if one.get("name") == name and end.get("exitCode"):
            return _tail(end.get("message") or "")[-_SAID_CHARS:]
    return ""


def _restarted(pod: Json) -> set[str]:
    """Return the names of native sidecars: containers that are restarted whenever they end."""
    containers = (pod.get("spec") or {}).get("initContainers") or ()
    return {c.get("name", "") for c in containers if c.get("restartPolicy") == "Always"}


def _statuses(pod: Json) -> Iterator[Json]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _status_of(pod: Json, primary: str) -> Json:
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("name") == primary:
            found: Json = one
            return found
    return {}


def _tail(message: str) -> str:
    return "\n".join(message.strip().splitlines()[-_TAIL_LINES:])


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
