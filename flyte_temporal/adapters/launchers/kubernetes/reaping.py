"""`Reaper`: removes pods and owners that nobody needs any more: those of closed attempts, ended executions, and of nobody.

A worker removes its pods itself; this finds what it left when it died between a result and the deletion, or while the
cluster did not answer. What is closed is asked of the blob store and of the records, never of the cluster. Another
installation may have pods in the same namespace, of which ours know nothing: what it has marked as its own is left alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from enum import StrEnum

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import OWNERS, PODS, ApiFailure, Json
from flyte_temporal.adapters.launchers.kubernetes.clusters import Cluster
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.errors import PlatformError
from flyte_temporal.spec.identifiers import ExecutionId

_log = logging.getLogger(__name__)

_ABSENT_S = 3600.0
"""How long a pod may stay of whose execution nobody knows: its record may be on its way, or in another store."""


class Known(StrEnum):
    """What the records say of an execution."""

    OPEN = "open"
    CLOSED = "closed"
    ABSENT = "absent"


class Reaper:
    """Sweeps the clusters of a launcher.

    Args:
        launcher: Whose clusters, and who looks after the attempts that are at work here.
        known: What the records say of an execution.
    """

    def __init__(
        self, launcher: KubernetesLauncher, known: Callable[[ExecutionId], Awaitable[Known]]
    ) -> None:
        self._launcher = launcher
        self._known = known
        self._since: dict[str, float] = {}
        """By uid, when something was first seen to be needed by nobody, by our own clock."""

    async def sweep(self, executions: Iterable[ExecutionId]) -> int:
        """Look through all clusters once but those that are never to be; return how many objects were removed.

        Args:
            executions: Recent ones: where pods may be.
        """
        removed, seen = 0, set[str]()
        places = {(one.project, one.domain): one for one in executions}.values()
        for name in self._launcher.names:
            cluster = self._launcher.cluster(name)
            if not cluster.settings.reap_s:
                continue
            for namespace in _namespaces(cluster, places):
                try:
                    removed += await self._sweep(cluster, namespace, seen)
                except (ApiFailure, PlatformError) as failure:
                    _log.info("Pods of %r are not looked through now: %s", namespace, failure)
        self._since = {uid: since for uid, since in self._since.items() if uid in seen}
        return removed

    async def _sweep(self, cluster: Cluster, namespace: str, seen: set[str]) -> int:
        removed = 0
        for kind in (PODS, OWNERS):
            async for thing in _all(cluster, kind, namespace):
                try:
                    removed += await self._look(cluster, kind, thing, seen)
                except (ApiFailure, PlatformError):
                    raise
                except Exception as error:  # noqa: BLE001 - anybody may have written its annotations
                    _log.warning("%s %s is not one of ours: %s", kind, thing.get("metadata"), error)
        return removed

    async def _look(self, cluster: Cluster, kind: str, thing: Json, seen: set[str]) -> bool:
        """Remove one object if nobody has needed it for long enough."""
        meta = thing["metadata"]
        uid = meta["uid"]
        if _mark(meta) not in {"", cluster.installation}:
            return False  # another installation's, whatever our records say of an execution of that name
        kept_s = await self._kept_s(cluster, kind, meta)
        if kept_s is None:
            return False
        seen.add(uid)
        since = self._since.setdefault(uid, time.monotonic())
        if time.monotonic() - since < kept_s or "deletionTimestamp" in meta:
            return False
        _log.info("%s %s/%s is removed: nobody needs it", kind, meta["namespace"], meta["name"])
        return await cluster.api.delete(kind, meta["namespace"], meta["name"], uid)

    async def _kept_s(self, cluster: Cluster, kind: str, meta: Json) -> float | None:
        """Return how long an object is kept from now on; None while somebody needs it."""
        settings, annotations = cluster.settings, meta["annotations"]
        if kind == OWNERS:
            known = await self._known(_execution(annotations[names.EXECUTION].split("/")))
            closed_s = settings.owner_ttl_s
        else:
            key = annotations[names.KEY]
            if self._launcher.looks_after(key):
                return None
            if await self._launcher.claims.ended(key):
                return settings.reap_closed_s
            known = await self._known(_execution(key.split("/")[1:]))
            closed_s = settings.reap_closed_s
        match known:
            case Known.OPEN:
                return None
            case Known.CLOSED:
                return closed_s
            case Known.ABSENT if _mark(meta) == cluster.installation:
                return max(closed_s, _ABSENT_S)
            case Known.ABSENT:
                # Without a mark it may be another installation's, which an older release has made.
                return None


def _mark(meta: Json) -> str:
    """Return of which installation an object says it is; empty if it does not say."""
    return str((meta.get("labels") or {}).get(names.INSTALLATION, ""))


def _namespaces(cluster: Cluster, places: Iterable[ExecutionId]) -> list[str]:
    if cluster.settings.cluster_wide:
        return [""]
    return sorted({*cluster.namespaces, *(cluster.namespace_of(place) for place in places)})


def _execution(parts: list[str]) -> ExecutionId:
    return ExecutionId(project=parts[0], domain=parts[1], name=parts[2])


async def _all(cluster: Cluster, kind: str, namespace: str) -> AsyncIterator[Json]:
    token = ""
    while True:
        page = await cluster.api.page(kind, namespace, f"{names.MANAGED_BY}={names.MANAGER}", token)
        for thing in page.get("items") or ():
            yield thing
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return
