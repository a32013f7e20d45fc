"""Attempts as their journals show them: for launchers that did not start them, or whose process died.

A free lock without a note of the end means that nobody was left to write one; only then is an attempt lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from flyte_temporal.spec.attempt import AttemptPhase, AttemptState, Intent
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.storage import scratch

_REPORT_S = 2.0
"""How long the report on a process that died may take: the zygote, or the supervisor, writes its manifest first."""


class JournalAttempt:
    """An attempt that is known by its journal only.

    Args:
        where: Its place on this machine.
    """

    def __init__(self, where: Path) -> None:
        self._where = where
        self._silent_since: float | None = None

    def state(self) -> AttemptState:
        """Return what the journal shows now."""
        # The lock first: if it is free, the journal that is read afterwards is complete.
        held = scratch.is_held(self._where)
        journal = scratch.read_journal(self._where)
        if journal is None:
            return AttemptState(
                phase=AttemptPhase.LOST, message="No trace of this attempt is left on this machine."
            )
        if journal.ending is not None:
            return self._with_intent(exited(journal.ending, ran=bool(journal.processes)))
        task = journal.processes.get("task") or journal.processes.get("supervisor")
        saved = checkpoint_of(journal)
        if held:
            self._silent_since = None
            return AttemptState(
                phase=AttemptPhase.RUNNING,
                pid=task.pid if task else None,
                started_at=datetime.fromtimestamp(task.at, UTC) if task else None,
                checkpoint=saved,
            )
        if task is not None and self._report_may_come():
            return AttemptState(
                phase=AttemptPhase.RUNNING, message="Its process has ended; the report is awaited."
            )
        return self._with_intent(
            AttemptState(
                phase=AttemptPhase.LOST,
                message="Its process is gone, and nobody was left to see how it ended.",
                checkpoint=saved,
            )
        )

    async def wait(self, timeout_s: float) -> AttemptState:
        """Return the state; wait up to `timeout_s` seconds for the attempt to be over."""
        deadline = time.monotonic() + timeout_s
        pause_s = 0.005
        while True:
            state = self.state()
            left = deadline - time.monotonic()
            if state.over or left <= 0:
                return state
            await asyncio.sleep(min(pause_s, left))
            pause_s = min(pause_s * 1.5, 0.2)

    async def stop(self, grace_s: float, intent: Intent = Intent.CANCEL) -> AttemptState:
        """Stop it: SIGTERM, then SIGKILL after `grace_s` seconds; return when its processes are gone."""
        state = self.state()
        if state.over:
            return state
        scratch.request_stop(self._where, intent)
        self._signal(signal.SIGTERM)
        state = await self.wait(grace_s)
        while not state.over:
            self._signal(signal.SIGKILL)
            state = await self.wait(1.0)
        return state

    def _with_intent(self, state: AttemptState) -> AttemptState:
        """Return the state with the reason of its stop, for those who find no manifest."""
        return state.model_copy(update={"intent": scratch.stop_reason(self._where)})

    def _report_may_come(self) -> bool:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since < _REPORT_S

    def _signal(self, number: signal.Signals) -> None:
        journal = scratch.read_journal(self._where)
        processes = journal.processes if journal else {}
        supervisor, task = processes.get("supervisor"), processes.get("task")
        if number == signal.SIGTERM and supervisor is not None and supervisor.alive:
            _send(supervisor.pid, number)
        elif task is not None and task.alive:
            # The group of user code; a supervisor is not in it and reports the death.
            _send_group(task.pid, number)
        elif supervisor is not None and supervisor.alive and number == signal.SIGKILL and task is None:
            _send(supervisor.pid, number)


def checkpoint_of(journal: scratch.Journal | None) -> SavedCheckpoint | None:
    """Return the last checkpoint that a journal tells of."""
    found = journal.checkpoint if journal is not None else None
    return SavedCheckpoint.model_validate(found) if found is not None else None


def exited(ending: scratch.Ending, *, ran: bool = True) -> AttemptState:
    """Return the state of an attempt whose process ended as noted; `ran` is whether there ever was one."""
    return AttemptState(
        phase=AttemptPhase.EXITED,
        exit_code=ending.code,
        oom=ending.oom,
        ran=ran,
        message=ending.message,
        peak_rss_bytes=ending.rss,
    )


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _send_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
