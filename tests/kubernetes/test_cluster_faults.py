"""What happens to a cluster happens to pods: the launcher loses none of them, and never makes a second one of an attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.spec.attempt import AttemptPhase
from tests.kubernetes.api_proxy import api_proxy
from tests.kubernetes.ground import Ground, ground, witness
from tests.kubernetes.kubectl import Kubectl

AWAY_S = 60.0


@pytest.fixture
def place(kubectl: Kubectl, tmp_path: Path) -> Iterator[Ground]:
    folder = tmp_path / "ground"
    folder.mkdir()
    with ground(kubectl, folder) as made:
        yield made


async def running(place: Ground, count: int, within_s: float = 90) -> None:
    """Wait until so many pods run."""
    end = time.monotonic() + within_s
    while True:
        pods = await asyncio.to_thread(place.pods)
        if sum(pod["status"].get("phase") == "Running" for pod in pods) >= count:
            return
        assert time.monotonic() < end, [pod["status"] for pod in pods]
        await asyncio.sleep(0.5)


@pytest.mark.timeout(400)
async def test_the_api_server_is_away_for_a_minute(place: Ground, tmp_path: Path) -> None:
    """What runs, runs on and is found; what is asked for meanwhile waits, visibly; the worker costs next to nothing."""
    bench = place.bench
    short = [bench.order("work.nap", {"seconds": 10.0}) for _ in range(5)]
    late = bench.order("work.add", {"n": 1})
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path)) as launcher:
            for order in short:
                await launcher.start(order)
            await running(place, len(short))
            proxy.away()
            await launcher.start(late)
            began, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(AWAY_S - 1)
            for order in (*short, late):
                state = await launcher.observe(order.attempt)
                assert not state.over
                assert "api_unreachable" in state.message
            used = (time.process_time() - cpu) / (time.monotonic() - began)
            proxy.back()
            states = await place.finished(launcher, [*short, late], 120)
    assert [state.exit_code for state in states.values()] == [0] * 6
    # Of a core; this process plays the proxy and the test as well.
    assert used < 0.05, used


@pytest.mark.timeout(300)
async def test_the_watch_is_severed_again_and_again(place: Ground, tmp_path: Path) -> None:
    orders = [place.bench.order("work.nap", {"seconds": 8.0}) for _ in range(5)]
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path)) as launcher:
            for order in orders:
                await launcher.start(order)
            waiting = asyncio.create_task(place.finished(launcher, orders, 60))
            cut = 0
            while not waiting.done():
                await asyncio.sleep(2)
                cut += proxy.sever()
            states = await waiting
        watches = proxy.counted()["watch", "pods"]
    assert [state.exit_code for state in states.values()] == [0] * 5
    assert cut >= 3
    # It goes on where it was, and does not hammer a server that is just coming back.
    assert 2 <= watches <= cut + 3


@pytest.mark.timeout(300)
async def test_a_drained_node_costs_no_retry_of_the_users(place: Ground, tmp_path: Path) -> None:
    orders = [place.bench.order("work.nap", {"seconds": 300.0}) for _ in range(3)]
    node = place.kubectl.get("nodes", "--selector=type!=fake")["items"][0]["metadata"]["name"]
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path)) as launcher:
            for order in orders:
                await launcher.start(order)
            await running(place, len(orders))
            try:
                drain = (
                    "drain",
                    node,
                    "--force",
                    "--ignore-daemonsets",
                    "--delete-emptydir-data",
                    "--timeout=90s",
                )
                one = f"--pod-selector=flyte-temporal/domain={orders[0].attempt.execution.domain}"
                await asyncio.to_thread(place.kubectl.run, *drain, one)
                states = await place.finished(launcher, orders, 90)
            finally:
                place.kubectl.run("uncordon", node)
    for state in states.values():
        assert state.phase is AttemptPhase.EXITED
        assert state.pod is not None
        assert state.pod.disruption == "EvictionByEvictionAPI"
    await place.emptied()
