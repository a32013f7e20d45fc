"""The parts of a run that ask for attempts and take in their ends, over activities that a test ends by hand."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio import workflow

from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import NodePhase
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.workflows.attempts import Attempts
from flyte_temporal.workflows.batches import Batches
from flyte_temporal.workflows.body import workflow_body
from flyte_temporal.workflows.fixes import Fixes
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Inbox
from flyte_temporal.workflows.lookups import Lookups
from flyte_temporal.workflows.openings import Openings
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.reads import Reads
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.recovering import Recovering
from flyte_temporal.workflows.repairs import Repairs
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.stops import Stops
from flyte_temporal.workflows.taking import Taking
from flyte_temporal.workflows.telling import Telling
from flyte_temporal.workflows.tree import Tree
from flyte_temporal.workflows.window import Window

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Asked(asyncio.Future[Any]):
    """An activity. Asked to end, it does so when the test says."""

    def __init__(self, name: str, request: Any) -> None:
        super().__init__()
        self.name, self.request = name, request
        self.asked_to_end = False
        self.shown = ""

    def set_name(self, name: str) -> None:
        """Note what the call stack shows."""
        self.shown = name

    def cancel(self, msg: Any = None) -> bool:
        """Note that it is to end."""
        self.asked_to_end = True
        return True

    def dropped(self) -> None:
        """End as Temporal ends an activity that no worker has."""
        super().cancel()


class Desk:
    """A run without its loop: `took` does what a turn of it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, closure: Closure, *, pausing: bool = False) -> None:
        self.asked: list[Asked] = []
        monkeypatch.setattr(workflow, "start_activity", self._start)
        monkeypatch.setattr(workflow, "info", lambda: SimpleNamespace(task_queue="q"))
        monkeypatch.setattr(workflow, "now", lambda: NOW)
        monkeypatch.setattr(workflow, "random", lambda: random.Random(7))
        given = closures.run_input(closure, "e", 1, RunLimits(batches="on", slots=2))
        request = given.request.model_copy(update={"pause_on_failure": pausing})
        given = given.model_copy(update={"request": request})
        program, fixes, recovering = Program(closure, request.spec), Fixes(request, NOW), Recovering(None)
        self.states: list[NodeState] = []
        self.inbox = Inbox()
        records = Records(given, self.states, NOW)
        self.tree = tree = Tree(given, records, self.states, lambda: NOW)
        attempts = Attempts(given, self.inbox, tree.forming, records.changed, fixes)
        self.batches = Batches(given, self.inbox, attempts, tree)
        self.stops = Stops(given, self.inbox)
        gates = Gates(program, self.inbox, "e", list)
        openings = Openings(given, tree, gates, Reads(self.inbox), Window(10, tree))
        lookups = Lookups(given, self.inbox, recovering, fixes)
        repairs = Repairs(tree, self.inbox, fixes, gates, Telling(self.inbox.wake), request)
        self.taking = Taking(tree, openings, lookups, repairs, self.stops, records, gates)
        tree.open(workflow_body(program, program.main, dict(request.inputs), None))

    def _start(self, name: str, request: Any, **_options: Any) -> Asked:
        self.asked.append(Asked(name, request))
        return self.asked[-1]

    def batch(self) -> Asked:
        """Ask for all that is ready together."""
        group = [self.tree.ready.popleft() for _ in range(len(self.tree.ready))]
        self.batches.start(group)
        return self.asked[-1]

    def cancels(self) -> None:
        """Ask to end what is to end."""
        while self.tree.to_cancel:
            self.inbox.cancel(self.tree.to_cancel.popleft())

    async def takes(self) -> None:
        """Take in what has ended, then ask what is to end to do so."""
        await asyncio.sleep(0)
        for ended in await self.inbox.ended():
            self.taking.take(ended)
        self.stops.take(self.tree.to_prove)
        self.cancels()

    def phases(self) -> dict[str, NodePhase]:
        """Return the phases of all nodes."""
        return {state.path: state.phase for state in self.states}
