"""An end that is known is not lost to whoever asks for a stop in the same moment."""

from __future__ import annotations

import asyncio

import pytest

from flyte_temporal.workflows.inbox import outcome


async def fails() -> int:
    await asyncio.sleep(0)
    raise ValueError("what the shard said")


async def waits() -> int:
    await asyncio.Event().wait()
    return 0


async def test_an_end_that_came_with_the_wish_to_stop_is_taken() -> None:
    task = asyncio.create_task(fails())
    # Called before the taker is woken: as when both come in one activation.
    task.add_done_callback(lambda _: taker.cancel())
    taker = asyncio.create_task(outcome(task))
    with pytest.raises(ValueError, match="what the shard said"):
        await taker


async def test_what_had_not_ended_is_stopped() -> None:
    task = asyncio.create_task(waits())
    taker = asyncio.create_task(outcome(task))
    await asyncio.sleep(0)
    taker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taker
    assert task.cancelled()
