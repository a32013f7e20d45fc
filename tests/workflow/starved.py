"""The worker process of `test_starved`: `python -m tests.workflow.starved ADDRESS QUEUE BLOBS COUNT_FILE`.

The product's own worker, with attempts that do nothing and are counted. It lowers its priority and binds itself to one
processor, on which something else is busy, once it has loaded everything.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from temporalio import activity
from temporalio.common import RawValue

from flyte_temporal.activities.closures import Closures
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.config.settings import Settings, TemporalSettings
from flyte_temporal.spec import calls
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.worker.wiring import temporal_worker


class Counted:
    """Serves attempts and records."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab", buffering=0)

    @activity.defn(dynamic=True)
    async def run(self, args: Sequence[RawValue]) -> calls.AttemptResult:
        self._file.write(b"x")
        return calls.AttemptResult(outputs={"o0": Inline(value=len(args))})

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        del request


async def main(address: str, queue: str, blobs_at: str, file: str) -> None:
    settings = Settings(temporal=TemporalSettings(address=address, task_queue=queue))
    blobs = open_store(StorageConfig(root=blobs_at))
    client = await connect(settings.temporal, blobs)
    counted = Counted(Path(file))
    closures = Closures(blobs)
    os.sched_setaffinity(0, {0})
    os.nice(19)
    async with temporal_worker(client, settings, [counted.run, counted.record, closures.load]):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
