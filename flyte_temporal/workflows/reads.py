"""What the interpreter must know and what travels by reference: an activity reads it, never the run itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import calls
from flyte_temporal.spec.entities import Closure
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.scope import NodeState

CUTTING: dict[str, Any] = {
    "start_to_close_timeout": timedelta(minutes=10),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=10),
}
"""How whole lists are read and stored: of a gigabyte it may take minutes."""


async def load(digest: str) -> Closure:
    """Return a stored closure: that of a dynamic task which was at work when the run was continued."""
    found: Closure = await workflow.execute_local_activity(
        calls.LOAD,
        calls.LoadRequest(spec=digest),
        result_type=Closure,
        start_to_close_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200)),
        summary=f"loads {digest[:12]}",
    )
    return found


class Reads:
    """Asks for values, or for lists in parts, and pushes them.

    Args:
        inbox: Where they go.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def start(self, state: NodeState, request: calls.ReadRequest) -> None:
        """Read what a node needs before it can start."""
        handle: asyncio.Task[Any] = workflow.start_local_activity(
            calls.READ,
            request,
            result_type=calls.ReadResult,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=10),
            summary=f"{state.path} reads"[:200],
        )
        self._watch(state, handle)

    def split(self, state: NodeState, request: calls.SplitRequest) -> None:
        """Have the lists of a map cut before its shards can start."""
        handle: asyncio.Task[Any] = workflow.start_local_activity(
            calls.SPLIT,
            request,
            result_type=calls.SplitResult,
            summary=f"{state.path} cuts its lists"[:200],
            **CUTTING,
        )
        self._watch(state, handle)

    def _watch(self, state: NodeState, handle: asyncio.Task[Any]) -> None:
        self._inbox.watch(state, handle, costly=False)
        self._inbox.after(handle, lambda done: self._on_end(state, done))

    def _on_end(self, state: NodeState, done: asyncio.Task[Any]) -> None:
        self._inbox.forget(state)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            found = done.result()
            if isinstance(found, calls.SplitResult):
                self._inbox.push(Ended(state, split=found))
            else:
                self._inbox.push(Ended(state, read=found))
        elif self._inbox.was_cancelled(state):
            self._inbox.push(Ended(state, cancelled=True))
        else:
            self._inbox.push(Ended(state, error=document_of(error, state.path)))
