"""`Telling`: what a run tells other runs: its parent, its children, its shards.

A message of a run that closes before Temporal has delivered it is lost, and nobody tells it again. So a run does not continue
as new while one is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.repairs import PAUSED_WITH_PARENT, Pause


class Telling:
    """Sends messages, and knows whether all have arrived.

    Args:
        wake: Wakes the loop when all have arrived for which it waits.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._open: set[asyncio.Task[Any]] = set()
        self._awaited = False
        self.pause: Pause | None = None
        """Why those that this run has started start nothing new, if it is paused."""

    def soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something told beside all else."""
        telling = asyncio.create_task(work)
        self._open.add(telling)
        telling.add_done_callback(self._over)
        return telling

    def _over(self, telling: asyncio.Task[None]) -> None:
        self._open.discard(telling)
        if self._awaited and not self._open:
            self._awaited = False
            self._wake()

    def all_arrived(self) -> bool:
        """Return whether nothing is on its way; if something is, the loop is woken once nothing is any more."""
        self._awaited = bool(self._open)
        return not self._awaited

    def tell_pause(self, execution: str) -> None:
        """Tell an execution, or a shard, that has just been started that this run is paused, if it is."""
        if self.pause is not None:
            self.soon(tell(execution, PAUSED_WITH_PARENT, self.pause))


async def tell(execution: str, signal: str, news: Document) -> None:
    """Send a signal to another execution; one that is over, or not yet there, needs no news."""
    try:
        await workflow.get_external_workflow_handle(execution).signal(signal, news)
    except FailureError as error:
        workflow.logger.info("%s was not told: %s", execution, error)
