"""An end is not lost by an error of ours where it is handed over: asyncio would only log that."""

from __future__ import annotations

import asyncio

import pytest

from flyte_temporal.workflows.inbox import Inbox


async def ends() -> int:
    return 1


def raises(_done: asyncio.Task[int]) -> None:
    raise OverflowError("a bug")


async def test_what_is_raised_after_an_end_reaches_the_loop() -> None:
    inbox = Inbox()
    inbox.after(asyncio.create_task(ends()), raises)
    with pytest.raises(RuntimeError, match=r"OverflowError.*a bug"):
        await asyncio.wait_for(inbox.ended(), 5)
    assert inbox.open, "the loop has to look, though nothing else is under way"


async def test_what_follows_from_an_end_is_done() -> None:
    inbox, seen = Inbox(), list[int]()
    task = asyncio.create_task(ends())
    inbox.after(task, lambda done: seen.append(done.result()))
    await task
    inbox.wake()
    assert (await inbox.ended(), seen) == ([], [1])
