"""`Cluster`: what all attempts of a worker on one cluster share: its API, its turns, who watches, owners, templates."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import OWNERS, TEMPLATES, ApiFailure, Json, PodApi
from flyte_temporal.adapters.launchers.kubernetes.creating import Turns
from flyte_temporal.adapters.launchers.kubernetes.reflector import Key, Reflector
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.identifiers import ExecutionId

_TEMPLATE_S = 60.0
_OWNERS = 10_000
_OWNER_S = 600.0
"""After how long an owner is looked for again: somebody may have removed it, and what is made for it then goes with it."""
_QUIET_S = 2.0
"""A server that is silent for less is not told of."""


class Cluster:
    """One cluster.

    Args:
        name: Its name among the settings.
        settings: How it is reached, and what pods look like there.
        api: Its API server.
        changed: Called with news of pods, see `Reflector`.
        synced: Called after each whole list.
        installation: Mark of what is made there; empty = none.
    """

    def __init__(
        self,
        name: str,
        settings: ClusterSettings,
        api: PodApi,
        changed: Callable[[Key, Json, bool], None],
        synced: Callable[[], None],
        installation: str = "",
    ) -> None:
        self.name = name
        self.settings = settings
        self.api = api
        self.installation = installation
        self.turns = Turns(settings.creates_per_s, settings.creates_burst)
        self._changed = changed
        self._synced = synced
        self._reflectors: dict[tuple[str, int], tuple[Reflector, asyncio.Task[None]]] = {}
        self._owners: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._owning: dict[str, asyncio.Lock] = {}
        self._templates: dict[Key, tuple[float, Json]] = {}

    def namespace_of(self, execution: ExecutionId) -> str:
        """Return where pods of an execution are."""
        return self.settings.namespace_of(execution.project, execution.domain)

    def watch(self, execution: ExecutionId) -> Reflector:
        """Return who watches the pods of an execution; from the first call on it does."""
        shard = names.shard_of(execution, self.settings.shards)
        namespace = "" if self.settings.cluster_wide else self.namespace_of(execution)
        known = self._reflectors.get((namespace, shard))
        if known is None:
            which = names.selector(self.settings.shards, shard)
            reflector = Reflector(self.api, namespace, which, self._changed, self._synced)
            running = asyncio.create_task(reflector.run(), name=f"pods of {namespace or self.name}")
            known = self._reflectors[namespace, shard] = reflector, running
        return known[0]

    @property
    def reflectors(self) -> list[Reflector]:
        """All that watch."""
        return [reflector for reflector, _ in self._reflectors.values()]

    @property
    def namespaces(self) -> list[str]:
        """Namespaces of those."""
        return [namespace for namespace, _ in self._reflectors if namespace]

    def away(self, execution: ExecutionId) -> str:
        """Say so if nothing has been heard of the pods of an execution for a while, and why; empty while all is well."""
        reflector = self.watch(execution)
        silent = time.monotonic() - reflector.away_since if reflector.away_since is not None else 0.0
        if silent < _QUIET_S:
            return ""
        failure = reflector.failure
        if failure is not None and failure.status in {401, 403}:
            return (
                f"api_forbidden: the cluster does not let this worker see its pods ({failure}). An operator has to grant it "
                "(deploy/k8s)"
            )
        return f"api_unreachable: the cluster has not answered for {silent:.0f} s; what runs there, runs on"

    async def owner(self, execution: ExecutionId) -> tuple[str, str]:
        """Return name and uid of the object to which the pods of an execution belong; make it if there is none.

        Raises:
            ApiFailure: If it cannot be made.
        """
        name = names.owner_name(execution, self.installation)
        lock = self._owning.setdefault(name, asyncio.Lock())
        try:
            async with lock:
                uid, seen_at = self._owners.get(name, ("", 0.0))
                if not uid or time.monotonic() - seen_at > _OWNER_S:
                    uid = await self._make_owner(name, execution)
                    self._owners[name] = uid, time.monotonic()
                    if len(self._owners) > _OWNERS:
                        self._owners.popitem(last=False)
                return name, uid
        finally:
            if not lock.locked():
                self._owning.pop(name, None)

    def forget_owner(self, execution: ExecutionId) -> None:
        """Look for the owner anew, because somebody has deleted it."""
        self._owners.pop(names.owner_name(execution, self.installation), None)

    async def _make_owner(self, name: str, execution: ExecutionId) -> str:
        namespace = self.namespace_of(execution)
        whole = f"{execution.project}/{execution.domain}/{execution.name}"
        document: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": names.execution_labels(execution, self.installation),
                "annotations": {names.EXECUTION: whole},
            },
        }
        try:
            made = await self.api.create(OWNERS, namespace, document)
        except ApiFailure as failure:
            if failure.status != 409:
                raise
            found = await self.api.get(OWNERS, namespace, name)
            if found is None:
                raise
            made = found
        uid: str = made["metadata"]["uid"]
        return uid

    async def template(self, namespace: str, name: str) -> Json:
        """Return a template of the cluster by its name; it is asked for once a minute at most.

        Raises:
            PodRefused: If there is none.
            ApiFailure: If the cluster does not say.
        """
        known = self._templates.get((namespace, name))
        if known is not None and time.monotonic() - known[0] < _TEMPLATE_S:
            return known[1]
        found = await self.api.get(TEMPLATES, namespace, name)
        if found is None:
            raise PodRefused(
                f"There is no PodTemplate {name!r} in the namespace {namespace}. Create it, or give the task its own: "
                "@task(pod_template=PodTemplate(...)).",
                "PodTemplateMissing",
            )
        self._templates[namespace, name] = time.monotonic(), found
        return found

    async def close(self) -> None:
        """Stop watching; pods run on."""
        running = [task for _, task in self._reflectors.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._reflectors.clear()
        await self.api.close()
