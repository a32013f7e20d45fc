"""Whether a worker still works, watched from inside, by a thread of its own; one that does not ends itself.

Whoever keeps workers (the local stack's supervisor, Kubernetes) starts another one; attempts are not touched, they are
adopted. A worker can be alive and useless: a slow activation wedges it for good, because the SDK then waits for ever to
evict the run (temporal.md §0.1); a call that blocks stops the event loop; polls can end (reliability.md §2.3, row 3).

Everything is counted in looks of the thread, not in time: a process that was stopped, or a laptop that slept, has not
looked either, so it is not taken for a wedged one.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import itertools
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails

_log = logging.getLogger(__name__)

WEDGED = 70
"""Exit code of a worker that has found itself wedged (EX_SOFTWARE)."""

_LOOK_S = 1.0
_POLLS_EVERY_S = 15.0
_SILENT_POLLS = 3
"""After so many looks in a row at which Temporal had not heard from the worker, its polls have ended."""


class Activations:
    """What the workflow threads are at.

    Every method may be called from any thread: each is one operation on a dictionary.
    """

    def __init__(self) -> None:
        self._at_work: dict[int, str] = {}
        self._unevicted: dict[str, str] = {}
        self._numbers = itertools.count()

    def runner(self) -> UnsandboxedWorkflowRunner:
        """Return a workflow runner whose activations are seen here."""
        return _Runner(self)

    def doubtful(self) -> dict[object, str]:
        """Return what must not stay the same for long: activations at work, and runs that could not be evicted."""
        return dict([*self._at_work.items(), *self._unevicted.items()])

    def run(self, activate: Callable[[WorkflowActivation], Any], act: WorkflowActivation, run: str) -> Any:
        """Run an activation."""
        number = next(self._numbers)
        self._at_work[number] = f"an activation of the run {run} goes on and on"
        evicts = any(job.HasField("remove_from_cache") for job in act.jobs)
        try:
            done = activate(act)
        except BaseException:
            if evicts:
                self._unevicted[act.run_id] = f"the run {run} cannot be evicted"
            raise
        finally:
            del self._at_work[number]
        if evicts:
            self._unevicted.pop(act.run_id, None)
        return done


class _Runner(UnsandboxedWorkflowRunner):
    def __init__(self, activations: Activations) -> None:
        self._activations = activations

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = super().create_instance(det)
        activate, activations, name = instance.activate, self._activations, det.info.workflow_id
        # On the instance and not around it: the SDK goes on using its other methods.
        instance.activate = lambda act: activations.run(activate, act, name)  # type: ignore[method-assign]
        return instance


class Liveness:
    """Watches the process that it lives in.

    Args:
        limit_s: After how many seconds without progress the worker counts as wedged; 0 = never.
        activations: What the workflow threads are at.
        file: Touched every second while all is well; None for no file.
        end: What to do with a wedged worker.
    """

    def __init__(
        self,
        limit_s: float,
        activations: Activations,
        file: Path | None = None,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._look_s = min(_LOOK_S, limit_s / 10) if limit_s else _LOOK_S
        self._activations = activations
        self._file = file
        self._end = end or _end
        self._turns = 0
        self._silent = 0
        self._unchanged: dict[object, int] = {}
        self._stopped = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, polled: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Begin, on the event loop that is to be watched.

        Args:
            polled: Asks Temporal whether it still hears polls of this worker; what it raises says nothing about that.
        """
        self._tasks.append(asyncio.create_task(self._turn(), name="liveness"))
        if polled is not None and self._limit_s:
            self._tasks.append(asyncio.create_task(self._look_for_polls(polled), name="polls"))
        threading.Thread(target=self._watch, daemon=True, name="liveness").start()

    async def close(self) -> None:
        """Stop watching."""
        self._stopped.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self) -> str:
        """Look once; return what is wrong for longer than it may be, or nothing."""
        doubts: dict[object, str] = {
            ("turn", self._turns): "its event loop does not turn",
            **self._activations.doubtful(),
        }
        self._unchanged = {key: self._unchanged.get(key, -1) + 1 for key in doubts}
        if self._silent >= _SILENT_POLLS:
            return "Temporal hears no polls from it"
        if not self._limit_s:
            return ""
        late = (
            doubts[key] for key, looks in self._unchanged.items() if looks * self._look_s >= self._limit_s
        )
        return next(late, "")

    async def _turn(self) -> None:
        while True:
            self._turns += 1
            await asyncio.sleep(self._look_s / 2)

    async def _look_for_polls(self, polled: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(_POLLS_EVERY_S)
            try:
                self._silent = 0 if await polled() else self._silent + 1
            except Exception as error:  # noqa: BLE001 - Temporal is away, or too old to tell; a new worker helps neither
                self._silent = 0
                _log.info("Whether this worker polls is not known: %s", error)

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(self._look_s):
                if self._limit_s:
                    # For a thread that never lets go of the interpreter: then nothing below runs any more.
                    faulthandler.dump_traceback_later(2 * self._limit_s + 1, exit=True, file=sys.stderr)
                if wrong := self.look():
                    self._end(wrong)
                elif self._file is not None:
                    self._touch(self._file)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @staticmethod
    def _touch(file: Path) -> None:
        try:
            file.touch()
        except OSError as error:
            _log.warning(
                "The file %s, by which this worker shows that it is well, was not touched: %s", file, error
            )


def _end(wrong: str) -> None:
    with contextlib.suppress(Exception):
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    # Last, because the last line is what the supervisor tells.
    _log.error("This worker is wedged and ends, so that another one takes its place: %s.", wrong)
    logging.shutdown()
    # Nothing is tidied up: what would be waited for is what does not come.
    os._exit(WEDGED)
