"""`OwnShard`: what a run does beside its items because it is a shard of a map.

It reads its part of the lists, tells the run that holds the map of failures, and stores what its items gave.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from flyte_temporal.spec import calls
from flyte_temporal.spec.literals import Composite, Inline, Joined, LiteralValue, Offloaded
from flyte_temporal.spec.runs import RunOutput, Shard, ShardEnd
from flyte_temporal.workflows.arrays import Array, array_target, wishes_of
from flyte_temporal.workflows.inbox import Inbox, pause
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.reads import CUTTING
from flyte_temporal.workflows.recovering import copied_from
from flyte_temporal.workflows.sharded import PART_BYTES, short

NEWS_S = 1.0
"""Shortest time between two messages about failures: each costs the run that holds the map some four events."""


class OwnShard:
    """The shard that a run is.

    Args:
        shard: Which.
        program: The closure.
        inbox: Is woken when a message is due.
    """

    def __init__(self, shard: Shard, program: Program, inbox: Inbox) -> None:
        self._shard = shard
        self._program = program
        self._inbox = inbox
        self._array: Array | None = None
        self._told = 0
        self._told_at: datetime | None = None
        self._timer: asyncio.Task[Any] | None = None
        self.stopped = False
        """Whether the run that holds the map has told it to stop."""

    async def open(self) -> Array:
        """Return its items, each with inputs of its own.

        Raises:
            FailureError: If a list cannot be read.
        """
        shard = self._shard
        target = array_target(shard.node)
        wishes = {
            name: wish
            for name, wish in wishes_of(self._program, target, shard.inputs).items()
            if _read(wish.literal)
        }
        if wishes:
            # Otherwise each item would read the whole part to find its element.
            request = calls.SplitRequest(lists=wishes, size=1, alone=True, inline_bytes=PART_BYTES)
            found: calls.SplitResult = await workflow.execute_local_activity(
                calls.SPLIT, request, result_type=calls.SplitResult, summary=shard.path, **CUTTING
            )
            alone = {name: Composite(items=parts) for name, parts in found.parts.items()}
            shard = shard.model_copy(update={"inputs": {**shard.inputs, **alone}})
        self._array = Array(self._program, None, shard)
        return self._array

    def resume(self, array: Array) -> None:
        """Go on with items that an earlier run has opened."""
        self._array = array
        # If the map had failed by itself instead, this run fails anyhow.
        self.stopped = array.failing

    def tell(self) -> None:
        """Tell the run that holds the map how many items have failed, if there are more than it knows of."""
        failed = self._array.failures if self._array else 0
        if failed == self._told or self._shard.count == self._shard.total:
            return
        now = workflow.now()
        due = self._told_at + timedelta(seconds=NEWS_S) if self._told_at else now
        if now >= due:
            self._told, self._told_at = failed, now
            asyncio.create_task(self._send(failed)).set_name("tells of failures")
        elif self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(pause((due - now).total_seconds(), "before failures are told"))
            self._timer.add_done_callback(lambda _done: self._inbox.wake())

    async def _send(self, failed: int) -> None:
        parent = workflow.info().parent
        if parent is None:
            return
        news = calls.ShardFailed(path=self._shard.path, offset=self._shard.offset, failed=failed)
        try:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal(calls.SHARD_FAILED, news)
        except FailureError:
            # It is over, and this run is about to be cancelled.
            return

    async def output(self, results: dict[str, LiteralValue]) -> RunOutput:
        """Return what the run gives: its lists by reference, and how its items ended.

        Raises:
            FailureError: If a list cannot be stored.
        """
        array, target = self._array, array_target(self._shard.node)
        end = ShardEnd(
            failed=array.failures if array else 0,
            errors=short(array.errors) if array else (),
            stopped=self.stopped,
            copied=copied_from(array) if array else None,
            work=self._shard.work(),
        )
        lists = {
            v.name: calls.Wish(literal=results[v.name], type=v.type)
            for v in target.outputs(self._program.interface_of(target.item).outputs)
            if v.name in results and _inline(results[v.name])
        }
        if lists:
            request = calls.JoinRequest(lists=lists, inline_bytes=PART_BYTES)
            stored: calls.JoinResult = await workflow.execute_local_activity(
                calls.JOIN, request, result_type=calls.JoinResult, summary=self._shard.path, **CUTTING
            )
            results = {**results, **stored.lists}
        return RunOutput(outputs=results, shard=end)


def _read(literal: LiteralValue) -> bool:
    """Return whether an element of a list is in the blob store, inside of more than the element."""
    return isinstance(literal, Offloaded) or (
        isinstance(literal, Joined) and any(_read(part) for part in literal.parts)
    )


def _inline(literal: LiteralValue) -> bool:
    """Return whether a value travels inline, with all of its parts, and nothing but it stands for it in cache keys."""
    if isinstance(literal, Composite):
        return literal.hash is None and all(_inline(item) for item in literal.items)
    return isinstance(literal, Inline) and literal.hash is None
