"""A worker's part in a map, as a process that can be killed: starts the attempts of a file, sees them through, says so.

    python -m tests.kubernetes.keeper PLAN RESULTS

Killed and started again, it takes up where it was: whose end it has written down it leaves alone. What pods were left when it
was killed between the two, the reaper removes, as it does in a worker.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from flyte_temporal.adapters.launchers.kubernetes.launcher import KubernetesLauncher
from flyte_temporal.adapters.launchers.kubernetes.reaping import Known, Reaper
from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.storage.blobs import open_store


async def keep(given: dict[str, Any], done: set[str], file: TextIO) -> None:
    """Do it."""
    orders = [AttemptOrder.model_validate(order) for order in given["orders"]]
    clusters = {"default": ClusterSettings.model_validate(given["cluster"])}
    store = open_store(StorageConfig.model_validate(given["storage"]))
    launcher = KubernetesLauncher(clusters, store)

    async def see(order: AttemptOrder) -> None:
        await launcher.start(order)
        while not (state := await launcher.observe(order.attempt, 10.0)).over:
            pass
        file.write(json.dumps({"key": order.attempt.key, "state": state.model_dump(mode="json")}) + "\n")
        file.flush()
        await launcher.release(order.attempt)

    await asyncio.gather(*(see(order) for order in orders if order.attempt.key not in done))
    await Reaper(launcher, still_open).sweep(order.attempt.execution for order in orders)
    await launcher.close()


async def still_open(_: ExecutionId) -> Known:
    """Say of each execution that it goes on: only attempts that left a result are over."""
    return Known.OPEN


def main() -> None:
    """Read what to do and what is done."""
    plan, results = Path(sys.argv[1]), Path(sys.argv[2])
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    done = {json.loads(line)["key"] for line in lines}
    with results.open("a", encoding="utf-8") as file:
        asyncio.run(keep(json.loads(plan.read_text(encoding="utf-8")), done, file))


if __name__ == "__main__":
    main()
