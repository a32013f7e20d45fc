"""Logs of containers without our runtime: from a small API server into the blob store, whatever happens between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from flyte_temporal.adapters.launchers.kubernetes import client, driving, logs, names
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import Put
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.spec.entities import ContainerSpec, TaskSpec
from flyte_temporal.spec.interface import Interface
from flyte_temporal.storage.logs import CHUNK_BYTES, read_log
from flyte_temporal.storage.streamed_logs import StreamedLog
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.adapters.k8s.made import SOON_S, attempt_of, order_of, until
from tests.unit.adapters.k8s.server import FakeServer, settings_of, stamp

New = Callable[..., KubernetesLauncher]


class Store(MemoryBlobStore):
    """A store that may be away, and slow."""

    away = False
    slow_s = 0.0

    def put_new(self, key: str, data: bytes | Path, sha256: str | None = None) -> Put:
        if "/logs/" in key:
            time.sleep(self.slow_s)
            if self.away:
                raise StorageError("the store is away")
        return super().put_new(key, data, sha256)


@pytest.fixture
def blobs() -> Store:
    return Store()


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of chunks with which results were committed."""
    found: list[int] = []

    async def commit(order: AttemptOrder, look: Any, chunks: int) -> str:
        found.append(chunks)
        return ""

    monkeypatch.setattr(driving, "commit", commit)
    return found


@pytest.fixture
async def new(
    server: FakeServer, blobs: Store, tmp_path: Path, committed: list[int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[New]:
    for name, seconds in {"INTERVAL_S": 0.02, "_FIRST_S": 0.05, "_LINGER_S": 0.2}.items():
        monkeypatch.setattr(logs, name, seconds)
    made: list[KubernetesLauncher] = []

    def one() -> KubernetesLauncher:
        made.append(KubernetesLauncher({"default": settings_of(server, tmp_path)}, blobs))
        return made[-1]

    yield one
    for launcher in made:
        await launcher.close()


def order_at(node: str = "n0") -> AttemptOrder:
    container = ContainerSpec(image="alpine:3", command=("work",))
    task = TaskSpec(name="tools.work", type="container", interface=Interface(), container=container)
    return order_of(attempt_of(node)).model_copy(update={"task": task})


def name_of(order: AttemptOrder) -> str:
    return names.pod_name(order.attempt)


async def begin(server: FakeServer, launcher: KubernetesLauncher, order: AttemptOrder) -> str:
    """Start it, and have its container at work."""
    await launcher.start(order)
    name = name_of(order)
    await until(lambda: name in {pod["metadata"]["name"] for pod in server.pods()})
    server.running(name)
    return name


async def over(launcher: KubernetesLauncher, order: AttemptOrder) -> AttemptState:
    state = await launcher.observe(order.attempt, SOON_S)
    assert state.over, state
    return state


def log_of(blobs: Store, order: AttemptOrder) -> bytes:
    return b"".join(read_log(blobs, order.attempt.key))


def asked(server: FakeServer) -> int:
    return server.count("GET", "/log")


async def test_it_is_stored_while_the_container_runs_by_one_request(
    server: FakeServer, new: New, blobs: Store, committed: list[int]
) -> None:
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    for number in range(3):
        server.prints(name, f"line {number}\n".encode(), b"\xff\xfe\0 not text\n")
        await until(lambda: log_of(blobs, order).count(b"not text") == number + 1)  # noqa: B023
    server.prints(name, b"the last one\n")
    server.ended(name)
    assert (await over(launcher, order)).exit_code == 0
    assert log_of(blobs, order) == b"".join(line for _, line in server.printed[name])
    assert committed == [len(list(read_log(blobs, order.attempt.key)))]
    await launcher.release(order.attempt)
    assert asked(server) == 1
    # Its owner, itself, its log, its deletion.
    assert server.count("POST", "") + asked(server) + server.count("DELETE", "") == 4


async def test_a_short_pod_is_never_seen_running(server: FakeServer, new: New, blobs: Store) -> None:
    launcher, order = new(), order_at()
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.prints(name_of(order), b"one\n", b"two\n")
    server.ended(name_of(order), 3, message="two")
    state = await over(launcher, order)
    assert (state.exit_code, state.message) == (3, "two")
    assert log_of(blobs, order) == b"one\ntwo\n"
    assert asked(server) == 1


async def test_logs_of_tasks_with_our_runtime_are_none_of_our_business(server: FakeServer, new: New) -> None:
    launcher, order = new(), order_of()
    name = await begin(server, launcher, order)
    server.prints(name, b"echo\n")
    server.ended(name)
    await over(launcher, order)
    assert asked(server) == 0


async def test_a_worker_that_comes_later_goes_on_where_the_first_one_was(
    server: FakeServer, new: New, blobs: Store
) -> None:
    """Also if the kubelet gives nothing any more of what was stored."""
    first, order = new(), order_at()
    name = await begin(server, first, order)
    server.prints(name, b"one\n", b"two\n")
    await until(lambda: log_of(blobs, order) == b"one\ntwo\n")
    await first.close()
    last = server.printed[name][-1][0]
    server.rotate(name)
    server.prints(name, b"three\n")
    second = new()
    await second.start(order)
    await until(lambda: log_of(blobs, order).endswith(b"three\n"))
    assert server.since == ["", f"{stamp(last).decode()[:19]}Z"]
    await second.close()
    server.prints(name, b"four\n", nanos=server.printed[name][-1][0])
    server.ended(name)
    third = new()
    await third.start(order)
    await over(third, order)
    assert log_of(blobs, order) == b"one\ntwo\nthree\nfour\n"
    late = new()
    await late.start(order)
    await over(late, order)
    assert log_of(blobs, order) == b"one\ntwo\nthree\nfour\n"


async def test_two_workers_that_both_think_it_is_theirs(server: FakeServer, new: New, blobs: Store) -> None:
    one, two, order = new(), new(), order_at()
    name = await begin(server, one, order)
    await two.start(order)
    await until(lambda: asked(server) == 2)
    for number in range(100):
        server.prints(name, f"line {number}\n".encode())
        await asyncio.sleep(0.005)
    server.ended(name)
    await asyncio.gather(over(one, order), over(two, order))
    assert log_of(blobs, order) == b"".join(line for _, line in server.printed[name])


async def test_connections_that_are_cut(server: FakeServer, new: New, blobs: Store) -> None:
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    for number in range(4):
        await until(lambda: bool(server.following))
        server.prints(name, f"line {number}\n".encode(), b"and more\n")
        server.sever_logs()
        server.log_refusals += [(503, {"message": "busy"}), (0, {})]
    server.ended(name)
    await over(launcher, order)
    assert log_of(blobs, order) == b"".join(line for _, line in server.printed[name])


async def test_a_stream_that_ends_too_early_and_one_that_never_does(
    server: FakeServer, new: New, blobs: Store
) -> None:
    """The kubelet was restarted; or it lost sight of a file that was rotated."""
    server.stuck = True
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.prints(name, b"one\n")
    await until(lambda: log_of(blobs, order) == b"one\n")
    server.ended(name)
    await over(launcher, order)
    assert log_of(blobs, order) == b"one\n"
    assert asked(server) == 2


async def test_a_connection_that_is_silent_for_long_is_opened_anew(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end of it may be gone without a word."""
    monkeypatch.setattr(client, "_FOLLOWED", aiohttp.ClientTimeout(total=None, sock_read=0.2))
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.prints(name, b"one\n")
    await until(lambda: asked(server) >= 3)
    server.prints(name, b"two\n")
    server.ended(name)
    await over(launcher, order)
    assert log_of(blobs, order) == b"one\ntwo\n"


async def test_a_right_that_is_missing_is_told_and_fails_nothing(
    server: FakeServer, new: New, blobs: Store
) -> None:
    server.log_refusals = [(403, {"reason": "Forbidden", "message": "cannot get pods/log"})]
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    await until(lambda: b"`pods/log`" in log_of(blobs, order))
    server.ended(name)
    assert (await over(launcher, order)).exit_code == 0
    assert log_of(blobs, order).count(b"\n") == 1
    assert asked(server) == 1


@pytest.mark.parametrize("status", [429, 500])
async def test_a_server_that_never_answers_holds_up_nothing(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(logs, "_IDLE_S", 0.5)
    server.log_refusals = [(status, {"message": "not now"})]
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.ended(name)
    since = time.monotonic()
    assert (await over(launcher, order)).exit_code == 0
    assert time.monotonic() - since < 5
    assert b"could not be read in time" in log_of(blobs, order)
    assert b"not now" in log_of(blobs, order)
    assert asked(server) < 30


async def test_a_server_that_answers_later_is_waited_for(server: FakeServer, new: New, blobs: Store) -> None:
    launcher, order = new(), order_at()
    server.log_refusals = [(429, {"message": "busy"})] * 5 + [(0, {})]
    await launcher.start(order)
    await until(lambda: bool(server.pods()))
    server.prints(name_of(order), b"one\n")
    server.ended(name_of(order))
    await over(launcher, order)
    assert log_of(blobs, order) == b"one\n"


async def test_what_was_read_of_a_pod_that_is_gone_stays(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.prints(name, b"one\n")
    await until(lambda: log_of(blobs, order) == b"one\n")
    monkeypatch.setattr(logs, "INTERVAL_S", 60.0)
    server.prints(name, b"two\n")
    await until(lambda: launcher._logs._readers[order.attempt.key]._out.pending > 0)
    launcher._entries[order.attempt.key].sent_at -= 60
    server.vanish(name)
    server.sever_logs()
    state = await over(launcher, order)
    assert state.phase is AttemptPhase.LOST
    stored = log_of(blobs, order)
    assert stored.startswith(b"one\ntwo\n[flyte-temporal: the rest of this log is gone with its pod")
    assert stored.count(b"\n") == 3


async def test_a_store_that_is_away_for_a_while(server: FakeServer, new: New, blobs: Store) -> None:
    blobs.away = True
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.prints(name, b"one\n")
    await asyncio.sleep(0.2)
    server.prints(name, b"two\n")
    server.ended(name)
    await asyncio.sleep(0.2)
    blobs.away = False
    await over(launcher, order)
    assert log_of(blobs, order) == b"one\ntwo\n"


async def test_a_store_that_stays_away_holds_up_nothing(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_IDLE_S", 0.5)
    blobs.away = True
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    server.prints(name, b"one\n")
    server.ended(name)
    assert (await over(launcher, order)).exit_code == 0
    assert log_of(blobs, order) == b""


@pytest.mark.parametrize("held", [0, logs._HELD], ids=["of many", "alone"])
async def test_little_of_a_long_log_is_in_memory(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(logs, "_HELD", held)
    monkeypatch.setattr(logs, "INTERVAL_S", 60.0)
    most = 0
    add = StreamedLog.add

    def seen(log: StreamedLog, data: bytes) -> None:
        nonlocal most
        add(log, data)
        most = max(most, log.pending)

    monkeypatch.setattr(StreamedLog, "add", seen)
    blobs.slow_s = 0.005
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    lines = [b"x" * 16_000] * 700 + [b"y\n"]
    server.prints(name, *lines)
    server.ended(name)
    await over(launcher, order)
    assert log_of(blobs, order) == b"".join(lines)
    piece = CHUNK_BYTES if held else logs._PIECE
    # A piece, and what came by the connection at once.
    assert piece <= most < piece + 320_000
    assert asked(server) == 1


async def test_more_logs_than_may_be_read_at_once(
    server: FakeServer, new: New, blobs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOGS_FOLLOWED", 2)
    monkeypatch.setattr(logs, "LOGS_READ", 1)
    launcher, orders = new(), [order_at(f"n{number}") for number in range(6)]
    pods = [await begin(server, launcher, order) for order in orders]
    for name in pods:
        server.prints(name, name.encode() + b"\n")
    await until(lambda: sum(bool(log_of(blobs, order)) for order in orders) == 2)
    assert asked(server) == 2
    # Those that end first are those that have no place.
    waiting = [order for order in orders if not log_of(blobs, order)]
    for some in (waiting, [order for order in orders if order not in waiting]):
        for order in some:
            server.ended(name_of(order))
        for order in some:
            await over(launcher, order)
            assert log_of(blobs, order) == name_of(order).encode() + b"\n"
    assert asked(server) == 6


async def test_a_worker_that_forgets_an_attempt_lets_go_of_its_log(
    server: FakeServer, new: New, blobs: Store
) -> None:
    launcher, order = new(), order_at()
    name = await begin(server, launcher, order)
    await until(lambda: bool(server.following))
    await launcher.release(order.attempt)

    def gone() -> bool:
        server.prints(name, b"a server that says nothing does not hear that nobody listens\n")
        return not server.following

    await until(gone)
