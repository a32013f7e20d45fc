"""What pods cost a worker: `make bench-containers` (or alone: `tests/cluster/with .venv/bin/python -m bench.pods`).

`fake`: 1,000 pods of one execution on nodes that kwok plays (docs: tests/cluster). They cost the machine nothing, so all that is
measured is ours: requests to the API server, CPU and memory of the worker. `real`: one pod after the other on the real node, in turn
with a bare one of the same image, command and volumes, created and watched by a few lines of script; each begins once the last is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from flyte_temporal.adapters.launchers.kubernetes.api import PODS, Json
from flyte_temporal.adapters.launchers.kubernetes.client import KubernetesApi
from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.config.clusters import ClusterSettings, Placement
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.literals import Inline
from tests.kubernetes.ground import Ground, ground
from tests.kubernetes.kubectl import Kubectl

Timed = Callable[[AttemptOrder], Awaitable[float]]
"""A way to run a pod, and how many seconds it takes."""
FAKE = Placement(
    node_selector={"type": "fake"},
    tolerations=({"key": "fake", "operator": "Exists", "effect": "NoSchedule"},),
)
MOST = {
    "calls_per_pod": 4.0,
    "cpu_ms_per_event": 0.5,
    "idle_percent": 1.0,
    "rss_growth_mb": 50.0,
    "overhead_s": 0.3,
}
"""What the issue allows."""


def rss_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def orders_of(place: Ground, count: int) -> list[AttemptOrder]:
    """Return orders of one execution, as a map has them."""
    first = place.bench.order("work.add", {"n": 0})
    made = []
    for number in range(count):
        attempt = first.attempt.model_copy(update={"node": f"n0.{number}"})
        made.append(first.model_copy(update={"attempt": attempt, "inputs": {"n": Inline(value=number)}}))
    return made


async def fake(place: Ground, count: int, run_s: int, idle_s: float) -> dict[str, float]:
    """Measure many pods at once."""
    orders = orders_of(place, count)
    settings = {"placement": FAKE, "annotations": {"fake/run": f"{run_s}s"}, "creates_per_s": 200.0}
    async with place.launcher(place.kubectl.kubeconfig, **settings) as launcher:
        warm = await _warm_up(place, launcher)
        cluster = launcher.cluster()
        calls, before, cpu, began = cluster.api.calls, rss_mb(), time.process_time(), time.monotonic()
        reflector = cluster.watch(warm.attempt.execution)
        events, event_cpu = reflector.events, reflector.cpu_s
        for order in orders:
            await launcher.start(order)
        while sum(_phase(pod) == "Running" for pod in reflector.pods.values()) < count:
            assert time.monotonic() - began < 600
            await asyncio.sleep(0.2)
        started_s, busy_cpu = time.monotonic() - began, time.process_time() - cpu
        grown = rss_mb() - before
        idle_cpu = time.process_time()
        await asyncio.sleep(idle_s)
        idle_cpu = time.process_time() - idle_cpu
        states = await place.finished(launcher, orders, 600)
        assert all(state.exit_code == 0 for state in states.values())
        await asyncio.gather(*(launcher.release(order.attempt) for order in orders))
        grown = max(grown, rss_mb() - before)
        used = cluster.api.calls - calls
        return {
            "pods": count,
            "seconds_until_all_run": round(started_s, 1),
            "calls_per_pod": round(used / count, 2),
            "events": reflector.events - events,
            "cpu_ms_per_event": round((reflector.cpu_s - event_cpu) * 1000 / (reflector.events - events), 3),
            "worker_cpu_ms_per_pod": round((time.process_time() - cpu) * 1000 / count, 2),
            "worker_cpu_ms_per_started_pod": round(busy_cpu * 1000 / count, 2),
            "idle_percent": round(idle_cpu / idle_s * 100, 2),
            "rss_growth_mb": round(grown, 1),
        }


async def _warm_up(place: Ground, launcher: KubernetesLauncher) -> AttemptOrder:
    """Run one pod, so that what every worker loads once is loaded."""
    order = place.bench.order("work.add", {"n": 0})
    await launcher.start(order)
    await place.finished(launcher, [order], 300)
    await launcher.release(order.attempt)
    return order


def _phase(pod: Json) -> str:
    return str(pod["status"].get("phase"))


class _Kept(KubernetesApi):
    """Creates no pod, but keeps what would have been one; everything that a launcher does before is done."""

    def __init__(self, cluster: ClusterSettings) -> None:
        super().__init__(cluster)
        self.kept: asyncio.Queue[Json] = asyncio.Queue()

    async def create(self, kind: str, namespace: str, document: Json) -> Json:
        if kind != PODS:
            return await super().create(kind, namespace, document)
        self.kept.put_nowait(document)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def bare(place: Ground, api: KubernetesApi, order: AttemptOrder) -> float:
    """Return how long the very same pod takes when a script makes it and watches it."""
    settings = place.settings(place.kubectl.kubeconfig)
    keeping = _Kept(settings)
    launcher = KubernetesLauncher({"default": settings}, place.bench.store, lambda _: keeping)
    try:
        await launcher.start(order)
        document = await keeping.kept.get()
    finally:
        await launcher.close()
    name = document["metadata"]["name"]
    version = (await api.page(PODS, place.namespace, "app=none"))["metadata"]["resourceVersion"]
    began = time.perf_counter()
    await api.create(PODS, place.namespace, document)
    async for event in api.watch(place.namespace, "app.kubernetes.io/managed-by=flyte-temporal", version):
        found = event.get("object") or {}
        if found.get("metadata", {}).get("name") == name and _phase(found) in {"Succeeded", "Failed"}:
            assert _phase(found) == "Succeeded"
            break
    passed = time.perf_counter() - began
    await api.delete(PODS, place.namespace, name, grace_s=0)
    return passed


async def real(place: Ground, rounds: int) -> dict[str, float]:
    """Measure one pod after the other."""
    api = KubernetesApi(place.settings(place.kubectl.kubeconfig))
    try:
        async with place.launcher(place.kubectl.kubeconfig) as launcher:
            await _warm_up(place, launcher)

            async def ours(order: AttemptOrder) -> float:
                began = time.perf_counter()
                await launcher.start(order)
                state = (await place.finished(launcher, [order], 300))[order.attempt.key]
                passed = time.perf_counter() - began
                assert state.exit_code == 0
                await launcher.release(order.attempt)
                return passed

            return summary(await in_turn(place, rounds, partial(bare, place, api), ours))
    finally:
        await api.close()


async def in_turn(place: Ground, rounds: int, alone: Timed, ours: Timed) -> list[tuple[float, float]]:
    """Return the seconds of both ways, pair by pair.

    A pod begins once the one before is gone, whose end would otherwise take from it what it takes of the node; and each way comes
    first in turn, so that what is left of such an effect meets both.
    """
    pairs = []
    for number in range(rounds):
        passed = {}
        for way in (alone, ours) if number % 2 == 0 else (ours, alone):
            await place.emptied(600)
            passed[way] = await way(place.bench.order("work.add", {"n": number}))
        pairs.append((passed[alone], passed[ours]))
    return pairs


def summary(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the medians; what ours costs is that of the differences within a pair, which a slow minute does not change."""
    return {
        "rounds": len(pairs),
        "bare_s": round(statistics.median(alone for alone, _ in pairs), 2),
        "ours_s": round(statistics.median(ours for _, ours in pairs), 2),
        "overhead_s": round(statistics.median(ours - alone for alone, ours in pairs), 2),
    }


def main() -> None:
    """Measure, print, and say what is more than it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--run-s", type=int, default=90, help="how long each fake pod runs")
    parser.add_argument("--idle-s", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=10, help="real pods of each kind; 0: none")
    options = parser.parse_args()
    kubectl = Kubectl.find()
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ground(kubectl, Path(folder)) as place:
        if options.pods:
            measured |= asyncio.run(fake(place, options.pods, options.run_s, options.idle_s))
        if options.rounds:
            measured |= asyncio.run(real(place, options.rounds))
    print(json.dumps(measured, indent=2))
    missed = {name: (value, MOST[name]) for name, value in measured.items() if value > MOST.get(name, value)}
    for name, (value, most) in missed.items():
        print(f"{name}: {value} is more than {most}")
    os._exit(bool(missed))


if __name__ == "__main__":
    main()
