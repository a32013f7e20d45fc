"""`Entry`: one attempt as the container launcher knows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from flyte_temporal.adapters.launchers.containers.engine import Container
from flyte_temporal.adapters.launchers.ends import Ends
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.identifiers import AttemptId

_QUEUED = AttemptState(phase=AttemptPhase.QUEUED, message="waiting for a free place")


@dataclass(eq=False)
class Entry(Ends):
    """An attempt as this launcher knows it.

    Args:
        attempt: It.
        name: Name of its container.
        order: What it runs; None if only its container is known.
        over: Set to the final state.
        state: The last state that is known.
        seen: What the engine showed last.
        intent: Why it is being stopped, if it is.
        life: What sees it through.
        fresh: Whether this launcher has just started its container.
        making: What makes its container, as long as that can be called off.
        met: Number and start of its first process, in the kernel's words, once that was seen to be the container's.
    """

    attempt: AttemptId
    name: str
    order: AttemptOrder | None = None
    over: asyncio.Future[AttemptState] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    state: AttemptState = _QUEUED
    seen: Container | None = None
    intent: Intent = Intent.NONE
    life: asyncio.Task[None] | None = None
    fresh: bool = False
    making: asyncio.Task[None] | None = None
    met: tuple[int, str] | None = None

    def stops(self, intent: Intent) -> None:
        """Note why it is being stopped; what is not made yet is not made any more."""
        self.intent = intent
        if self.making is not None:
            self.making.cancel()

    def say(self, words: str) -> None:
        """Note why nothing more is known for now."""
        self.state = self.state.model_copy(update={"message": words})
