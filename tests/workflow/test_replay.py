"""Golden histories: runs of earlier builds must replay under the code of today.

Record a new set with `make golden-histories` (it sets RECORD_HISTORIES) after a change that is meant to alter
commands, and only together with a new version of the interpreter.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from flyte_temporal.adapters.temporal.converter import data_converter
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.entities import Closure, FailurePolicy
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.runs import INTERPRETER, RunLimits
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.worker.wiring import workflow_options
from tests.workflow import golden
from tests.workflow import test_structures as structures
from tests.workflow.conftest import Attempted, Behaviour, Stage, user_error
from tests.workflow.test_interpreter import failing, nested


async def replay(history: WorkflowHistory, blobs_at: Path) -> None:
    blobs = open_store(StorageConfig(root=blobs_at.as_uri()))
    # As workers run it: a replay with other options would prove nothing about them.
    replayer = Replayer(**workflow_options(), data_converter=data_converter(blobs))
    await replayer.replay_workflow(history)


@pytest.mark.row(37)
@pytest.mark.parametrize("stored", golden.stored(), ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_stored_history_replays(stored: Path, tmp_path: Path) -> None:
    text = await asyncio.to_thread(stored.read_text)
    await replay(WorkflowHistory.from_json(stored.stem, text), tmp_path)


def test_there_are_histories_to_replay() -> None:
    assert {path.parent.name for path in golden.stored()} == {f"v{i + 1}" for i in range(INTERPRETER)}
    newest = {path.stem for path in golden.stored() if path.parent.name == f"v{INTERPRETER}"}
    assert newest >= {*SHAPES, "example_01_hello"}


def fails() -> Closure:
    return closures.closure(
        closures.workflow(
            "shapes.fails", [closures.step("bad", 1), closures.step("n1", 2)], closures.out("n1")
        )
    )


async def ones(request: AttemptRequest) -> Any:
    if request.attempt.node == "bad":
        raise failing(user_error())
    return 1


SHAPES: dict[str, tuple[Closure, Behaviour]] = {
    "chain": (closures.chain(4), ones),
    "fan_out": (closures.fan_out(12), ones),
    "layers": (closures.layers(3, 4), ones),
    "nested": (nested(), ones),
    "failure": (fails(), ones),
    "branch": (structures.BRANCHED, ones),
    "map": (structures.mapped([0, 1, 2], min_successes=1, concurrency=2), structures.odd_fail),
    "dynamic": (structures.dynamic(), structures.emits),
    "launch_plan": (structures.planned(), ones),
    "handler": (structures.handled(FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE), ones),
    "node_handler": (structures.handled(per_node=True), ones),
    "gate_timed_out": (
        structures.gated(GateTarget(gate="input", name="n", type=INTEGER, timeout_s=0.1)),
        ones,
    ),
}


LIMITS = {"continued": RunLimits(window=5, history_events=5)}
"""Of shapes that need others than the rest. The history of a continued run is that of its last run, which got a snapshot."""

SHAPES["continued"] = (closures.chain(8), ones)


@pytest.mark.row(37)
@pytest.mark.parametrize("name", SHAPES)
async def test_a_run_of_today_replays(name: str, stage: Stage, tmp_path: Path) -> None:
    closure, behave = SHAPES[name]
    stage.store_closure(closure)
    run = closures.run_input(closure, f"replay-{name}", 1, LIMITS.get(name, RunLimits(window=5)))
    await stage.run(run, closure, Attempted(behave))
    history = await stage.client.get_workflow_handle(run.request.id.name).fetch_history()
    await replay(history, tmp_path)
    if os.environ.get("RECORD_HISTORIES"):
        await asyncio.to_thread(golden.record, name, history)


@pytest.mark.row(37)
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
