"""Puts outputs of dynamic tasks into the catalog: no attempt knows them, they are there when all has ended."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from flyte_temporal.spec import lookup_calls
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.workflows.inbox import Ended, Inbox
from flyte_temporal.workflows.scope import NodeState

BATCH = 50
"""Nodes per call; their outputs travel with it."""


class Stores:
    """Asks for outputs to be remembered.

    Args:
        execution: The execution.
        inbox: Where it is told what became of it.
    """

    def __init__(self, execution: ExecutionId, inbox: Inbox) -> None:
        self._execution = execution
        self._inbox = inbox
        self._open = 0

    @property
    def busy(self) -> bool:
        """Return whether something is being stored."""
        return self._open > 0

    def flush(self, ended: deque[tuple[NodeState, dict[str, LiteralValue]]]) -> None:
        """Ask for the outputs of some nodes to be remembered, and empty the queue."""
        while ended:
            some = [ended.popleft() for _ in range(min(BATCH, len(ended)))]
            items = tuple(_item(state, outputs) for state, outputs in some)
            handle: asyncio.Task[Any] = workflow.start_local_activity(
                lookup_calls.STORE,
                lookup_calls.StoreRequest(execution=self._execution, items=items),
                result_type=lookup_calls.StoreResult,
                start_to_close_timeout=timedelta(seconds=60),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=4),
                summary=f"remembers {some[0][0].path}"[:200],
            )
            states = [state for state, _outputs in some]
            for state in states:
                self._inbox.hold(state)
            self._open += 1
            self._inbox.after(handle, partial(self._on_end, states))

    def _on_end(self, states: list[NodeState], done: asyncio.Task[Any]) -> None:
        self._open -= 1
        failed = done.cancelled() or done.exception() is not None
        stored = [False] * len(states) if failed else done.result().stored
        for state, kept in zip(states, stored, strict=True):
            self._inbox.forget(state)
            self._inbox.push(Ended(state, stored=kept))


def _item(state: NodeState, outputs: dict[str, LiteralValue]) -> lookup_calls.StoreItem:
    if state.memo is None:  # pragma: no cover - the caller has seen that there is one
        raise TypeError(f"{state.path} is not remembered by anything")
    return lookup_calls.StoreItem(
        node=state.path,
        spec=state.scope.program.digest,
        attempt=state.attempts,
        attempt_key=state.attempt_key,
        memo=state.memo,
        outputs=outputs,
    )
