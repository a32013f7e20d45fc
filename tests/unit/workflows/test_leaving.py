"""When a run that should continue as new starts nothing more, and that it does not wait for what is not wanted any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest
from temporalio import workflow

from flyte_temporal.testing import closures
from flyte_temporal.workflows.inbox import Inbox
from flyte_temporal.workflows.leaving import Leaving


@dataclass
class Moment:
    """What Temporal says of the run now."""

    length: int = 10
    upgrade: bool = False

    def get_current_history_length(self) -> int:
        return self.length

    def is_continue_as_new_suggested(self) -> bool:
        return False

    def is_target_worker_deployment_version_changed(self) -> bool:
        return self.upgrade


class Woken:
    def wake(self) -> None:
        """Do nothing."""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Moment:
    async def rest(_seconds: float, _why: str) -> None:
        return

    moment = Moment()
    monkeypatch.setattr(workflow, "info", lambda: moment)
    monkeypatch.setattr(workflow, "all_handlers_finished", lambda: True)
    monkeypatch.setattr("flyte_temporal.workflows.leaving.pause", rest)
    return moment


async def test_an_upgrade_that_is_not_wanted_any_more_holds_nothing_up(now: Moment) -> None:
    """Queues learn at different times which build is current: nothing would start, and the run would turn without end."""
    given: Any = closures.run_input(closures.chain(1), "e")
    leaving = Leaving(given, cast("Inbox", Woken()))
    now.upgrade = True
    assert not leaving.took(1)
    now.length = 100
    found = []
    for wanted in (True, False, True):
        now.upgrade = wanted
        found.append(leaving.overdue)
    assert found == [True, False, True]


async def test_who_is_held_back_looks_again(now: Moment) -> None:
    given: Any = closures.run_input(closures.chain(1), "e")
    leaving = Leaving(given, cast("Inbox", Woken()))
    now.upgrade = True
    waits = [leaving.took(1) or leaving.waits]
    await asyncio.sleep(0.01)
    waits.append(leaving.waits)
    leaving.look_later()
    assert [*waits, leaving.waits] == [True, False, True]
