"""`Reflector`: the newest state of a set of pods, by one LIST and one WATCH, for as long as it runs.

Events only say that something is new: whoever is told looks at the newest object. What is missed here (a server that
sends nothing) is found by those who wait for a pod and ask for it now and then. The library's own informers spin while
the server is away, loop on a version that is too old, or never see a half-open connection (reliability.md §0.8).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import OPENED, PODS, ApiFailure, Json, PodApi

_log = logging.getLogger(__name__)

FIRST_S = 0.1
MOST_S = 30.0
_SHORT_S = 1.0
"""A watch that ends sooner and without a word is no reason to ask for the next one at once."""

Key = tuple[str, str]
"""Namespace and name."""


class Reflector:
    """The pods of one selector.

    Args:
        api: The cluster.
        namespace: Their namespace; empty = all.
        selector: Which pods.
        changed: Called with namespace and name, the newest object, and whether it is gone.
        synced: Called after each whole list.
    """

    def __init__(
        self,
        api: PodApi,
        namespace: str,
        selector: str,
        changed: Callable[[Key, Json, bool], None],
        synced: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._changed = changed
        self._synced = synced
        self._version = ""
        self._pause_s = 0.0
        self.pods: dict[Key, Json] = {}
        self.complete = False
        """Whether a whole list was read, so that what is not in `pods` was not there then."""
        self.away_since: float | None = None
        """Since when the server has not answered, by the monotonic clock."""
        self.failure: ApiFailure | None = None
        """What it answered last instead of what was asked for."""
        self.events = 0
        self.cpu_s = 0.0

    async def run(self) -> None:
        """Keep up with the cluster until cancelled; nothing else ends it."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except asyncio.CancelledError:
                raise
            except ApiFailure as failure:
                self._failed(failure)
            except Exception:  # noqa: BLE001 - nothing ends this loop
                # One object that nobody thought of must not blind us for all others.
                _log.exception("The list of pods in %r is read anew", self._namespace or "all namespaces")
                self._version = ""
                self._longer()
            if self._pause_s:
                await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load

    def _failed(self, failure: ApiFailure) -> None:
        self._longer()
        if failure.status == 410:
            # Too old: as an HTTP status, as an event, or on the way through the pages of a list.
            self._version = ""
            return
        self.failure = failure
        if self.away_since is None:
            self.away_since = time.monotonic()
            _log.warning("Pods of %r are not seen now: %s", self._namespace or "all namespaces", failure)

    def _longer(self) -> None:
        self._pause_s = min(MOST_S, max(FIRST_S, self._pause_s * 2))

    def _heard(self) -> None:
        if self.away_since is not None:
            _log.info("Pods of %r are seen again", self._namespace or "all namespaces")
        self.away_since = None

    async def _list(self) -> None:
        found: dict[Key, Json] = {}
        token = ""
        while True:
            page = await self._api.page(PODS, self._namespace, self._selector, token)
            for pod in page.get("items") or ():
                found[_key(pod)] = slim(pod)
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                break
        self._heard()
        before, self.pods = self.pods, found
        self._version, self.complete = str(meta.get("resourceVersion") or ""), True
        for key, pod in before.items():
            if key not in found or _uid(found[key]) != _uid(pod):
                self._tell(key, pod, gone=True)
        for key, pod in found.items():
            if (known := before.get(key)) is None or _version(known) != _version(pod):
                self._tell(key, pod, gone=False)
        self._synced()

    async def _watch(self) -> None:
        began, words = time.monotonic(), 0
        try:
            async for event in self._api.watch(self._namespace, self._selector, self._version):
                if event.get("type") == OPENED:
                    began = time.monotonic()
                    self._heard()
                    continue
                begun = time.thread_time()
                words += 1
                self._take(event)
                self._pause_s = 0.0
                self.cpu_s += time.thread_time() - begun
        finally:
            # One that stood for a while was good, though nothing happened meanwhile: its cut is the first one.
            if self.away_since is None and time.monotonic() - began >= _SHORT_S:
                self._pause_s = 0.0
        if not words and time.monotonic() - began < _SHORT_S:
            self._longer()

    def _take(self, event: Json) -> None:
        kind, thing = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiFailure(
                int(thing.get("code") or 500), thing.get("reason") or "", thing.get("message") or ""
            )
        version = _version(thing)
        if version:
            self._version = version
        if kind == "BOOKMARK":
            return
        self.events += 1
        key, gone, thing = _key(thing), kind == "DELETED", slim(thing)
        if gone:
            self.pods.pop(key, None)
        else:
            self.pods[key] = thing
        self._tell(key, thing, gone=gone)

    def _tell(self, key: Key, pod: Json, *, gone: bool) -> None:
        try:
            self._changed(key, pod, gone)
        except Exception:  # noqa: BLE001 - one pod must not blind us for all others
            _log.exception("News of the pod %s/%s could not be taken in", *key)


def _key(pod: Json) -> Key:
    meta = pod["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


def slim(pod: Json) -> Json:
    """Return what is read of a pod: a worker that watches thousands keeps none of their environments, volumes and addresses."""
    meta, spec, status = pod.get("metadata") or {}, pod.get("spec") or {}, pod.get("status") or {}
    kept = {name: meta[name] for name in _META if name in meta}
    key = (meta.get("annotations") or {}).get(names.KEY)
    if key is not None:
        kept["annotations"] = {names.KEY: key}
    return {
        "metadata": kept,
        "spec": {
            "nodeName": spec.get("nodeName") or "",
            "containers": [{"name": c.get("name")} for c in (spec.get("containers") or ())[:1]],
            "initContainers": [
                {"name": c.get("name"), "restartPolicy": c.get("restartPolicy")}
                for c in spec.get("initContainers") or ()
            ],
        },
        "status": {
            **{name: status[name] for name in _STATUS if status.get(name)},
            "conditions": [c for c in status.get("conditions") or () if c.get("type") in _CONDITIONS],
            **{name: _states(status[name]) for name in _CONTAINERS if status.get(name)},
        },
    }


def _states(statuses: list[Json]) -> list[Json]:
    return [
        {
            "name": one.get("name"),
            "state": one.get("state"),
            **{
                name: one[name]
                for name in ("restartCount", "started")
                if one.get(name) and one.get("restartCount")
            },
        }
        for one in statuses
    ]


_META = ("deletionGracePeriodSeconds", "deletionTimestamp", "name", "namespace", "resourceVersion", "uid")
_STATUS = ("phase", "reason", "message")
_CONDITIONS = frozenset({"PodScheduled", "DisruptionTarget"})
_CONTAINERS = ("initContainerStatuses", "containerStatuses")


def _version(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("resourceVersion") or "")


def _uid(pod: Json) -> Any:
    return (pod.get("metadata") or {}).get("uid")
