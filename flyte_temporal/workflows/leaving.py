"""When a run continues as new: its history has grown long, and there is a quiet moment.

Temporal refuses to close a run to which something has happened meanwhile, and has the whole history replayed before the
next try. So the run goes on with its work and looks for a moment in which nothing has just ended, by a short timer; only
when its history grows far beyond the mark does it start nothing new until there is one (docs/decisions/0035).
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

from flyte_temporal.spec.runs import RunInput
from flyte_temporal.workflows.inbox import Inbox, pause
from flyte_temporal.workflows.versions import upgrade_is_wanted

QUIET_S = 0.05
"""Time between two looks for a quiet moment."""

PATIENCE = 1.5
"""How many times longer than the mark a history may grow while nothing but a quiet moment is missing."""


class Leaving:
    """Decides.

    Args:
        given: The run's input.
        inbox: Is woken when a look is due.
        resumed: How many nodes this run took over at work. As many ends must have been taken in before the next
            change of runs, so that asking for them again stays a small part of the work.
    """

    def __init__(self, given: RunInput, inbox: Inbox) -> None:
        self._mark = given.limits.history_events
        self._able = given.interpreter >= 3
        self._inbox = inbox
        self._wanted = 1
        self._began_at = 0
        self._due_at = 0
        self._timer: asyncio.Task[None] | None = None

    def resumed(self, nodes: int) -> None:
        """Note how many nodes at work were asked for again, now that all are."""
        self._wanted = max(1, nodes)
        self._began_at = workflow.info().get_current_history_length()

    def took(self, ended: int) -> bool:
        """Note that so many ends were taken in; return whether this is a moment to continue as new.

        Args:
            ended: How many; 0 if the loop was woken by something else.
        """
        self._wanted -= ended
        if not self._is_due():
            return False
        if self._timer is None:
            self.look_later()
            return False
        if not self._timer.done():
            return False
        if ended or not workflow.all_handlers_finished():
            self.look_later()
            return False
        return True

    @property
    def waits(self) -> bool:
        """Return whether a look is due later."""
        return self._timer is not None and not self._timer.done()

    @property
    def overdue(self) -> bool:
        """Return whether nothing new should start until the run has continued as new."""
        length = workflow.info().get_current_history_length()
        # What was wanted may not be any more: a build that was current for a while.
        return self._due_at > 0 and length > PATIENCE * self._due_at and self._is_due()

    def stay(self) -> None:
        """Give up continuing as new, because the execution ends."""
        self._able = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_at = 0

    def _is_due(self) -> bool:
        if not self._able:
            return False
        info = workflow.info()
        length = info.get_current_history_length()
        own = bool(self._mark) and length - self._began_at >= self._mark
        # One that waits may have nothing that ends for days, and little to ask for again.
        upgrades = self._wanted <= 1 and upgrade_is_wanted()
        due = upgrades or (self._wanted <= 0 and (own or info.is_continue_as_new_suggested()))
        if due and not self._due_at:
            self._due_at = length
        return due

    def look_later(self) -> None:
        """Look for a quiet moment in a moment."""
        self._timer = asyncio.create_task(pause(QUIET_S, "a quiet moment to continue as new"))
        self._timer.add_done_callback(lambda _done: self._inbox.wake())
