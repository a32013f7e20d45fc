"""`python bench/scale.py`: what a node costs in a layered DAG of 10,000 nodes against one of 100, interpreter only.

Rates depend on what else the machine does; the CPU time of the worker hardly. Both are printed, with the number of
runs and the longest history of each execution, and the largest memory of the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
from run import LOCAL, Bench

from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.testing import closures

SERIES = "interpreter"


def memory_mib(pid: int) -> int:
    """Return the largest resident memory that a process has had so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


async def lengths(bench: Bench, name: str) -> list[int]:
    """Return the lengths of the histories of all runs of an execution."""
    description = await bench.client.get_workflow_handle(name).describe()
    run_id = description.raw_description.workflow_execution_info.first_run_id
    found = []
    while run_id:
        history = await bench.client.get_workflow_handle(name, run_id=run_id).fetch_history()
        found.append(len(history.events))
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id
    return found


async def one(bench: Bench, name: str, closure: Closure, nodes: int) -> tuple[float, float]:
    """Run an execution; return seconds and worker CPU milliseconds per node."""
    pid = bench.workers[SERIES].pid
    before, began = measure.cpu_ms(pid), time.perf_counter()
    run = closures.run_input(closure, name, 1, LOCAL)
    engine = TemporalEngine(bench.client, SERIES)
    await engine.start(run, closure)
    state = await engine.wait(run.request.id, 3600)
    if state is None or state.phase is not ExecutionPhase.SUCCEEDED:
        raise SystemExit(f"{name} did not succeed: {state}")
    seconds = time.perf_counter() - began
    return seconds / nodes, (measure.cpu_ms(pid) - before) / nodes


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    options = parser.parse_args()
    small, big = closures.layers(5, 20), closures.layers(options.nodes // 100, 100)
    with tempfile.TemporaryDirectory(prefix="ft-scale-") as folder:
        bench = Bench(Path(folder), [SERIES])
        try:
            await bench.open()
            await one(bench, "warm-up", small, 101)
            costs = [await one(bench, f"small-{i}", small, 101) for i in range(10)]
            wall, cpu = await one(bench, "big", big, options.nodes + 1)
            events = await lengths(bench, "big")
            peak = memory_mib(bench.workers[SERIES].pid)
        finally:
            bench.close()
    small_wall, small_cpu = (sorted(c[i] for c in costs)[len(costs) // 2] for i in (0, 1))
    print(f"100 nodes:    {1 / small_wall:6.0f} nodes/s, worker {small_cpu:.2f} ms/node")
    print(f"{options.nodes:,} nodes: {1 / wall:6.0f} nodes/s, worker {cpu:.2f} ms/node")
    print(f"cost per node: {wall / small_wall:.2f} by time, {cpu / small_cpu:.2f} by the worker's CPU")
    print(f"{len(events)} runs, longest history {max(events):,} events, worker {peak} MiB at most")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
