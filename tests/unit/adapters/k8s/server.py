"""A small API server for tests: pods and config maps in memory, lists in pages, watches, and the ways in which a real one fails.

It speaks HTTP, so that the client library is a part of what is tested. What the kubelet would do, a test does by `status`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from flyte_temporal.adapters.launchers.kubernetes.client import KubernetesApi
from flyte_temporal.config.clusters import ClusterSettings

Json = dict[str, Any]


@dataclass
class FakeServer:
    """The server.

    Args:
        objects: What it has, by kind, namespace and name.
        log: Events so far, with their versions.
        calls: Method and path of each request.
        refusals: Answers for the next creates, instead of what they ask for.
        keeps: How many of the latest events a watch may begin behind.
        page: Objects of a page.
        mute: Whether watches are silent though their connection is open.
        gone_events: How often a list is too old on its way through the pages.
        lose_answers: Creates whose answer is lost.
        printed: What containers have printed, by pod: the time of each line in nanoseconds, and the line.
        rotated: By pod, how many lines of that are in files of which the kubelet gives nothing any more.
        log_refusals: Answers to the next requests for logs; the last one stays.
        since: From when on logs were asked for, by each request for one.
        stuck: Whether logs that are followed do not end with their containers.
    """

    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    log: list[tuple[int, Json]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[int, Json, dict[str, str]]] = field(default_factory=list)
    keeps: int = 10_000
    page: int = 500
    mute: bool = False
    gone_events: int = 0
    lose_answers: int = 0
    keeps_pods: bool = False
    printed: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    rotated: dict[str, int] = field(default_factory=dict)
    log_refusals: list[tuple[int, Json]] = field(default_factory=list)
    since: list[str] = field(default_factory=list)
    stuck: bool = False
    versions: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.version = 0
        self.changed = asyncio.Event()
        self.port = 0
        self.open: set[asyncio.Transport] = set()
        self.following: set[asyncio.Transport] = set()

    # ---- what a test does

    def pods(self) -> list[Json]:
        return [thing for (kind, _, _), thing in self.objects.items() if kind == "pods"]

    def status(self, name: str, **status: Any) -> None:
        """Do what the kubelet would do."""
        key = next(k for k in self.objects if k[0] == "pods" and k[2] == name)
        thing = self.objects[key]
        thing["status"] = {**thing.get("status", {}), **status}
        self._note("MODIFIED", key[0], thing)

    def running(self, name: str, started_at: str = "2026-11-26T10:00:00Z") -> None:
        state = {"running": {"startedAt": started_at}}
        self.status(name, phase="Running", containerStatuses=[{"name": "primary", "state": state}])

    def ended(self, name: str, code: int = 0, **more: Any) -> None:
        end = {"exitCode": code, "reason": "Completed" if not code else "Error", **more}
        phase = "Failed" if code else "Succeeded"
        self.status(name, phase=phase, containerStatuses=[{"name": "primary", "state": {"terminated": end}}])

    def vanish(self, name: str) -> None:
        """Remove a pod as the garbage collection would."""
        key = next(k for k in self.objects if k[0] == "pods" and k[2] == name)
        self._note("DELETED", "pods", self.objects.pop(key))

    def forget(self) -> None:
        """Forget all events so far: watches that want to begin behind them are told 410."""
        self.version = next(self.versions) + 1000
        self.versions = itertools.count(self.version + 1)
        self.log.clear()

    def sever(self) -> None:
        for transport in list(self.open):
            transport.abort()

    def sever_logs(self) -> None:
        for transport in list(self.following):
            transport.abort()

    def prints(self, name: str, *lines: bytes, nanos: int = 0) -> None:
        """Do what a container does, at a time; each at one of its own, if none is given."""
        said = self.printed.setdefault(name, [])
        for line in lines:
            last = said[-1][0] if said else 1_764_201_600_000_000_000
            said.append((nanos or last + 123_456_789, line))
        self._stir()

    def rotate(self, name: str) -> None:
        self.rotated[name] = len(self.printed[name])

    def _stir(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def count(self, method: str, word: str) -> int:
        return sum(m == method and word in path for m, path in self.calls)

    # ---- what it does

    def _note(self, kind: str, plural: str, thing: Json) -> None:
        self.version = next(self.versions)
        thing["metadata"]["resourceVersion"] = str(self.version)
        if plural == "pods":
            self.log.append((self.version, {"type": kind, "object": json.loads(json.dumps(thing))}))
        self._stir()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path + ("?watch" if "watch" in request.query else "")))
        parts = request.path.removeprefix("/api/v1/").split("/")
        namespace = ""
        if parts[0] == "namespaces":
            namespace, parts = parts[1], parts[2:]
        kind, name = parts[0], parts[1] if len(parts) > 1 else ""
        if request.method == "POST":
            return await self._create(request, kind, namespace)
        if request.method == "DELETE":
            return await self._delete(request, kind, namespace, name)
        if parts[2:] == ["log"]:
            return await self._log(request, namespace, name)
        if name:
            thing = self.objects.get((kind, namespace, name))
            return web.json_response(thing) if thing else _status(404, "NotFound", f"{kind} {name} not found")
        return await (
            self._watch(request) if "watch" in request.query else self._list(request, kind, namespace)
        )

    async def _create(self, request: web.Request, kind: str, namespace: str) -> web.StreamResponse:
        thing = await request.json()
        if kind == "pods" and self.refusals:
            status, body, headers = self.refusals.pop(0)
            return web.json_response(body, status=status, headers=headers)
        key = (kind, namespace, thing["metadata"]["name"])
        if key in self.objects:
            return _status(409, "AlreadyExists", f"{kind} {key[2]} already exists")
        thing["metadata"] |= {"uid": f"uid-{next(self.versions)}", "namespace": namespace}
        thing.setdefault("status", {"phase": "Pending"})
        self.objects[key] = thing
        self._note("ADDED", kind, thing)
        if kind == "pods" and self.lose_answers:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response(thing, status=201)

    async def _delete(self, request: web.Request, kind: str, namespace: str, name: str) -> web.StreamResponse:
        options = await request.json()
        thing = self.objects.get((kind, namespace, name))
        if thing is None:
            return _status(404, "NotFound", "not found")
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != thing["metadata"]["uid"]:
            return _status(409, "Conflict", "uid")
        if kind == "pods" and self.keeps_pods:
            return web.json_response(thing)
        if (
            kind == "pods"
            and thing["status"].get("phase") == "Running"
            and options.get("gracePeriodSeconds") != 0
        ):
            thing["metadata"]["deletionTimestamp"] = "2026-11-26T10:00:00Z"
            thing["metadata"]["deletionGracePeriodSeconds"] = options.get("gracePeriodSeconds", 30)
            self._note("MODIFIED", kind, thing)
        else:
            self._note("DELETED", kind, self.objects.pop((kind, namespace, name)))
        return web.json_response(thing)

    async def _list(self, request: web.Request, kind: str, namespace: str) -> web.StreamResponse:
        found = [
            thing
            for (k, n, _), thing in sorted(self.objects.items())
            if k == kind and (not namespace or n == namespace)
        ]
        start = int(request.query.get("continue") or 0)
        if start and self.gone_events:
            self.gone_events -= 1
            return _status(410, "Expired", "the continue token is too old")
        meta: Json = {"resourceVersion": str(self.version)}
        if start + self.page < len(found):
            meta["continue"] = str(start + self.page)
        return web.json_response({"items": found[start : start + self.page], "metadata": meta})

    async def _log(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        pod = self.objects.get(("pods", namespace, name))
        if pod is None:
            return _status(404, "NotFound", f"pods {name} not found")
        if self.log_refusals:
            refusals = self.log_refusals
            status, body = refusals.pop(0) if len(refusals) > 1 else refusals[0]
            if status:
                return web.json_response(body, status=status)
            refusals.clear()
        asked = request.query
        assert (asked["container"], asked["timestamps"]) == ("primary", "true")
        self.since.append(asked.get("sinceTime", ""))
        since = int(datetime.fromisoformat(asked["sinceTime"]).timestamp()) if "sinceTime" in asked else 0
        response = web.StreamResponse()
        await response.prepare(request)
        transport = request.transport  # none once it is closed
        assert isinstance(transport, asyncio.Transport)
        self.following.add(transport)
        try:
            at, inside = self.rotated.get(name, 0), False
            while True:
                waiter, said = self.changed, self.printed.get(name, [])
                ended = _ended(pod)
                for nanos, line in said[at:]:
                    if nanos // 10**9 >= since:
                        await response.write(line if inside else stamp(nanos) + b" " + line)
                    inside = not line.endswith(b"\n")
                at = len(said)
                if "follow" not in asked or (ended and not self.stuck):
                    return response
                await waiter.wait()
        except (ConnectionError, RuntimeError):
            return response
        finally:
            self.following.discard(transport)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        oldest = self.log[-self.keeps][0] if len(self.log) > self.keeps else 0
        if since < oldest:
            return _status(410, "Expired", "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        self.open.add(request.transport)
        try:
            if since < self.version and not self.log:
                await _line(response, {"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
                return response
            while True:
                waiter = self.changed
                for version, event in [] if self.mute else list(self.log):
                    if version > since:
                        await _line(response, event)
                        since = version
                await waiter.wait()
        except (ConnectionError, RuntimeError):
            return response
        finally:
            self.open.discard(request.transport)


def stamp(nanos: int) -> bytes:
    """Return a time as the kubelet writes it."""
    second = datetime.fromtimestamp(nanos // 10**9, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{nanos % 10**9:09d}Z".encode()


def _ended(pod: Json) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return any("terminated" in one["state"] for one in statuses if one["name"] == "primary")


async def _line(response: web.StreamResponse, event: Json) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": message}, status=code)


@asynccontextmanager
async def serving(server: FakeServer) -> AsyncIterator[FakeServer]:
    """Let it listen inside of the block; at the port that it had, if it had one."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", server.port, reuse_address=True)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.sever()
        server.sever_logs()
        await runner.cleanup()


def api_of(server: FakeServer, folder: Path, silence_s: float = 70.0) -> KubernetesApi:
    """Return a client of it."""
    return KubernetesApi(settings_of(server, folder), silence_s)


def settings_of(server: FakeServer, folder: Path, **more: Any) -> ClusterSettings:
    """Return settings that lead to it."""
    path = folder / "kubeconfig"
    named = [{"name": "x", "context": {"cluster": "x", "user": "x"}}]
    where = {"server": f"http://127.0.0.1:{server.port}"}
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": named}
    document |= {
        "clusters": [{"name": "x", "cluster": where}],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(document))
    return ClusterSettings(kubeconfig=path, image="kube.local/task:1", **more)
