"""`Ends`: how the end of an attempt is noted, whichever launcher knows it."""

from __future__ import annotations

import asyncio

from flyte_temporal.spec.attempt import AttemptState, Intent


class Ends:
    """What entries of all launchers have in common."""

    over: asyncio.Future[AttemptState]
    """Set to the final state."""
    state: AttemptState
    """The last state that is known."""
    intent: Intent
    """Why it is being stopped, if it is."""

    def end(self, state: AttemptState) -> None:
        """Note the final state."""
        if self.intent:
            state = state.model_copy(update={"intent": self.intent})
        self.state = state
        if not self.over.done():
            self.over.set_result(state)
