"""The worker process of one series: `python bench/series.py hand|interpreter|pool|batches`. Settings by environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import hand
import uvloop
from temporalio import activity
from temporalio.common import RawValue
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from flyte_temporal.activities.lists import Lists
from flyte_temporal.adapters.temporal.connection import connect
from flyte_temporal.config.settings import Settings
from flyte_temporal.spec import calls
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.worker import wiring
from flyte_temporal.workflows.interpreter import Interpreter


@activity.defn(dynamic=True)
async def no_launch(args: Sequence[RawValue]) -> calls.AttemptResult:
    activity.payload_converter().from_payload(args[0].payload, calls.AttemptRequest)
    return calls.AttemptResult(outputs={"o0": Inline(value=1)})


@activity.defn(name=calls.RECORD)
async def no_record(request: calls.RecordRequest) -> None:
    del request


async def worker_of(series: str, settings: Settings) -> Worker:
    if series in {"pool", "batches"}:
        return (await wiring.build(settings)).worker
    blobs = open_store(settings.storage.config())
    client = await connect(settings.temporal, blobs)
    lists = Lists(blobs, settings.worker.scratch)
    worker = Worker(
        client,
        task_queue=settings.temporal.task_queue,
        workflows=[hand.Chain, hand.FanOut, hand.Layers] if series == "hand" else [Interpreter],
        activities=[hand.noop] if series == "hand" else [no_launch, no_record, lists.split, lists.join],
        max_concurrent_activities=settings.worker.max_activities,
        max_eager_activity_reservations_per_workflow_task=100,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_heartbeat_throttle_interval=timedelta(seconds=settings.worker.heartbeat_timeout_s / 3),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.worker.sticky_timeout_s),
    )
    wiring.be_patient(worker, settings.temporal.task_timeout_s)
    return worker


async def main() -> None:
    worker = await worker_of(sys.argv[1], Settings.load())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with worker:
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    sys.stdout.flush()
    os._exit(0)
