"""Ending a stack by force, from outside: its supervisor hangs and cannot do it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flyte_temporal.local.attempts import end_attempts
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import end, leftovers
from flyte_temporal.local.state import StackState, read_state, write_state

_GRACE_S = 2.0
_LOCK_S = 5.0


def kill(layout: Layout, state: StackState) -> None:
    """Kill a supervisor, then end what it leaves. Returns when all is gone; everything goes on at the next start.

    The supervisor first and at once, so that it restarts nothing; it has been asked nicely before.

    Args:
        layout: Its home.
        state: Who runs there.
    """
    if state.supervisor is not None:
        end([state.supervisor], 0)
    lock = _lock_of_the_dead(layout)
    if lock is None:
        # Another supervisor has the home by now. It ends what this one left, and the rest is its own.
        return
    try:
        end({*state.children.values(), *leftovers(layout.home)}, _GRACE_S)
        end_attempts(layout.attempts)
        if state.socket:
            Path(state.socket).unlink(missing_ok=True)
        write_state(layout.state, state.stopped())
    finally:
        os.close(lock)


def _lock_of_the_dead(layout: Layout) -> int | None:
    """Return the lock of the home, or None if another supervisor was quicker."""
    deadline = time.monotonic() + _LOCK_S
    while (lock := layout.try_lock()) is None:
        # A killed process counts as dead while the last of its threads, and with them its lock, still go.
        if read_state(layout.state).running or time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    return lock
