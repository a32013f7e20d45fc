"""When an attempt's activity has to look again, and whether the attempt has used up its time.

Apart from `attempts` because it is arithmetic over clocks, and because one `Pulse` is shared by all of a worker.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flyte_temporal.spec.attempt import AttemptPhase, AttemptState
from flyte_temporal.spec.policies import Timeouts

_AT_LEAST_S = 0.01
_FASTEST_S = 1.0
"""A cancel need not arrive faster than that."""


class Pulse:
    """How often the attempts of a worker heartbeat: their activities hear of cancels by the answers.

    Args:
        beats_per_s: Heartbeats of all together, at most, unless their time-outs ask for more.
    """

    def __init__(self, beats_per_s: float = 50.0) -> None:
        self._beats_per_s = beats_per_s
        self.open = 0
        """Attempts that are watched now."""

    def interval_s(self, timeout_s: float) -> float:
        """Return the time between two heartbeats of an activity with this heartbeat time-out."""
        return min(timeout_s / 3, max(_FASTEST_S, self.open / self._beats_per_s))


class Limits:
    """The time-outs of one attempt.

    Args:
        timeouts: What its policy says.
        asked_at: When it was asked for; None = it has no limit in the queue.
        most_s: Longest run of an attempt whose policy says nothing.
    """

    def __init__(self, timeouts: Timeouts, asked_at: datetime | None, most_s: float) -> None:
        self._limited = bool(timeouts.run_s or timeouts.queued_s)
        self._run_s = timeouts.run_s or most_s
        self._queued_s = timeouts.queued_s
        self._asked_at = asked_at

    def left_s(self, state: AttemptState) -> float | None:
        """Return the seconds that the attempt has left in its present state; None = no limit is known."""
        since, limit = state.started_at, self._run_s
        if state.phase is AttemptPhase.QUEUED:
            since, limit = self._asked_at, self._queued_s
        if since is None or not limit:
            return None
        return limit - (datetime.now(UTC) - since).total_seconds()

    def look_s(self, state: AttemptState | None, beat_s: float) -> float:
        """Return how long to wait before the next look: until the next heartbeat is due, or a limit is reached."""
        left = self.left_s(state) if state is not None else None
        if self._limited:
            beat_s = min(beat_s, _FASTEST_S)
        return beat_s if left is None else min(beat_s, max(left, _AT_LEAST_S))

    def passed(self, state: AttemptState) -> bool:
        """Return whether the attempt has used up its time."""
        left = self.left_s(state)
        return left is not None and left <= 0
