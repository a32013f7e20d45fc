"""The reflector against a server that fails in each way that a real one does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.kubernetes import names
from flyte_temporal.adapters.launchers.kubernetes.api import Json
from flyte_temporal.adapters.launchers.kubernetes.client import KubernetesApi
from flyte_temporal.adapters.launchers.kubernetes.reflector import Key, Reflector
from tests.unit.adapters.k8s.server import FakeServer, api_of, serving


class Watched:
    """A reflector that runs, and what it told."""

    def __init__(self, api: KubernetesApi) -> None:
        self.told: list[tuple[str, bool]] = []
        self.lists = 0
        self.api = api
        self.reflector = Reflector(api, "ns", "a=b", self._changed, self._synced)
        self._task = asyncio.ensure_future(self.reflector.run())

    def _changed(self, key: Key, pod: Json, gone: bool) -> None:
        self.told.append((key[1], gone))
        if key[1] == "poison":
            raise ValueError("bad news")

    def _synced(self) -> None:
        self.lists += 1

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.reflector.pods}

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.api.close()


async def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "the awaited state did not come"
        await asyncio.sleep(0.01)


async def add(api: KubernetesApi, *names: str) -> None:
    for name in names:
        await api.create(
            "pods", "ns", {"metadata": {"name": name}, "spec": {"containers": [{"name": "primary"}]}}
        )


@pytest.fixture
async def watched(server: FakeServer, tmp_path: Path) -> AsyncIterator[Watched]:
    made = Watched(api_of(server, tmp_path))
    await until(lambda: made.reflector.complete)
    yield made
    await made.close()


async def test_it_keeps_up(server: FakeServer, watched: Watched) -> None:
    await add(watched.api, "a", "b")
    await until(lambda: watched.names == {"a", "b"})
    server.running("a")
    await until(lambda: watched.reflector.pods["ns", "a"]["status"]["phase"] == "Running")
    server.vanish("b")
    await until(lambda: watched.names == {"a"})
    assert ("b", True) in watched.told
    assert watched.lists == 1


async def test_a_list_of_many_pages(server: FakeServer, tmp_path: Path) -> None:
    server.page = 3
    api = api_of(server, tmp_path)
    await add(api, *(f"p{i}" for i in range(10)))
    # 410 on the way through the pages: from the start again.
    server.gone_events = 1
    watched = Watched(api)
    await until(lambda: len(watched.names) == 10)
    await watched.close()
    assert server.count("GET", "/pods") >= 4 + 2


async def test_a_watch_that_is_cut_goes_on_where_it_was(server: FakeServer, watched: Watched) -> None:
    await add(watched.api, "a")
    await until(lambda: watched.names == {"a"})
    server.sever()
    await add(watched.api, "b")
    await until(lambda: watched.names == {"a", "b"})
    assert watched.lists == 1


@pytest.mark.row(25)
async def test_410_as_an_event_lists_again_and_tells_who_vanished(
    server: FakeServer, watched: Watched
) -> None:
    await add(watched.api, "a", "b")
    await until(lambda: watched.names == {"a", "b"})
    server.sever()
    del server.objects["pods", "ns", "a"]
    server.forget()
    await until(lambda: watched.names == {"b"})
    assert ("a", True) in watched.told
    assert watched.lists == 2


@pytest.mark.row(25)
async def test_410_as_a_status_lists_again(server: FakeServer, watched: Watched) -> None:
    await add(watched.api, "a")
    await until(lambda: watched.names == {"a"})
    server.keeps = 1
    server.sever()
    await add(watched.api, "b", "c", "d")
    await until(lambda: watched.names == {"a", "b", "c", "d"})


@pytest.mark.row(25)
async def test_a_version_that_stays_too_old_is_no_storm(server: FakeServer, watched: Watched) -> None:
    """A busy cluster may answer 410 to each watch: lists come with growing pauses."""
    await add(watched.api, *(f"p{i}" for i in range(4)))
    await until(lambda: len(watched.names) == 4)
    server.keeps = 0
    server.log = [(10**9, server.log[0][1])]
    server.keeps = -1
    before = len(server.calls)
    server.sever()
    await asyncio.sleep(2)
    assert len(server.calls) - before < 20


@pytest.mark.row(24)
async def test_no_cpu_while_the_server_is_away(tmp_path: Path) -> None:
    server = FakeServer()
    async with serving(server):
        api = api_of(server, tmp_path)
        await add(api, "a")
        watched = Watched(api)
        await until(lambda: watched.names == {"a"})
    await until(lambda: watched.reflector.away_since is not None)
    spent = time.process_time()
    await asyncio.sleep(3)
    assert time.process_time() - spent < 0.3
    assert watched.names == {"a"}
    async with serving(server):
        await add(api, "b")
        await until(lambda: watched.names == {"a", "b"})
        assert watched.reflector.away_since is None
    await watched.close()


@pytest.mark.row(24)
async def test_a_server_that_falls_silent_is_left(server: FakeServer, tmp_path: Path) -> None:
    watched = Watched(api_of(server, tmp_path, silence_s=0.3))
    await until(lambda: watched.reflector.complete)
    server.mute = True
    await add(watched.api, "a")
    before = server.count("GET", "?watch")
    await until(lambda: server.count("GET", "?watch") > before)
    server.mute = False
    await until(lambda: watched.names == {"a"})
    await watched.close()


async def test_one_bad_pod_blinds_nobody(server: FakeServer, watched: Watched) -> None:
    await add(watched.api, "poison", "fine")
    server._note("MODIFIED", "pods", {"metadata": {}})
    await add(watched.api, "later")
    await until(lambda: {"fine", "later"} <= watched.names)


async def test_what_is_not_read_of_a_pod_is_not_kept(server: FakeServer, watched: Watched) -> None:
    ended = {"terminated": {"exitCode": 1}}
    pod = {
        "metadata": {"name": "a", "managedFields": [{"x": 1}], "annotations": {"k": "v", names.KEY: "me"}},
        "spec": {"containers": [{"name": "primary", "env": [{"name": "A", "value": "b"}]}], "volumes": []},
        "status": {
            "phase": "Failed",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [
                {"type": "Ready", "status": "False"},
                {"type": "DisruptionTarget", "status": "True"},
            ],
            "containerStatuses": [{"name": "primary", "image": "i", "volumeMounts": [], "state": ended}],
        },
    }
    await watched.api.create("pods", "ns", pod)
    await until(lambda: watched.names == {"a"})
    kept = watched.reflector.pods["ns", "a"]
    assert set(kept["spec"]) == {"nodeName", "containers", "initContainers"}
    assert kept["spec"]["containers"] == [{"name": "primary"}]
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {names.KEY: "me"}
    assert kept["status"] == {
        "phase": "Failed",
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
        "containerStatuses": [{"name": "primary", "state": ended}],
    }


async def test_as_many_as_are_watched_leave_calls_a_connection(server: FakeServer, tmp_path: Path) -> None:
    """Seventy projects have more than two hundred namespaces."""
    api = api_of(server, tmp_path)
    watched = [Reflector(api, f"ns-{n}", "a=b", lambda *_, **__: None) for n in range(240)]
    running = [asyncio.create_task(each.run()) for each in watched]
    try:
        async with asyncio.timeout(60):
            while len(server.open) < len(watched):  # noqa: ASYNC110 - another task's state
                await asyncio.sleep(0.01)
            assert await api.get("pods", "ns-0", "none") is None
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await api.close()
