"""`Entry`: one attempt as the launcher knows it, and its state made of the newest word of the cluster."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from flyte_temporal.adapters.launchers.ends import Ends
from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import PODS, Json
from flyte_temporal.adapters.launchers.kubernetes.clusters import Cluster
from flyte_temporal.adapters.launchers.kubernetes.looks import Look, Waiting, evidence, look
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, Verdict
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.spec.pods import PodEvidence
from flyte_temporal.spec.verdicts import judge_waiting

ASKED = AttemptState(phase=AttemptPhase.QUEUED, message="its pod is about to be created")

_SURE_S = 60.0


@dataclass(eq=False)
class Entry(Ends):
    """An attempt.

    Args:
        order: What to run.
        cluster: Where.
        may_create: Whether its pod may be created; otherwise it is only looked for.
        over: Set to the final state.
        state: The last state that is known.
        pod: The newest object of its pod.
        gone: Whether the cluster has said that the pod is no more.
        sent_at: When its pod was created by us, by our own clock.
        idle_at: Until when it surely had not begun, by our own clock; None = nobody here knows.
        wake: Set by whatever is new.
        intent: Why it is being stopped.
        stop_s: Its grace, if it is being stopped.
        told: Whether the cluster was asked to end it.
        forced: Whether the cluster was asked to forget it though nobody confirmed its end.
    """

    order: AttemptOrder
    cluster: Cluster
    may_create: bool = True
    over: asyncio.Future[AttemptState] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    state: AttemptState = ASKED
    pod: Json | None = None
    gone: bool = False
    sent_at: float = field(default_factory=time.monotonic)
    idle_at: datetime | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    intent: Intent = Intent.NONE
    stop_s: float | None = None
    told: bool = False
    forced: bool = False
    driver: asyncio.Task[None] | None = None
    error: ErrorDocument | None = None
    waits: tuple[str, float] = ("", 0.0)
    deleting_since: float | None = None
    begun_by: datetime | None = None
    """When it was first seen to have begun, by our own clock."""
    node_at: float = 0.0
    """Before when its node is not asked for again."""
    ask_at: float = field(default_factory=lambda: time.monotonic() + random.uniform(60, 120))  # noqa: S311
    """When the cluster is to be asked for the pod, if there is no news before; spread, because there are many."""

    def __post_init__(self) -> None:
        """Derive where its pod is."""
        self.attempt = self.order.attempt
        self.namespace = self.cluster.namespace_of(self.attempt.execution)
        self.name = names.pod_name(self.attempt)

    @property
    def primary(self) -> str:
        """Name of the container that runs the task."""
        containers = (self.pod or {}).get("spec", {}).get("containers") or ()
        return containers[0]["name"] if containers else names.PRIMARY

    @property
    def uid(self) -> str:
        """Uid of its pod."""
        return str((self.pod or {}).get("metadata", {}).get("uid") or "")

    def news(self, pod: Json, *, gone: bool) -> None:
        """Take in what the cluster says of the pod; older words than the newest one are dropped."""
        if self.pod is not None and not gone and _version(pod) < _version(self.pod):
            return
        self.pod, self.gone = pod, gone
        if look(pod, self.primary).started_at is None:
            self.idle_at = datetime.now(UTC)
        self.ask_at = time.monotonic() + random.uniform(60, 120)  # noqa: S311 - spreads load
        self.wake.set()

    def say(self, message: str) -> None:
        """Note what it waits for, for people."""
        if not self.over.done():
            self.state = AttemptState(phase=AttemptPhase.QUEUED, message=message)

    def seen(self, *, gone: bool = False, node_ready: bool = True) -> PodEvidence:
        """Return what is known about the pod; `gone` = its absence is confirmed, however young it was."""
        now = time.monotonic()
        since = self.deleting_since
        return evidence(
            self.pod,
            self.primary,
            gone=gone,
            node_ready=node_ready,
            age_s=max(round(now - self.sent_at, 1), _SURE_S if gone else 0.0),
            terminating_s=round(now - since, 1) if since is not None else 0.0,
        )

    def look(self) -> Look:
        """Return how the pod is, and note the state that follows from it while it is not over."""
        found = self._by_our_clock(look(self.pod or {}, self.primary))
        if found.deleting and self.deleting_since is None:
            self.deleting_since = time.monotonic()
        if found.running:
            self.state = AttemptState(
                phase=AttemptPhase.RUNNING,
                started_at=found.started_at,
                message="its pod is being ended" if found.deleting else "",
            )
        elif not found.over and found.exit_code is None:
            self.say(self._words(found.waiting) if found.waiting else "its pod waits for a place")
        return found

    def _words(self, why: Waiting) -> str:
        """Return what a pod waits for; what the cluster does not say in the pod's status, it says to who asks for more."""
        if why.reason != "ContainerCreating" or self._waited_s(why) <= self.cluster.settings.image_grace_s:
            return why.text
        return (
            f"{why.text}; a secret, config map or volume that it names may be missing: "
            f"`kubectl -n {self.namespace} describe pod {self.name}` says more"
        )

    def _waited_s(self, why: Waiting | None) -> float:
        """Return for how long the pod has waited for this, by our own clock."""
        family, now = why.family if why is not None else "", time.monotonic()
        if family != self.waits[0]:
            self.waits = (family, now)
        return now - self.waits[1]

    def _by_our_clock(self, found: Look) -> Look:
        """Return a look whose start can be compared with our clock: time-outs count from it, and its node's may be minutes off.

        It lies between the last word that it had not begun and the first one that it had. Only of a pod that was at work when
        it was found here is the node's word all there is.
        """
        if found.started_at is None:
            return found
        if self.begun_by is None:
            self.begun_by = datetime.now(UTC)
        began = max(found.started_at, self.idle_at or found.started_at)
        return replace(found, started_at=min(began, self.begun_by))

    def ended(self, found: Look) -> AttemptState:
        """Return the final state of a pod whose containers have ended."""
        return AttemptState(
            phase=AttemptPhase.EXITED,
            exit_code=found.exit_code,
            oom=found.oom,
            message=found.tail,
            ran=found.exit_code is not None,
            started_at=found.started_at,
            pod=self.seen(),
        )

    def given_up(self, found: Look) -> ErrorDocument | None:
        """Return why it is no use to wait for the pod any longer, if it is."""
        why = found.waiting
        waited_s = self._waited_s(why)
        if why is None:
            return None
        limits = self.cluster.settings
        says = judge_waiting(
            why.reason, why.message, waited_s, limits.scheduling_timeout_s, limits.image_grace_s
        )
        if says.verdict is Verdict.WAIT:
            return None
        return ErrorDocument(
            kind=ErrorKind.SYSTEM if says.verdict is Verdict.SYSTEM else ErrorKind.USER,
            code=says.code,
            message=f"The pod could not start: {why.text}"[:4096],
            recoverable=says.verdict is not Verdict.USER_FATAL,
        )


async def delete_own(entry: Entry, grace_s: float | None = None) -> None:
    """Delete an attempt's pod; another one that has its name is left alone (decision 0061).

    Args:
        entry: The attempt.
        grace_s: The pod's own grace, if None.

    Raises:
        ApiFailure: If the cluster refused or did not answer.
    """
    api, uid = entry.cluster.api, entry.uid
    if not uid:
        found = await api.get(PODS, entry.namespace, entry.name)
        if found is None or not is_of(found, entry.attempt):
            return
        uid = found["metadata"]["uid"]
    await api.delete(PODS, entry.namespace, entry.name, uid, grace_s)


def is_of(pod: Json, attempt: AttemptId) -> bool:
    """Return whether an object is an attempt's pod, and not another one that has its name."""
    annotations = pod["metadata"].get("annotations") or {}
    return bool(annotations.get(names.KEY) == attempt.key)


def _version(pod: Json) -> int:
    try:
        return int((pod.get("metadata") or {}).get("resourceVersion") or 0)
    except ValueError:
        return 0
