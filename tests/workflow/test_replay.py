"""Golden histories: runs of earlier builds must replay under the code of today.

Record a new set with `make golden-histories` (it sets RECORD_HISTORIES) after a change that is meant to alter
commands, and only together with a new version of the interpreter.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import RunLimits
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.workflows.interpreter import Interpreter
from tests.workflow import golden
from tests.workflow.conftest import Attempted, Stage, user_error
from tests.workflow.test_interpreter import failing, nested


async def replay(history: WorkflowHistory, blobs_at: Path) -> None:
    blobs = open_store(StorageConfig(root=blobs_at.as_uri()))
    replayer = Replayer(workflows=[Interpreter], data_converter=data_converter(blobs))
    await replayer.replay_workflow(history)


@pytest.mark.parametrize("stored", golden.stored(), ids=lambda path: path.stem)
async def test_a_stored_history_replays(stored: Path, tmp_path: Path) -> None:
    text = await asyncio.to_thread(stored.read_text)
    await replay(WorkflowHistory.from_json(stored.stem, text), tmp_path)


def test_there_are_histories_to_replay() -> None:
    assert len(golden.stored()) >= 8


def fails() -> Closure:
    return closures.closure(
        closures.workflow(
            "shapes.fails", [closures.step("bad", 1), closures.step("n1", 2)], closures.out("n1")
        )
    )


SHAPES = {
    "chain": (closures.chain(4), False),
    "fan_out": (closures.fan_out(12), False),
    "layers": (closures.layers(3, 4), False),
    "nested": (nested(), False),
    "failure": (fails(), True),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_a_run_of_today_replays(name: str, stage: Stage, tmp_path: Path) -> None:
    closure, fail = SHAPES[name]

    async def behave(request: AttemptRequest) -> int:
        if fail and request.attempt.node == "bad":
            raise failing(user_error())
        return 1

    run = closures.run_input(closure, f"replay-{name}", 1, RunLimits(window=5))
    await stage.run(run, closure, Attempted(behave))
    history = await stage.client.get_workflow_handle(run.request.id.name).fetch_history()
    await replay(history, tmp_path)
    if os.environ.get("RECORD_HISTORIES"):
        await asyncio.to_thread(golden.record, name, history)


async def test_a_replay_notices_other_code(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the tests: with a changed order of starts, replay fails."""
    closure = closures.fan_out(4)
    run = closures.run_input(closure, "replay-changed", 1)
    await stage.run(run, closure)
    history = await stage.client.get_workflow_handle(run.request.id.name).fetch_history()
    monkeypatch.setattr("flyte_temporal.workflows.plan.Progress.first", lambda self: ["n2", "n1", "n0", "n3"])
    with pytest.raises(Exception, match=r"[Nn]ondetermin"):
        await replay(history, tmp_path)
