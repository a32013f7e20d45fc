"""The yardstick: what an experienced user of Temporal would write for each shape, with a window of 100."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

WINDOW = 100


@activity.defn
async def noop(x: int) -> int:
    return x + 1


async def call(x: int) -> int:
    return await workflow.execute_activity(noop, x, start_to_close_timeout=timedelta(seconds=60))


@workflow.defn(sandboxed=False)
class Chain:
    @workflow.run
    async def run(self, length: int) -> int:
        value = 0
        for _ in range(length):
            value = await call(value)
        return value


@workflow.defn(sandboxed=False)
class FanOut:
    @workflow.run
    async def run(self, width: int) -> int:
        window = asyncio.Semaphore(WINDOW)

        async def one(x: int) -> int:
            async with window:
                return await call(x)

        return await call(sum(await asyncio.gather(*(one(i) for i in range(width)))))


@workflow.defn(sandboxed=False)
class Layers:
    @workflow.run
    async def run(self, depth: int, width: int) -> int:
        layer = [asyncio.create_task(call(i)) for i in range(width)]

        async def join(a: asyncio.Task[int], b: asyncio.Task[int]) -> int:
            return await call(await a + await b)

        for _ in range(depth - 1):
            layer = [asyncio.create_task(join(layer[i], layer[(i + 1) % width])) for i in range(width)]
        return await call(sum([await t for t in layer]) % 1000)
