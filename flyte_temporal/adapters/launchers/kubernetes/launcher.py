"""`KubernetesLauncher`: a pod per attempt. Keeps the contract of `ports.launcher`; see the package for its parts."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import PODS, ApiFailure, Json, PodApi
from flyte_temporal.adapters.launchers.kubernetes.claims import Claims
from flyte_temporal.adapters.launchers.kubernetes.clusters import Cluster
from flyte_temporal.adapters.launchers.kubernetes.driving import Driver
from flyte_temporal.adapters.launchers.kubernetes.entries import Entry, delete_own
from flyte_temporal.adapters.launchers.kubernetes.logs import PodLogs
from flyte_temporal.adapters.launchers.kubernetes.reflector import Key, slim
from flyte_temporal.adapters.launchers.table import Table
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.config.settings import Settings
from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent, StorageConfig
from flyte_temporal.spec.clusters import DEFAULT_CLUSTER
from flyte_temporal.spec.identifiers import AttemptId
from flyte_temporal.storage.blobs import open_store

_log = logging.getLogger(__name__)

_REMEMBERED = 10_000
_REMOVING_S = 5.0
"""How long a release waits for the cluster; after that, the pod is removed in the background."""

MakeApi = Callable[[ClusterSettings], PodApi]


class KubernetesLauncher:
    """Runs each attempt in a pod of its own.

    Args:
        clusters: Settings of the clusters, by name.
        blobs: The blob store: orders travel by it, and what is written beside attempts.
        make_api: Opens a cluster's API; by default by the Kubernetes library.
        run_s: Longest run of an attempt whose task sets no time-out; 0 = none.
        storage: How the blob store is reached from here, for attempts that another worker gave; None = as pods reach it. Its
            root marks what is made as this installation's.
    """

    def __init__(
        self,
        clusters: Mapping[str, ClusterSettings],
        blobs: BlobStore,
        make_api: MakeApi | None = None,
        run_s: float = 0.0,
        storage: StorageConfig | None = None,
    ) -> None:
        self._settings = dict(clusters)
        self._make_api = make_api or _library
        self._installation = names.installation_of(storage.root) if storage is not None else ""
        self.claims = Claims(blobs, storage)
        self._logs = PodLogs(blobs)
        self._driver = Driver(self.claims, self._logs, run_s)
        self._clusters: dict[str, Cluster] = {}
        self._entries: Table[Entry] = Table(self._let_go)
        self._by_pod: dict[tuple[str, Key], Entry] = {}
        self._released: OrderedDict[str, None] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()

    async def start(self, order: AttemptOrder) -> None:
        """Start an attempt, or adopt the one that already has its id; see the port."""
        key = order.attempt.key
        if key in self._released or key in self._entries:
            return
        self._begin(Entry(order, self.cluster(order.environment.cluster)))

    async def observe(self, attempt: AttemptId, timeout_s: float = 0.0) -> AttemptState:
        """Return the state of an attempt; wait up to `timeout_s` seconds for it to be over."""
        entry = await self._entry(attempt)
        if isinstance(entry, AttemptState):
            return entry
        if timeout_s > 0 and not entry.over.done():
            await asyncio.wait((entry.over,), timeout=timeout_s)
        state = entry.state
        if not state.over and (words := entry.cluster.away(attempt.execution)):
            return state.model_copy(update={"message": words})
        return state

    async def stop(
        self, attempt: AttemptId, grace_s: float = 10.0, intent: Intent = Intent.CANCEL
    ) -> AttemptState:
        """Stop an attempt: SIGTERM, then SIGKILL after `grace_s` seconds; see the port."""
        entry = self._entries.get(attempt.key)
        if entry is not None and entry.over.done():
            return entry.state
        await self.claims.note_stop(attempt, intent)
        if entry is None:
            order = await self.claims.order(attempt)
            if order is None:
                claim = await self.claims.never(attempt, intent)
                return _state_of_claim(began=claim.began, intent=claim.intent)
            entry = self._entries.get(attempt.key) or self._begin(
                Entry(order, self.cluster(order.environment.cluster))
            )
        entry.intent = entry.intent or intent
        entry.stop_s = grace_s
        entry.wake.set()
        return await asyncio.shield(entry.over)

    async def release(self, attempt: AttemptId) -> None:
        """Forget an attempt whose result has been committed; its pod is removed."""
        key = attempt.key
        self._released[key] = None
        while len(self._released) > _REMEMBERED:
            self._released.popitem(last=False)
        entry = self._entries.pop(key, None)
        if entry is None:
            order = await self.claims.order(attempt)
            if order is None:
                return
            entry = Entry(order, self.cluster(order.environment.cluster), may_create=False)
        self._let_go(entry)
        if entry.gone and entry.over.done():
            return
        removing = asyncio.create_task(self._remove(entry), name=f"remove {entry.name}")
        self._background.add(removing)
        removing.add_done_callback(self._background.discard)
        await asyncio.wait((removing,), timeout=_REMOVING_S)

    async def close(self) -> None:
        """Let go of everything without stopping attempts at work; another launcher can adopt them."""
        tasks = [entry.driver for entry in self._entries.values() if entry.driver is not None]
        tasks += self._background
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._logs.close()
        for cluster in self._clusters.values():
            await cluster.close()
        self._clusters.clear()
        self._entries.clear()
        self._by_pod.clear()

    def cluster(self, name: str = "") -> Cluster:
        """Return a cluster by its name; empty = the default one.

        Raises:
            UnsupportedSpec: If the settings have none of that name.
        """
        name = name or DEFAULT_CLUSTER
        known = self._clusters.get(name)
        if known is None:
            settings = self._settings.get(name)
            if settings is None:
                known_names = ", ".join(sorted(self._settings)) or "none"
                raise UnsupportedSpec(
                    f"This worker has no cluster {name!r} in its settings; it has: {known_names}."
                )
            known = self._clusters[name] = Cluster(
                name,
                settings,
                self._make_api(settings),
                lambda key, pod, gone: self._heard(name, key, pod, gone=gone),
                lambda: self._synced(name),
                self._installation,
            )
        return known

    @property
    def names(self) -> list[str]:
        """Names of all clusters of the settings."""
        return list(self._settings)

    def looks_after(self, attempt_key: str) -> bool:
        """Return whether an attempt is at work here."""
        return attempt_key in self._entries

    def _begin(self, entry: Entry) -> Entry:
        self._entries[entry.attempt.key] = entry
        self._by_pod[_pod_key(entry)] = entry
        entry.driver = asyncio.create_task(self._driver.drive(entry), name=f"pod of {entry.attempt.label}")
        return entry

    def _let_go(self, entry: Entry) -> None:
        self._by_pod.pop(_pod_key(entry), None)
        if entry.driver is not None:
            entry.driver.cancel()
        self._logs.drop(entry.attempt.key)

    async def _entry(self, attempt: AttemptId) -> Entry | AttemptState:
        """Return what is known of an attempt; one that was not started here is looked for."""
        lost = AttemptState(phase=AttemptPhase.LOST, message="No trace of this attempt is left.")
        entry = self._entries.get(attempt.key)
        if entry is not None:
            return entry
        if attempt.key in self._released:
            return lost
        order = await self.claims.order(attempt)
        if order is None:
            claim = await self.claims.claim(attempt)
            return lost if claim is None else _state_of_claim(began=claim.began, intent=claim.intent)
        known = self._entries.get(attempt.key)
        if known is not None:
            return known
        entry = Entry(order, self.cluster(order.environment.cluster), may_create=False)
        pod = await entry.cluster.api.get(PODS, entry.namespace, entry.name)
        if pod is None:
            return lost
        entry.pod = slim(pod)
        return self._entries.get(attempt.key) or self._begin(entry)

    def _heard(self, cluster: str, key: Key, pod: Json, *, gone: bool) -> None:
        entry = self._by_pod.get((cluster, key))
        if entry is not None and (entry.pod is None or entry.uid == pod["metadata"].get("uid")):
            if entry.pod is None:
                return  # its create has not been answered; the answer has the same object
            entry.news(pod, gone=gone)

    def _synced(self, cluster: str) -> None:
        """After a whole list: who is not in it is asked for, because news of its end may be among what was lost."""
        for (name, key), entry in self._by_pod.items():
            if name != cluster or entry.pod is None or entry.over.done():
                continue
            if key not in entry.cluster.watch(entry.attempt.execution).pods:
                entry.ask_at = 0.0
                entry.gone = True
                entry.wake.set()

    async def _remove(self, entry: Entry) -> None:
        pause_s = 0.5
        while True:
            try:
                await delete_own(entry)
            except ApiFailure as failure:
                _log.info("The pod %s is not removed yet: %s", entry.name, failure)
                await asyncio.sleep(pause_s)
                pause_s = min(60.0, pause_s * 2)
            else:
                return


def make(settings: Settings) -> KubernetesLauncher:
    """Return a launcher for the clusters of these settings.

    Raises:
        UnsupportedSpec: If there are none, or the Kubernetes library is not installed.
    """
    clusters = settings.clusters()
    if not clusters:
        raise UnsupportedSpec(
            "This worker has no Kubernetes cluster in its settings. Set FLYTE_TEMPORAL_KUBERNETES__CLUSTERS or "
            "FLYTE_TEMPORAL_KUBERNETES__FILE: docs/kubernetes.md says how."
        )
    if find_spec("kubernetes") is None:
        raise UnsupportedSpec(
            "The launcher `kubernetes` needs the library of that name: install flyte-temporal[k8s], as docs/kubernetes.md "
            "says."
        )
    storage = settings.storage.config()
    return KubernetesLauncher(
        clusters, open_store(storage), run_s=settings.limits.run_timeout_s, storage=storage
    )


def _pod_key(entry: Entry) -> tuple[str, Key]:
    return entry.cluster.name, (entry.namespace, entry.name)


def _state_of_claim(*, began: bool, intent: Intent) -> AttemptState:
    if began:
        return AttemptState(
            phase=AttemptPhase.LOST, message="No trace of this attempt is left.", intent=intent
        )
    return AttemptState(
        phase=AttemptPhase.EXITED, ran=False, intent=intent, message="It was stopped before it started."
    )


def _library(settings: ClusterSettings) -> PodApi:
    from flyte_temporal.adapters.launchers.kubernetes.client import KubernetesApi

    return KubernetesApi(settings)
