"""The worker process of `test_cache_leases` that is killed: `python -m tests.workflow.leasing ADDRESS QUEUE BLOBS URL LEASE_S`.

It runs an execution on a queue of its own, whose one attempt says that it is at work and never ends; the lease on what that
computes is extended for as long as this process lives.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from temporalio.client import Client

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.adapters.temporal.engine import TemporalEngine
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.storage.blobs import open_store
from tests.workflow.caching import House, equal
from tests.workflow.conftest import Stage


async def never(order: AttemptOrder) -> None:
    print(order.attempt.execution.name, flush=True)
    await asyncio.Event().wait()


async def main(address: str, queue: str, blobs_at: str, url: str, lease_s: str) -> None:
    blobs = open_store(StorageConfig(root=blobs_at))
    client = await Client.connect(address, data_converter=data_converter(blobs))
    engine = TemporalEngine(client, queue, task_timeout_s=10)
    house = House(Stage(client, engine, queue, blobs, Path("unused")), SqlMetadataStore(url).catalog, never)
    async with house.worker():
        await house.run(equal(1), "owner", limits=RunLimits(lease_s=float(lease_s), heartbeat_timeout_s=2.0))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
