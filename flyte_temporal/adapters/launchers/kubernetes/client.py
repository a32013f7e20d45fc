"""`KubernetesApi`: the one user of the Kubernetes client library; one connection pool per cluster, raw JSON, no models.

Models of the library cost 1.4 ms for each event, and a `Watch` of its own makes a TLS context each time (reliability.md
§0.9). Its configuration, which knows kubeconfig files, exec plugins and rotating tokens, is what we want of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from flyte_temporal.adapters.launchers.kubernetes.api import (
    OPENED,
    ApiFailure,
    Json,
)
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.errors import LauncherError

_PAGE = 500
_WATCH_S = 270
_SILENCE_S = 70.0
"""Bookmarks come once a minute; who is silent for longer is gone, though its connection may not say so."""
_CALL = aiohttp.ClientTimeout(total=30, sock_connect=5)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENCE_S)
_CONNECTIONS = 64
_BUFFER = 64 * 1024
_LOG = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=10)
_FOLLOWED = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300)
"""A container may be silent for as long as it likes; but a connection that is gone may be silent, too."""


class KubernetesApi:
    """The API server of one cluster.

    Args:
        cluster: How it is reached.
        silence_s: After how long without a word a watch is given up.
    """

    def __init__(self, cluster: ClusterSettings, silence_s: float = _SILENCE_S) -> None:
        self._cluster = cluster
        self._stream = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence_s)
        self._api: client.ApiClient | None = None
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self.calls = 0

    async def create(self, kind: str, namespace: str, document: Json) -> Json:
        """Create an object and return it."""
        return await self._call("POST", _path(kind, namespace), document)

    async def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """Return an object by a quorum read, or None if there is none."""
        try:
            return await self._call("GET", _path(kind, namespace, name))
        except ApiFailure as failure:
            if failure.status == 404:
                return None
            raise

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str = "", grace_s: float | None = None
    ) -> bool:
        """Ask for the deletion of an object; return whether there was one."""
        options: Json = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = max(0, round(grace_s))
        try:
            await self._call("DELETE", _path(kind, namespace, name), options)
        except ApiFailure as failure:
            # 409: another object has its name, so that one is gone.
            if failure.status in {404, 409}:
                return False
            raise
        return True

    async def page(self, kind: str, namespace: str, selector: str, token: str = "") -> Json:
        """Return a page of a list, by a quorum read."""
        query = [("labelSelector", selector), ("limit", str(_PAGE))]
        if token:
            query.append(("continue", token))
        return await self._call("GET", _path(kind, namespace), query=query)

    async def watch(self, namespace: str, selector: str, version: str) -> AsyncIterator[Json]:
        """Yield events about pods after a version, until the server ends it."""
        query = [
            ("labelSelector", selector),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(_WATCH_S)),
            ("resourceVersion", version),
        ]
        try:
            response = await self._send("GET", _path("pods", namespace), None, query, self._stream)
            try:
                if response.status == 401:
                    # As in `_call`; the watch is opened again anyway.
                    await self.close()
                if response.status != 200:
                    raise _failure(response, await response.read())
                yield {"type": OPENED}
                async for line in _lines(response):
                    yield json.loads(line)
            finally:
                _hang_up(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _away(error) from error

    async def log(
        self, namespace: str, pod: str, container: str, since: str = "", *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the log of a container in pieces, with the time of each line before it."""
        query = [("container", container), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if since:
            query.append(("sinceTime", since))
        path = f"{_path('pods', namespace, pod)}/log"
        try:
            response = await self._send("GET", path, None, query, _FOLLOWED if follow else _LOG)
            try:
                if response.status == 401:
                    # As in `watch`.
                    await self.close()
                if response.status != 200:
                    raise _failure(response, await response.read())
                async for piece in response.content.iter_any():
                    yield piece
            finally:
                _hang_up(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _away(error) from error

    async def node_ready(self, name: str) -> bool | None:
        """Return whether a node is ready; None if we may not know."""
        try:
            node = await self._call("GET", f"/api/v1/nodes/{quote(name, safe='')}")
        except ApiFailure as failure:
            if failure.status == 404:
                return False
            if failure.status == 403:
                return None
            raise
        conditions = (node.get("status") or {}).get("conditions") or ()
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._api is not None:
            await self._api.close()  # type: ignore[no-untyped-call]
            self._api = None

    async def _call(
        self, method: str, path: str, body: Json | None = None, query: list[tuple[str, str]] | None = None
    ) -> Json:
        for last in (False, True):
            try:
                # Each connection costs a worker a quarter of a megabyte for as long as it lives.
                async with self._places:
                    response = await self._send(method, path, body, query, _CALL)
                    try:
                        data = await response.read()
                    finally:
                        response.release()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _away(error) from error
            if response.status == 401 and not last:
                # Tokens of service accounts rotate, and files of credentials are written anew.
                await self.close()
                continue
            if response.status >= 300:
                raise _failure(response, data)
            found: Json = json.loads(data)
            return found
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None,
        query: list[tuple[str, str]] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - it is aiohttp's
    ) -> aiohttp.ClientResponse:
        api = await self._open()
        self.calls += 1
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        sent = await api.param_serialize(
            method=method,
            resource_path=path,
            query_params=query or [],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await api.call_api(*sent, _request_timeout=timeout)
        found: aiohttp.ClientResponse = response.response
        return found

    async def _open(self) -> client.ApiClient:
        async with self._opening:
            if self._api is None:
                self._api = client.ApiClient(await configuration(self._cluster))
            return self._api


async def configuration(cluster: ClusterSettings) -> Any:
    """Return the library's configuration for a cluster.

    Raises:
        LauncherError: If there is none, or it does not fit.
    """
    made = client.Configuration()
    # As many as there are: each set of pods that is watched and each log that is followed has a connection all the time, and
    # nothing may have to wait for one. Calls have their own limit, and so have logs.
    made.connection_pool_maxsize = 0
    # The library holds 4 MiB of each answer that nobody has read yet, so that a line fits; we take it in pieces.
    made.client_session_kwargs = {"read_bufsize": _BUFFER}
    try:
        if cluster.kubeconfig is None and not cluster.context:
            try:
                config.load_incluster_config(client_configuration=made)  # type: ignore[no-untyped-call]
            except config.ConfigException:
                await config.load_kube_config(client_configuration=made)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(cluster.kubeconfig) if cluster.kubeconfig else None,
                context=cluster.context or None,
                client_configuration=made,
            )
    except (config.ConfigException, OSError, ValueError) as error:
        where = cluster.kubeconfig or "the pod's service account, KUBECONFIG or ~/.kube/config"
        raise LauncherError(f"The Kubernetes cluster cannot be reached by {where}: {error}") from error
    return made


def _path(kind: str, namespace: str, name: str = "") -> str:
    inside = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"/api/v1{inside}/{kind}" + (f"/{quote(name, safe='')}" if name else "")


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Cut a connection whose answer has no end; a polite end by TLS would wait for the server, past our own end."""
    transport = response.connection.transport if response.connection is not None else None
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    response.close()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


def _failure(response: aiohttp.ClientResponse, data: bytes) -> ApiFailure:
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    text = status.get("message") or data[:500].decode("utf-8", "replace") or response.reason or ""
    after = response.headers.get("Retry-After", "")
    details = status.get("details") or {}
    wait = float(after) if after.isdigit() else details.get("retryAfterSeconds")
    return ApiFailure(response.status, status.get("reason") or "", text, wait)


def _away(error: BaseException) -> ApiFailure:
    return ApiFailure(0, "", f"The API server does not answer: {type(error).__name__}: {error}".rstrip(": "))
