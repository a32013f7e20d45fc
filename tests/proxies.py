"""`FaultyProxy`: an HTTP server between a client and another server, which does to requests what a bad network does.

For S3 (moto's server) and GCS (fake-gcs-server); nothing in it knows them.
"""

from __future__ import annotations

import http.client
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

TRICKLES, TRICKLE_S = 20, 0.1
"""In how many pieces an answer trickles, and how long before each."""


@dataclass(frozen=True)
class Request:
    """A request as the plan of a proxy sees it.

    Args:
        method: `GET`, `PUT` …
        path: Path and query.
        size: Bytes of its body.
        number: The how manieth request of this method, from 1.
    """

    method: str
    path: str
    size: int
    number: int


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Args:
        kind: `drop` (forwarded, and never answered: the client does not know that it was done), `reset` (not forwarded, the
            connection is reset), `status` (not forwarded, answered so), `truncate` (forwarded, the answer's body is cut in
            its middle), `cut` (half of the request's body arrives at the server, whose connection then breaks), `hang` (not
            forwarded, and not answered for as long as the proxy lives), `trickle` (forwarded, the answer comes in small pieces).
        status: For `status`.
        delay_s: How long it waits before anything else.
    """

    kind: Literal["drop", "reset", "status", "truncate", "cut", "hang", "trickle", "none"] = "none"
    status: int = 503
    delay_s: float = 0.0


Decide = Callable[[Request], Fault | None]


class FaultyProxy(ThreadingHTTPServer):
    """Forwards every request to a port of this machine, but for what `decide` says.

    Args:
        target: The port.
        decide: What is to happen to a request; None = nothing.
    """

    daemon_threads = True

    def __init__(self, target: int, decide: Decide) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = target
        self.decide = decide
        self.requests: list[Request] = []
        self.faults: list[tuple[Request, Fault]] = []
        self._lock = threading.Lock()
        self.ends = threading.Event()

    def plan(self, method: str, path: str, size: int) -> Fault:
        """Note a request and return what is to happen to it."""
        with self._lock:
            number = sum(1 for each in self.requests if each.method == method) + 1
            request = Request(method, path, size, number)
            self.requests.append(request)
            fault = self.decide(request)
            if fault is not None:
                self.faults.append((request, fault))
        return fault or Fault()

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(1 for each in self.requests if each.method == method)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: connections that break are what it is for."""


@contextmanager
def proxied(target: int, decide: Decide) -> Iterator[FaultyProxy]:
    """Run a proxy inside of the block; its port is `server_address[1]`."""
    proxy = FaultyProxy(target, decide)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ends.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def first(count: int, method: str, fault: Fault) -> Decide:
    """Return a plan by which a fault happens to the first requests of a method."""
    return lambda request: fault if request.method == method and request.number <= count else None


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def do_PUT(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def do_DELETE(self) -> None:
        self._forward()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Keep quiet."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.plan(self.command, self.path, len(body))
        if fault.delay_s:
            time.sleep(fault.delay_s)
        match fault.kind:
            case "reset":
                self._hang_up(reset=True)
            case "hang":
                self.server.ends.wait()
                self._hang_up(reset=True)
            case "status":
                self._answer(fault.status, [], b"")
            case "cut":
                self._cut(body)
                self._hang_up(reset=True)
            case _:
                status, headers, data = self._asked(body)
                if fault.kind == "drop":
                    self._hang_up()
                else:
                    self._answer(status, headers, data, fault.kind)

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        # As a reverse proxy does: some servers look at whom they are called.
        headers = {**dict(self.headers), "Host": f"127.0.0.1:{self.server.target}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.target)) as connection:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _cut(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        connection.close()

    def _hang_up(self, *, reset: bool = False) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, kind: str = "") -> None:
        self.send_response_only(status)
        length = str(len(data))
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            elif name.lower() == "location":
                mine = self.server.server_address[1]
                self.send_header(name, value.replace(f":{self.server.target}/", f":{mine}/"))
            elif name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            size = max(1, len(data) // TRICKLES if kind == "trickle" else len(data))
            for at in range(0, len(data) // 2 if kind == "truncate" else len(data), size):
                time.sleep(TRICKLE_S if kind == "trickle" else 0)
                self.wfile.write(data[at : at + size])
        if kind == "truncate":
            self._hang_up()


class LossyPipe(socketserver.ThreadingUnixStreamServer):
    """A socket before PostgreSQL's: forwards all, but can lose the answer to a COMMIT, and then the connection.

    Args:
        path: The socket to be.
        target: The server's socket.
    """

    daemon_threads = True

    def __init__(self, path: str, target: str) -> None:
        super().__init__(path, _Pipe)
        self.target = target
        self.lose = 0
        self.lost = 0

    def loses(self) -> bool:
        """Return whether the answer to this COMMIT is to be lost."""
        if self.lose <= 0:
            return False
        self.lose -= 1
        self.lost += 1
        return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: connections that break are what it is for."""


@contextmanager
def lossy_pipe(path: str, target: str) -> Iterator[LossyPipe]:
    """Run a pipe inside of the block."""
    pipe = LossyPipe(path, target)
    thread = threading.Thread(target=pipe.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield pipe
    finally:
        pipe.shutdown()
        pipe.server_close()
        thread.join()


class _Pipe(socketserver.BaseRequestHandler):
    server: LossyPipe

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.target)
            losing = False
            while True:
                for ready in select.select([self.request, upstream], [], [])[0]:
                    data = ready.recv(65536)
                    if not data or (losing and ready is upstream):
                        return  # the server has answered, so it is committed
                    losing = losing or (ready is self.request and b"COMMIT" in data and self.server.loses())
                    (upstream if ready is self.request else self.request).sendall(data)
