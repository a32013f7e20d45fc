"""What happens to a cluster happens to pods: the launcher loses none of them, and never makes a second one of an attempt."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.config.clusters import Placement
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase
from tests.kubernetes.api_proxy import api_proxy
from tests.kubernetes.ground import Ground, ground, witness
from tests.kubernetes.kubectl import STATE, Kubectl


@pytest.fixture
def place(kubectl: Kubectl, tmp_path: Path) -> Iterator[Ground]:
    folder = tmp_path / "ground"
    folder.mkdir()
    with ground(kubectl, folder) as made:
        yield made


async def running(place: Ground, count: int, within_s: float = 180) -> None:
    """Wait until so many pods run."""
    end = time.monotonic() + within_s
    while True:
        pods = await asyncio.to_thread(place.pods)
        if sum(pod["status"].get("phase") == "Running" for pod in pods) >= count:
            return
        assert time.monotonic() < end, [pod["status"] for pod in pods]
        await asyncio.sleep(0.5)


@pytest.mark.row(24)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("away_s", [10.0, pytest.param(60.0, marks=pytest.mark.long)])
async def test_the_api_server_is_away(place: Ground, tmp_path: Path, away_s: float) -> None:
    """What runs, runs on, and its end is found; what is asked for meanwhile waits, visibly; the worker costs next to nothing."""
    bench = place.bench
    held = [bench.order("work.hold") for _ in range(5)]
    late = bench.order("work.add", {"n": 1})
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path)) as launcher:
            for order in held:
                await launcher.start(order)
            await running(place, len(held))
            proxy.away()
            await launcher.start(late)
            began, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(away_s)
            used = (time.process_time() - cpu) / (time.monotonic() - began)
            for order in (*held, late):
                state = await launcher.observe(order.attempt)
                assert not state.over
                assert "api_unreachable" in state.message
                assert state.phase is (AttemptPhase.QUEUED if order is late else AttemptPhase.RUNNING)
            await asyncio.to_thread(place.let_go, *held[:3])
            await manifests(place, *held[:3])
            proxy.back()
            await asyncio.to_thread(place.let_go, *held[3:])
            states = await place.finished(launcher, [*held, late], 240)
    assert [state.exit_code for state in states.values()] == [0] * 6
    assert place.succeeded(*held, late)
    # Of a core; this process plays the proxy and the test as well.
    assert used < 0.05, used


async def manifests(place: Ground, *orders: AttemptOrder, within_s: float = 120) -> None:
    """Wait until these attempts have left their results."""
    end = time.monotonic() + within_s
    while not await asyncio.to_thread(place.succeeded, *orders):
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


@pytest.mark.row(24)
@pytest.mark.timeout(300)
async def test_the_watch_is_severed_again_and_again(place: Ground, tmp_path: Path) -> None:
    orders = [place.bench.order("work.nap", {"seconds": 8.0}) for _ in range(5)]
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path)) as launcher:
            for order in orders:
                await launcher.start(order)
            waiting = asyncio.create_task(place.finished(launcher, orders, 120))
            cut = 0
            while not waiting.done():
                await asyncio.sleep(2)
                cut += proxy.sever()
            states = await waiting
        watches = proxy.counted()["watch", "pods"]
    assert [state.exit_code for state in states.values()] == [0] * 5
    assert place.succeeded(*orders)
    assert cut >= 3
    # It goes on where it was, and does not hammer a server that is just coming back.
    assert 2 <= watches <= cut + 3


@pytest.mark.row(19)
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
                # Only these: the cluster may have other pods.
                mine = ",".join(order.attempt.execution.name for order in orders)
                await asyncio.to_thread(
                    place.kubectl.run, *drain, f"--pod-selector=flyte-temporal/execution in ({mine})"
                )
                states = await place.finished(launcher, orders, 90)
            finally:
                place.kubectl.run("uncordon", node)
    for state in states.values():
        assert state.phase is AttemptPhase.EXITED
        assert state.pod is not None
        assert state.pod.disruption == "EvictionByEvictionAPI"
    await place.emptied()


@pytest.mark.row(21, 30)
@pytest.mark.timeout(500)
async def test_a_lost_node_loses_the_attempt_and_its_zombie_changes_nothing(
    place: Ground, tmp_path: Path
) -> None:
    """Its kubelet is stopped. Kubernetes marks its pods for deletion, and they stay so for ever; the attempt is given up once the
    node is surely not there. When it comes back, what ran on is removed."""
    kubelet = kubelet_of_own_cluster()
    order = place.bench.order("work.nap", {"seconds": 600.0})
    # Kubernetes waits 300 s by itself.
    lost = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    placement = Placement(tolerations=({**lost, "tolerationSeconds": 5},))
    with api_proxy(place.kubectl.kubeconfig, place.token()) as proxy, witness(place):
        async with place.launcher(proxy.written(tmp_path), placement=placement, grace_s=1) as launcher:
            await launcher.start(order)
            await running(place, 1)
            os.kill(kubelet, signal.SIGSTOP)
            try:
                await marked_for_deletion(launcher, order)
                state = (await place.finished(launcher, [order], 60))[order.attempt.key]
            finally:
                os.kill(kubelet, signal.SIGCONT)
            assert state.phase is AttemptPhase.LOST
            assert "does not answer" in state.message
            await launcher.release(order.attempt)
    await place.emptied(120)
    manifest = place.bench.manifest(order)
    assert manifest is None or manifest.outputs is None


async def marked_for_deletion(launcher: KubernetesLauncher, order: AttemptOrder) -> None:
    """Wait until the launcher knows it, then put its clock of that forward: a node is not given up for six minutes."""
    entry = launcher._entries[order.attempt.key]
    end = time.monotonic() + 180
    while entry.deleting_since is None:
        assert time.monotonic() < end, "Kubernetes has not marked the pod for deletion"
        await asyncio.sleep(0.5)
    assert not entry.over.done()
    entry.deleting_since -= 400
    entry.wake.set()


def kubelet_of_own_cluster() -> int:
    if "TEST_CLUSTER" not in os.environ:
        pytest.skip("a kubelet can only be stopped on the cluster of tests/cluster")
    return int(Path(os.environ.get("KUBE_STATE", STATE), "run", "kubelet.pid").read_text())
