"""What an attempt in a container costs beyond `podman run` of the same image and command: `make bench-containers`.

Both run the same thing, one after the other and in turn: our runtime on a stored order of a task that does nothing. What
is ours is making the order, `create` and `start` as two calls, noticing the end and asking for the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flyte_temporal.adapters.launchers.containers.launcher import ContainerLauncher, make_podman
from flyte_temporal.adapters.launchers.containers.places import Data
from flyte_temporal.adapters.launchers.containers.plan import Surroundings, planned
from flyte_temporal.config.settings import ContainerSettings, Settings, StorageSettings, WorkerSettings
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.storage import orders
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing.attempts import AttemptBench
from tools.task_image import build

JOB = """
from flyte_temporal import task

@task
def nothing(x: int) -> int:
    return x
"""
MOST_S = 0.25
"""What the issue allows."""


def bare(order: AttemptOrder, settings: ContainerSettings) -> float:
    """Return how long `podman run` takes with the very options of the launcher."""
    none = Path("/nowhere")
    plan = planned(
        order,
        orders.leave(open_store(order.storage), order),
        Data(none, none, none),
        Surroundings(settings, {}),
    )
    begun = time.perf_counter()
    subprocess.run(["podman", "run", *plan.arguments], capture_output=True, check=True)
    passed = time.perf_counter() - begun
    subprocess.run(["podman", "rm", plan.arguments[1]], capture_output=True, check=True)
    return passed


async def ours(order: AttemptOrder, launcher: ContainerLauncher) -> float:
    """Return how long the launcher takes until the end is known."""
    begun = time.perf_counter()
    await launcher.start(order)
    state = await launcher.observe(order.attempt, 120)
    passed = time.perf_counter() - begun
    if state.exit_code != 0:
        raise SystemExit(f"The task failed: {state}")
    await launcher.release(order.attempt)
    # The removal is nobody's waiting time, and would disturb the next run.
    await asyncio.gather(*launcher._background)  # noqa: SLF001
    return passed


async def measure(count: int) -> dict[str, float]:
    """Return medians, in seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-containers-") as folder:
        root = Path(folder)
        (root / "source").mkdir()
        (root / "source" / "jobs.py").write_text(JOB)
        bench = AttemptBench(root / "source", root)
        settings = Settings(
            worker=WorkerSettings(scratch=root / "scratch", cache=root / "cache"),
            storage=StorageSettings(root=bench.storage.root),
            containers=ContainerSettings(image=build("podman", bootstrap=True)),
        )
        launcher = make_podman(settings)
        theirs_s, ours_s = [], []
        for number in range(count + 1):
            theirs, mine = bare(bench.order("jobs.nothing", {"x": 1}), settings.containers), 0.0
            mine = await ours(bench.order("jobs.nothing", {"x": 1}), launcher)
            if number:  # the first ones read the image from the disk
                theirs_s.append(theirs)
                ours_s.append(mine)
        await launcher.close()
    pairs = [mine - theirs for mine, theirs in zip(ours_s, theirs_s, strict=True)]
    return {
        "podman_run_s": round(statistics.median(theirs_s), 3),
        "launcher_s": round(statistics.median(ours_s), 3),
        "overhead_s": round(statistics.median(pairs), 3),
        "most_s": MOST_S,
    }


def main() -> int:
    """Measure and print JSON; the exit code says whether the bound was kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=15, help="attempts of each kind")
    found = asyncio.run(measure(parser.parse_args().count))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if found["overhead_s"] <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
