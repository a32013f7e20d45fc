"""Whether Temporal hears a worker, on a real server: reliability.md §2.3, row 3 (worker alive, poll loop dead)."""

from __future__ import annotations

import asyncio

from flyte_temporal.adapters.temporal.polls import Polls
from tests.workflow.conftest import Attempted, Stage


async def test_temporal_says_whether_it_hears_a_worker(stage: Stage) -> None:
    polls = Polls(stage.client, stage.queue)
    assert await polls.heard() is False
    async with stage.worker(Attempted()):
        async with asyncio.timeout(20):
            while not await polls.heard():  # noqa: ASYNC110 - what is awaited is in the server
                await asyncio.sleep(0.05)
    # The poll loops have ended and the process lives: what was heard of it grows old.
    silent = Polls(stage.client, stage.queue, silent_s=0.2)
    async with asyncio.timeout(20):
        while await silent.heard():  # noqa: ASYNC110 - time passes in the server
            await asyncio.sleep(0.05)
