"""Large maps: `python bench/maps.py --items 100000`: rate against the map of 1,000, length of histories, memory of the worker.

Apart from `run`, because it takes minutes. The map of 1,000 runs before and after the large one, so that a machine that
grows slow meanwhile is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from run import Bench

from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.values import literal_of
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures

SAMPLE_S = 1.0


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process alone, without its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Watched:
    """What a run took.

    Args:
        seconds: How long.
        events: Length of the root's history.
        rss: Resident memory of the worker, once a second.
    """

    seconds: float = 0.0
    events: int = 0
    rss: list[float] = field(default_factory=list)


async def watched(bench: Bench, series: str, items: int) -> Watched:
    blobs = open_store(bench.storage)
    xs = await asyncio.to_thread(
        literal_of, list(range(items)), ValueContext(blobs, bench.folder / "scratch", inline_bytes=64 * 1024)
    )
    found, pid = Watched(), bench.workers[series].pid

    async def sample() -> None:
        while True:
            found.rss.append(rss_mib(pid))
            await asyncio.sleep(SAMPLE_S)

    sampling = asyncio.create_task(sample())
    began = time.perf_counter()
    (name,) = await bench.ours(series, closures.mapped(), inputs={"xs": xs})
    found.seconds = time.perf_counter() - began
    sampling.cancel()
    found.events = (await bench.client.get_workflow_handle(name).describe()).history_length
    return found


def spread(rss: list[float]) -> str:
    """Return what the memory of the worker does after the first tenth of a run."""
    later = rss[len(rss) // 10 :]
    middle = sorted(later)[len(later) // 2]
    low, high = min(later) / middle - 1, max(later) / middle - 1
    return f"{middle:.0f} MiB {low:+.0%} {high:+.0%}"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--series", default="interpreter", choices=("interpreter", "pool"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ft-maps-") as folder:
        bench = Bench(Path(folder), [options.series])
        try:
            await bench.open()
            await watched(bench, options.series, 100)
            small = [await watched(bench, options.series, 1_000) for _ in range(3)]
            large = await watched(bench, options.series, options.items)
            small += [await watched(bench, options.series, 1_000) for _ in range(3)]
        finally:
            bench.close()
    rates = sorted(1_000 / each.seconds for each in small)
    rate = options.items / large.seconds
    print("| items | series | items/s | of the map of 1,000 | events of the root | memory of the worker |")
    print("|---|---|---|---|---|---|")
    print(
        f"| 1,000 (6 runs) | {options.series} | {rates[0]:.0f} to {rates[-1]:.0f} | 1 | {small[0].events} | |"
    )
    print(
        f"| {options.items:,} | {options.series} | {rate:.0f} | {rate / (sum(rates) / len(rates)):.2f} "
        f"| {large.events} | {spread(large.rss)} |"
    )


if __name__ == "__main__":
    asyncio.run(main())
