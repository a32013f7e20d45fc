"""Which pause of an execution ends with that of the one that started it, without Temporal."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from temporalio import workflow

from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.repairs import Pause
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.testing import closures
from flyte_temporal.workflows.run import Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWN, WITH_PARENT, GOES_ON = Pause(by="ann"), Pause(by="bob", by_parent=True), Pause(ends=True, by_parent=True)


@pytest.fixture(autouse=True)
def temporal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        workflow,
        "info",
        lambda: SimpleNamespace(
            start_time=NOW, namespace="default", is_target_worker_deployment_version_changed=lambda: False
        ),
    )
    monkeypatch.setattr(workflow, "now", lambda: NOW)


def made(snapshot: Snapshot | None = None) -> Run:
    closure = closures.chain(1)
    return Run(closures.run_input(closure, "e", 1), closure, snapshot)


def test_a_pause_with_the_parent_ends_with_it() -> None:
    repairs = made().repairs
    repairs.follow(WITH_PARENT)
    assert repairs.paused
    repairs.follow(GOES_ON)
    assert not repairs.paused


@pytest.mark.parametrize("own_first", [True, False])
def test_a_pause_of_its_own_stays_when_the_parent_goes_on(*, own_first: bool) -> None:
    repairs = made().repairs
    if own_first:
        repairs.hold_back(OWN)
        repairs.follow(WITH_PARENT)
    else:
        repairs.follow(WITH_PARENT)
        repairs.hold_back(OWN)
    repairs.follow(GOES_ON)
    assert repairs.pause is not None
    assert (repairs.pause.by, repairs.pause.by_parent) == ("ann", False)
    repairs.resume()
    assert not repairs.paused


def test_what_a_continued_run_starts_is_paused_with_it() -> None:
    """By a pause that ends with the one here, though here it is a pause of its own."""
    before = Snapshot(runs=1, began=NOW, made=0, scopes=(), pause=OWN, phase=ExecutionPhase.PAUSED)
    run = made(before)
    assert run.repairs.pause == OWN
    below = run._telling.pause
    assert below is not None
    child = made().repairs
    child.follow(below)
    child.follow(GOES_ON)
    assert not child.paused


@pytest.mark.parametrize("told", [None, True, False])
def test_what_the_parent_knows_is_handed_over(told: bool | None) -> None:
    before = Snapshot(runs=1, began=NOW, made=0, scopes=(), phase=ExecutionPhase.PAUSED, told=told)
    run = made(before)
    after = run.repairs.hand_over(before.model_copy(update={"told": None}), run.records)
    assert (False if told is False else None) is after.told
