"""Following what an execution prints, until it, or the node that is asked for, has ended.

Apart from `following` because states change at once and text comes in chunks, each some seconds after the other, and because
only the blob store has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from flyte_temporal.control.documents import LogNews
from flyte_temporal.control.listing import Listing
from flyte_temporal.control.logs import Tail, in_batches, with_attempt
from flyte_temporal.errors import NotFound
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId

INTERVAL_S = 1.0
"""How often it is looked for more; what a task prints is stored within five seconds (`storage.logs`)."""

_LONGEST_S = 10.0
"""How long the pause is at most where a look takes long, because there is so much to look at."""


@dataclass(frozen=True)
class Wanted:
    """Whose lines are wanted.

    Args:
        execution: The execution.
        node: Path or name of a node, with all below it; None = all.
        attempt: Number of one attempt of each node; None = all.
    """

    execution: ExecutionId
    node: str | None = None
    attempt: int | None = None


@dataclass(frozen=True)
class _Look:
    """The nodes to look at, whether nothing more will come after it, and what there is none of."""

    nodes: Iterable[NodeRecord]
    over: bool
    missing: str = ""


@dataclass(frozen=True)
class Tailing:
    """Follows logs.

    Args:
        record: Reads an execution from the store; raises NotFound.
        listing: Reads its nodes.
        blobs: Where the logs are.
    """

    record: Callable[[ExecutionId], Awaitable[ExecutionRecord]]
    listing: Listing
    blobs: BlobStore

    async def follow(self, wanted: Wanted) -> AsyncGenerator[LogNews, None]:
        """Yield lines as they come, each once and whole; and once what is waited for, if there is no such node yet.

        Raises:
            NotFound: If there is no such execution; or all has ended and there was no such node or attempt.
        """
        tail = Tail(self.blobs, wanted.execution, wanted.attempt)
        told = False
        while True:
            began = time.monotonic()
            record = await self.record(wanted.execution)
            look = await asyncio.to_thread(self._look, record, wanted, tail)
            if look.missing and not told:
                told = True
                yield LogNews(waits=f"{look.missing} It may still come: waiting for it.")
            # After the records: what was printed up to an end that they tell is there by now.
            async for news in in_batches(tail.look(look.nodes, over=look.over)):
                yield news
            if look.over:
                return
            await asyncio.sleep(min(max(INTERVAL_S, 3 * (time.monotonic() - began)), _LONGEST_S))

    def _look(self, record: ExecutionRecord, wanted: Wanted, tail: Tail) -> _Look:
        """Return where there may be something new.

        Raises:
            NotFound: If all has ended and there was no such node or attempt.
        """
        over, node = record.phase.terminal, wanted.node
        try:
            listed = self.listing.nodes(record) if node is None else self.listing.find(record, node)
            if node is not None:
                named = [each for each in listed if each.id == node] or listed
                over = over or all(each.phase.terminal for each in named)
            if wanted.attempt is not None:
                nodes = list(self.listing.with_items(record, listed))
                return _Look(with_attempt(nodes, wanted.attempt), over)
        except NotFound as error:
            if over:
                raise
            return _Look((), over, error.message)
        # The items of a map that has ended and was read are not gone through again, but for late records at the end.
        return _Look(
            self.listing.with_items(record, listed, lambda each: not over and tail.finished(each)), over
        )
