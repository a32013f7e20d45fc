"""`@eager`: asynchronous Python with real values. It runs plainly; a durable run refuses it."""

import asyncio

from flyte_temporal import eager, task, workflow


@task
async def double(n: int) -> int:
    await asyncio.sleep(0.01)
    return 2 * n


@task
def checked(n: int) -> int:
    if n > 10:
        raise ValueError(f"{n} is too much")
    return n


@workflow
def fourfold(n: int) -> int:
    return double(n=double(n=n))  # type: ignore[arg-type,return-value]


@eager
async def small(n: int) -> int:
    return await double(n=n) + 1


@eager
async def wf(n: int) -> list[int]:
    found = await asyncio.gather(*(double(n=i) for i in range(n)))
    if sum(found) > 5:
        found.append(await small(n=n))
    found.append(fourfold(n=n))
    try:
        checked(n=found[-1])
    except ValueError:
        found.append(-1)
    return found


@eager
async def fails(n: int) -> int:
    return checked(n=await double(n=n))


@workflow
def calls_eager(n: int) -> list[int]:
    return wf(n=n)  # type: ignore[return-value]
