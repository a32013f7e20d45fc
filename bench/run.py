"""`make bench`: three series on one server, taking turns, medians of three rounds."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cached
import files
import measure
import type_engine
from temporalio.client import Client

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.config.settings import TemporalSettings
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment, ExecutionPhase
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES
from flyte_temporal.storage import bundles
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures

HERE = Path(__file__).parent
LOCAL = RunLimits(pending=100, heartbeat_timeout_s=1.5)
"""As the local stack sets them."""
BATCHED = LOCAL.model_copy(update={"batches": "on"})
SERIES = ("hand", "interpreter", "pool", "batches")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start_server(port: int, folder: Path) -> subprocess.Popen[bytes]:
    keys_ = ["history.transferProcessorMaxPollRPS=2000", "history.timerProcessorMaxPollRPS=2000"]
    keys_ += ['history.timerProcessorMaxTimeShift="10ms"', "history.maximumBufferedEventsBatch=10000"]
    keys_ += ["matching.numTaskqueueReadPartitions=1", "matching.numTaskqueueWritePartitions=1"]
    keys_ += ["matching.enableFairness=true"]
    line = [
        str(Path(sys.executable).parent / "temporal"),
        "server",
        "start-dev",
        "--headless",
        "--ip",
        "127.0.0.1",
    ]
    line += ["--port", str(port), "--db-filename", str(folder / "temporal.db"), "--log-level", "error"]
    line += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
    line += [part for key in keys_ for part in ("--dynamic-config-value", key)]
    line += [part for name in SEARCH_ATTRIBUTES for part in ("--search-attribute", f"{name}=Keyword")]
    return subprocess.Popen(line, env={**os.environ, "GOGC": "400"}, stdout=subprocess.DEVNULL)


class Bench:
    """A server, a worker per series, and the runs on them."""

    def __init__(self, folder: Path, series: list[str]) -> None:
        self.folder = folder
        self.series = series
        self.port = free_port()
        self.server = start_server(self.port, folder)
        self.storage = StorageConfig(root=(folder / "storage").as_uri())
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.samples: list[measure.Sample] = []
        self.environment = Environment()

    async def open(self) -> None:
        blobs = open_store(self.storage)
        self.client: Client = await connect(TemporalSettings(address=f"127.0.0.1:{self.port}"), blobs)
        self.metadata = SqlMetadataStore(f"sqlite:///{self.folder / 'metadata.db'}")
        self.metadata.upgrade()
        bundle = bundles.store_bundle(blobs, bundles.pack(HERE / "tasks", self.folder / "packed"))
        self.environment = Environment(launcher="pool", interpreter=sys.executable, bundle=bundle)
        for closure in (
            closures.chain(100),
            closures.chain(10),
            closures.fan_out(1000),
            closures.layers(10, 20),
            closures.mapped(),
        ):
            blobs.put_new(keys.closure(digest(closure)), canonical_bytes(closure))
        for series in self.series:
            self.workers[series] = self._start_worker(series)

    def _start_worker(self, series: str) -> subprocess.Popen[bytes]:
        prefix = "FLYTE_TEMPORAL_"
        env = {
            f"{prefix}TEMPORAL__ADDRESS": f"127.0.0.1:{self.port}",
            f"{prefix}TEMPORAL__TASK_QUEUE": series,
            f"{prefix}STORAGE__ROOT": self.storage.root,
            f"{prefix}METADATA__URL": f"sqlite:///{self.folder / 'metadata.db'}",
            f"{prefix}WORKER__SCRATCH": str(self.folder / "attempts"),
            f"{prefix}WORKER__CACHE": str(self.folder / "cache"),
            f"{prefix}WORKER__HEARTBEAT_TIMEOUT_S": "1.5",
        }
        worker = subprocess.Popen(
            [sys.executable, str(HERE / "series.py"), series],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
        )
        assert worker.stdout is not None
        if worker.stdout.readline().strip() != b"ready":
            raise SystemExit(f"the worker of the series {series!r} did not start")
        # Whatever temporalio logs there; a pipe that nobody empties stops the worker.
        threading.Thread(target=worker.stdout.read, daemon=True).start()
        return worker

    async def sample(
        self, shape: str, series: str, nodes: int, run: Callable[[], Awaitable[list[str]]]
    ) -> None:
        before = measure.cpu_ms(self.server.pid), measure.cpu_ms(self.workers[series].pid)
        started = time.perf_counter()
        ids = await run()
        seconds = time.perf_counter() - started
        server = measure.cpu_ms(self.server.pid) - before[0]
        worker = measure.cpu_ms(self.workers[series].pid) - before[1]
        events = 0
        for name in ids:
            description = await self.client.get_workflow_handle(name).describe()
            events += description.history_length
        self.samples.append(measure.Sample(shape, series, nodes, seconds, server, worker, events))
        print(f"  {shape:12} {series:12} {nodes / seconds:8.1f} nodes/s", file=sys.stderr)

    async def ours(
        self, series: str, closure: Closure, count: int = 1, inputs: dict[str, LiteralValue] | None = None
    ) -> list[str]:
        engine = TemporalEngine(self.client, series)
        ids = [f"{series}-{uuid.uuid4().hex[:12]}" for _ in range(count)]

        async def one(name: str) -> None:
            limits = BATCHED if series == "batches" else LOCAL
            run = closures.run_input(closure, name, 1, limits, self.environment)
            if inputs is not None:
                run = run.model_copy(update={"request": run.request.model_copy(update={"inputs": inputs})})
            if series != "interpreter":
                await asyncio.to_thread(self.metadata.create_execution, run.request, datetime.now(UTC))
            await engine.start(run, closure)
            state = await engine.wait(run.request.id, 3600)
            if state is None or state.phase is not ExecutionPhase.SUCCEEDED:
                raise SystemExit(f"{name} did not succeed: {state}")

        await asyncio.gather(*map(one, ids))
        return ids

    async def hand(self, workflow: str, args: list[int], count: int = 1) -> list[str]:
        ids = [f"hand-{uuid.uuid4().hex[:12]}" for _ in range(count)]
        start = self.client.execute_workflow
        await asyncio.gather(*(start(workflow, args=args, id=name, task_queue="hand") for name in ids))
        return ids

    def used_ms(self) -> float:
        return sum(measure.cpu_ms(each.pid) for each in (self.server, *self.workers.values()))

    async def round(self, shapes: list[str]) -> None:
        plans: dict[str, tuple[int, Closure, tuple[str, list[int]], int]] = {
            "chain-100": (100, closures.chain(100), ("Chain", [100]), 1),
            "fan-out-1000": (1001, closures.fan_out(1000), ("FanOut", [1000]), 1),
            "layers-10x20": (201, closures.layers(10, 20), ("Layers", [10, 20]), 1),
            "100xchain-10": (1000, closures.chain(10), ("Chain", [10]), 100),
        }
        for shape in shapes or list(plans):
            nodes, closure, (name, args), count = plans[shape]
            for series in self.workers:
                ours = partial(self.ours, series, closure, count)
                await self.sample(
                    shape, series, nodes, partial(self.hand, name, args, count) if series == "hand" else ours
                )

    async def warm_up(self) -> None:
        if "hand" in self.series:
            await self.hand("Chain", [10])
        for series in self.workers:
            if series == "hand":
                continue
            await self.ours(series, closures.chain(10), 4)
        self.samples.clear()

    def close(self) -> None:
        for process in [*self.workers.values(), self.server]:
            process.terminate()
        for process in [*self.workers.values(), self.server]:
            process.wait(timeout=30)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--series", action="append", default=[], choices=SERIES[1:])
    parser.add_argument("--cached", action="store_true", help="only the cache")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ft-bench-") as folder:
        series = [cached.SERIES] if options.cached else ["hand", *(options.series or SERIES[1:])]
        bench = Bench(Path(folder), series)
        remembered: list[dict[str, object]] = []
        try:
            await bench.open()
            await bench.warm_up()
            for number in range(0 if options.cached else options.rounds):
                print(f"round {number + 1}", file=sys.stderr)
                await bench.round(options.shape)
            if options.cached or not (options.shape or options.series):
                remembered = await cached.measure(bench, options.rounds)
        finally:
            bench.close()
    found = measure.rows(bench.samples)
    chosen = bool(options.shape or options.series or options.cached)
    types = [] if chosen else type_engine.measure()
    passed = [] if chosen else files.measure(options.rounds)
    (HERE / "results.json").write_text(json.dumps([*found, *remembered, *types, *passed], indent=1) + "\n")
    print(measure.table(bench.samples, found))
    if remembered:
        print(cached.table(remembered))
    if not chosen:
        print(type_engine.table(types))
        print(files.table(passed))


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
