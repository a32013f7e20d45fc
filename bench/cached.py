"""What the cache costs and saves: a map of 1,000 and a chain of 100, computed and then remembered, in one run."""

from __future__ import annotations

import time
import uuid
from statistics import median
from typing import Protocol

from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.document import canonical_bytes, digest, sha256_hex
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.keys import closure as closure_key
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget
from flyte_temporal.spec.policies import CacheSettings
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures

ITEMS, LENGTH = 1_000, 100
NODES = {"map-1000": ITEMS, "chain-100": LENGTH}
SERIES = "pool"


class Runs(Protocol):
    """What the other benchmarks have started."""

    storage: StorageConfig

    def used_ms(self) -> float:
        """Return the CPU milliseconds of server and workers so far."""

    async def ours(self, series: str, closure: Closure, count: int = 1) -> list[str]:
        """Run a closure to its end."""


def _mapped() -> Closure:
    target = ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",))
    node = Node(id="m", target=target, inputs={"x": Constant(value=list(range(ITEMS)))})
    return closures.closure(closures.workflow("shapes.mapped", [node], None))


def _cached(closure: Closure, version: str) -> Closure:
    cache = CacheSettings(enabled=True, version=version)
    tasks = {
        name: task.model_copy(update={"policy": task.policy.model_copy(update={"cache": cache})})
        for name, task in closure.tasks.items()
    }
    return closure.model_copy(update={"tasks": tasks})


async def measure(runs: Runs, rounds: int) -> list[dict[str, object]]:
    """Return medians: seconds without a cache, with one that is empty, with one that knows all."""
    blobs = open_store(runs.storage)
    seconds: dict[tuple[str, str], list[float]] = {}
    used: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for shape, plain in (("map-1000", _mapped()), ("chain-100", closures.chain(LENGTH))):
            closure = _cached(plain, uuid.uuid4().hex)
            for each in (plain, closure):
                data = canonical_bytes(each)
                blobs.put_new(closure_key(digest(each)), data, sha256_hex(data))
            for what, of in (("not cached", plain), ("first", closure), ("second", closure)):
                started, before = time.perf_counter(), runs.used_ms()
                await runs.ours(SERIES, of)
                seconds.setdefault((shape, what), []).append(time.perf_counter() - started)
                used.setdefault((shape, what), []).append(runs.used_ms() - before)
    return [
        {
            "shape": shape,
            "run": what,
            "seconds": round(median(found), 3),
            "of_first": round(median(s / f for s, f in zip(found, seconds[shape, "first"], strict=True)), 3),
            "ms_per_node": round(median(found) * 1000 / NODES[shape], 2),
            "cpu_ms_per_node": round(median(used[shape, what]) / NODES[shape], 2),
        }
        for (shape, what), found in seconds.items()
    ]


def table(found: list[dict[str, object]]) -> str:
    """Return a Markdown table."""
    lines = [
        "| shape | run | seconds | share of the first | ms/node | CPU ms/node |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['shape']} | {row['run']} | {row['seconds']} | {row['of_first']} | {row['ms_per_node']} "
        f"| {row['cpu_ms_per_node']} |"
        for row in found
    ]
    return "\n".join(lines)
