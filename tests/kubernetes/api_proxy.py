"""`ApiProxy`: stands before the API server of a cluster; counts what is asked, cuts connections, and can be away.

It runs in a thread of its own, and passes on who asks: what comes with a token goes on with that token.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

T = TypeVar("T")

_HOP = {"host", "connection", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Call:
    """A request to the API server, in the words of RBAC.

    Args:
        verb: `get`, `list`, `watch`, `create`, `delete` …
        resource: `pods`, `pods/log` …
        namespace: Empty for what is in none.
        name: Empty for a collection.
    """

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""


def call_of(method: str, path: str, watch: bool) -> Call:
    """Return what a request asks for."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource = "/".join([*rest[:1], *rest[2:]])
    name = rest[1] if len(rest) > 1 else ""
    if method == "GET":
        verb = "watch" if watch else "get" if name else "list"
    else:
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
    return Call(verb, resource, namespace, name)


@dataclass
class ApiProxy:
    """Forwards to the server of a kubeconfig.

    Args:
        kubeconfig: Whose server; also who asks, unless `token` is given.
        token: Whose token is sent on with each request; empty = the kubeconfig's own credentials.
    """

    kubeconfig: Path
    token: str = ""
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api proxy", daemon=True)
        self._site: web.TCPSite | None = None
        self._open: set[asyncio.Transport] = set()

    def counted(self) -> Counter[tuple[str, str]]:
        """Return how often each verb was used on each resource."""
        return Counter((call.verb, call.resource) for call in self.calls)

    def start(self) -> None:
        self._thread.start()
        self._call(self._start())

    def away(self) -> None:
        """Let nobody in any more, and cut whom is connected."""
        self._call(self._away())

    def back(self) -> None:
        """Be there again, at the same port."""
        self._call(self._listen())

    def sever(self) -> int:
        """Cut all connections at once, as a load balancer that is replaced; return how many there were."""
        return self._call(self._sever())

    def stop(self) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def written(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here, and return its path."""
        path = folder / f"proxy-{self.port}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "proxy", "user": {"token": self.token or "nobody"}}],
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def _start(self) -> None:
        server, context, headers = _server_of(self.kubeconfig, self.token)
        self._server, self._headers = server, headers
        self._session = ClientSession(
            connector=TCPConnector(ssl=context, limit=0),
            timeout=ClientTimeout(total=None),
            # Long answers come compressed to whom says that it can read that, and are passed on as they are.
            auto_decompress=False,
            skip_auto_headers={"Accept-Encoding"},
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _away(self) -> None:
        assert self._site is not None
        # Not the site's own stop, which waits for what is open.
        server = self._site._server
        assert server is not None
        server.close()
        self._runner._sites.remove(self._site)
        await self._sever()

    async def _sever(self) -> int:
        cut = len(self._open)
        # Those between two requests too: a client would ask by them as if nothing were.
        for connection in self._runner.server.connections if self._runner.server else ():
            if (transport := connection.transport) is not None:
                transport.abort()
        return cut

    async def _stop(self) -> None:
        await self._sever()
        await self._runner.cleanup()
        await self._session.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") in {"1", "true"}
        self.calls.append(call_of(request.method, request.path, watch))
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._open.add(transport)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP} | self._headers
        try:
            async with self._session.request(
                request.method, self._server + request.raw_path, data=await request.read(), headers=headers
            ) as answer:
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
                given = web.StreamResponse(status=answer.status, headers=kept)
                # Who hangs up on a watch has seen enough.
                with contextlib.suppress(ConnectionError):
                    await given.prepare(request)
                    async for chunk in answer.content.iter_any():
                        await given.write(chunk)
                    await given.write_eof()
                return given
        finally:
            self._open.discard(transport)


def _server_of(kubeconfig: Path, token: str) -> tuple[str, ssl.SSLContext | bool, dict[str, str]]:
    """Return the server's address, how it is trusted and asked, and what each request says of who asks."""
    read = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    named = next(c["context"] for c in read["contexts"] if c["name"] == read["current-context"])
    cluster = next(c["cluster"] for c in read["clusters"] if c["name"] == named["cluster"])
    user = next(u["user"] for u in read["users"] if u["name"] == named["user"])
    bearer = token or user.get("token", "")
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {"Authorization": ""}
    if not cluster["server"].startswith("https:"):
        return cluster["server"], True, headers
    context = ssl.create_default_context(cadata=_data(cluster, "certificate-authority"))
    if not bearer:
        assert "exec" not in user, "TEST_KUBECONFIG needs a certificate or a token"
        del headers["Authorization"]
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "certificate"), Path(folder, "key")
            certificate.write_text(_data(user, "client-certificate"))
            key.write_text(_data(user, "client-key"))
            context.load_cert_chain(certificate, key)
    return cluster["server"], context, headers


def _data(section: dict[str, str], name: str) -> str:
    inline = section.get(f"{name}-data")
    return base64.b64decode(inline).decode() if inline else Path(section[name]).read_text(encoding="utf-8")


@contextmanager
def api_proxy(kubeconfig: Path, token: str = "") -> Iterator[ApiProxy]:
    """Run a proxy inside of the block."""
    proxy = ApiProxy(kubeconfig, token)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
