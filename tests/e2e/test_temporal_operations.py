"""What somebody does to a run in Temporal itself, by its own command line: our records follow, and nothing is left running.

After each operation: the state of the execution and of its nodes, the processes of its attempts, and how often each step
has begun.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient

from flyte_temporal.adapters.launchers.settings import PoolConfig
from flyte_temporal.client import Client
from flyte_temporal.sdk.loader import find_entity, load_file
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage.scratch import is_held
from tests.workflow.conftest import temporal_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Stack:
    client: Client
    home: Path
    program: Path
    address: str

    def temporal(self, *words: str) -> str:
        """Run Temporal's own command line."""
        line = [temporal_program(), *words, "--address", self.address]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cancel(self, name: str, reason: str) -> None:
        """Ask a run to stop, with a reason: Temporal's command line gives none."""

        async def ask() -> None:
            temporal = await TemporalClient.connect(self.address)
            await temporal.get_workflow_handle(name).cancel(reason=reason)

        asyncio.run(ask())

    def start(self, name: str, workflow: str, folder: Path) -> None:
        """Start an execution, or attach to it."""
        entity = find_entity(load_file(self.program), workflow)
        self.client.run(entity, execution_id=name, folder=str(folder))


@dataclass(frozen=True)
class Running:
    """An execution whose second step waits for a file."""

    stack: Stack
    name: str
    folder: Path

    def temporal(self, *words: str) -> str:
        return self.stack.temporal(*words, "--workflow-id", self.name)

    def record(self, name: str = "") -> ExecutionRecord:
        return self.stack.client.execution(name or self.name).record()

    def states(self, name: str = "") -> list[NodeRecord]:
        return self.stack.client.execution(name or self.name).nodes()

    def nodes(self, name: str = "") -> dict[str, str]:
        return {node.id: node.phase.value for node in self.states(name)}

    def begun(self, step: str) -> list[int]:
        marks = self.folder / step
        return [int(pid) for pid in marks.read_text().split()] if marks.exists() else []

    def give(self, text: str) -> None:
        ready = self.folder / "ready"
        ready.write_text(text)
        ready.rename(self.folder / "given")

    def ends(self, phase: str, *, name: str = "") -> ExecutionRecord:
        """Wait for the record to say so."""
        until(lambda: self.record(name).phase.value == phase)
        return self.record(name)

    def ends_well(self) -> ExecutionRecord:
        record = self.ends("SUCCEEDED")
        assert record.outputs == {"o0": Inline(value=111)}
        return record

    def leaves_nothing(self) -> None:
        """See no attempt at work any more; there is one run at a time here."""
        until(lambda: not at_work(self.stack.home))

    def events(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(self.temporal("workflow", "show", "--output", "json"))[
            "events"
        ]
        return shown

    def pending(self) -> list[str]:
        """Return the ids of the activities that are at work."""
        shown = json.loads(self.temporal("workflow", "describe", "--output", "json"))
        return [str(each["activityId"]) for each in shown["pendingActivities"]]

    def task_before(self, activity: str) -> str:
        """Return the event of the workflow task that asked for an activity."""
        for event in self.events():
            asked = event.get("activityTaskScheduledEventAttributes", {})
            if asked.get("activityId") == activity:
                return str(asked["workflowTaskCompletedEventId"])
        raise AssertionError(f"{activity} was not asked for")

    def reset(self, event: str) -> None:
        self.temporal("workflow", "reset", "--event-id", event, "--reason", "try again")


def at_work(home: Path) -> list[Path]:
    """Return the working folders of attempts that somebody holds."""
    journals = PoolConfig(home / "attempts").attempts.glob("*.journal")
    return [where for found in journals if is_held(where := found.with_suffix(""))]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("operations")
    program = folder / "src" / "operated.py"
    program.parent.mkdir()
    program.write_text(Path(__file__).with_name("operated.py.txt").read_text(encoding="utf-8"))
    home = folder / "h"
    with pytest.MonkeyPatch.context() as environment, Client.local(home) as client:
        environment.setenv("FLYTE_TEMPORAL_LOCAL__RECONCILE_S", "0.5")
        try:
            yield Stack(client, home, program, client.up().temporal_address)
        finally:
            client.down()


def begin(
    stack: Stack, tmp_path: Path, name: str, workflow: str = "steps", until_begun: str = "held"
) -> Running:
    folder = tmp_path / name
    folder.mkdir()
    stack.start(name, workflow, folder)
    running = Running(stack, name, folder)
    until(lambda: running.begun(until_begun))
    return running


def test_cancel(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-cancel")
    stack.cancel(run.name, "not tonight")
    record = run.ends("ABORTED")
    assert "not tonight" in record.abort_reason
    assert run.nodes() == {"n0": "SUCCEEDED", "n1": "ABORTED", "n2": "SKIPPED"}
    run.leaves_nothing()


def test_terminate_with_a_child(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-terminate", "parent")
    run.temporal("workflow", "terminate", "--reason", "disk is full")
    assert "disk is full" in run.ends("ABORTED").abort_reason
    (child,) = [node.child for node in run.states()]
    assert run.nodes() == {"n0": "ABORTED"}
    run.ends("ABORTED", name=child)
    assert run.nodes(child)["n1"] == "ABORTED"
    run.leaves_nothing()


def test_reset_of_a_failed_run(stack: Stack, tmp_path: Path) -> None:
    """The failed step is asked for again, what was finished before is not."""
    run = begin(stack, tmp_path, "op-reset-failed")
    run.give("nothing")
    error = run.ends("FAILED").error
    assert error is not None
    assert error.node == "n1"
    run.give("10")
    run.reset(run.task_before("n1#1"))
    assert run.ends_well().error is None
    assert run.nodes() == {"n0": "SUCCEEDED", "n1": "SUCCEEDED", "n2": "SUCCEEDED"}
    assert [len(run.begun(step)) for step in ("first", "held", "last")] == [1, 2, 1]


def test_reset_of_an_open_run_behind_a_step_at_work(stack: Stack, tmp_path: Path) -> None:
    """The attempt was asked for before the point of the reset: it is the new run's as well, and is not disturbed."""
    run = begin(stack, tmp_path, "op-reset-behind")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.client.execution(run.name).wait)
        run.reset(run.task_before("n1#1"))
        until(lambda: run.record().phase.value == "RUNNING")
        run.give("10")
        assert waiting.result(60).outputs == {"o0": Inline(value=111)}
    assert run.nodes() == {"n0": "SUCCEEDED", "n1": "SUCCEEDED", "n2": "SUCCEEDED"}
    assert len(run.begun("first")) == 1
    run.leaves_nothing()


def test_reset_of_an_open_run_to_its_beginning(stack: Stack, tmp_path: Path) -> None:
    """The attempt at work is nobody's any more and is stopped; a new one takes its place."""
    run = begin(stack, tmp_path, "op-reset-first")
    run.reset(run.task_before("n0#1"))
    until(lambda: len(run.begun("held")) == 2)
    until(lambda: len(at_work(stack.home)) == 1)
    until(lambda: run.nodes()["n1"] == "RUNNING")
    run.give("10")
    run.ends_well()
    assert [len(run.begun(step)) for step in ("first", "held", "last")] == [2, 2, 1]


def test_a_signal_that_nobody_knows(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-signal")
    run.temporal("workflow", "signal", "--name", "wake-up", "--input", '{"now": true}')
    run.give("10")
    run.ends_well()


def test_pause_reset_and_unpause_of_an_activity(stack: Stack, tmp_path: Path) -> None:
    """What runs, runs on; its result is taken in when the activity goes on."""
    run = begin(stack, tmp_path, "op-pause")
    run.temporal("activity", "pause", "--activity-id", "n1#1", "--reason", "look at it first")
    until(lambda: run.nodes()["n1"] == "PAUSED")
    run.give("10")
    run.temporal("activity", "unpause", "--activity-id", "n1#1")
    run.ends_well()
    assert [len(run.begun(step)) for step in ("first", "held", "last")] == [1, 1, 1]


def test_pause_and_unpause_of_the_activity_of_a_batch(stack: Stack, tmp_path: Path) -> None:
    """Each of its attempts that has not ended says so; what has begun runs on, and nothing runs twice."""
    run = begin(stack, tmp_path, "op-pause-batch", "segment", "quick-1")
    (activity,) = run.pending()
    run.temporal("activity", "pause", "--activity-id", activity, "--reason", "look at it first")
    until(lambda: run.nodes().get("n23") == "PAUSED")
    assert run.nodes()["n0"] == "SUCCEEDED"
    run.temporal("activity", "unpause", "--activity-id", activity)
    record = run.ends("SUCCEEDED")
    assert record.outputs == {"o0": Inline(value=24)}
    assert set(run.nodes().values()) == {"SUCCEEDED"}
    assert [len(run.begun(f"quick-{n}")) for n in range(24)] == [1] * 24


def test_reset_of_an_activity(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-activity-reset")
    run.temporal("activity", "reset", "--activity-id", "n1#1")
    run.give("10")
    run.ends_well()
    assert [len(run.begun(step)) for step in ("first", "held", "last")] == [1, 1, 1]


def test_batch_terminate(stack: Stack, tmp_path: Path) -> None:
    runs = [begin(stack, tmp_path, f"op-batch-{i}") for i in (1, 2)]
    query = "FtEntity = 'operated.steps' AND ExecutionStatus = 'Running'"
    stack.temporal("workflow", "terminate", "--query", query, "--reason", "all of them", "--yes")
    for run in runs:
        assert "all of them" in run.ends("ABORTED").abort_reason
        assert run.nodes() == {"n0": "SUCCEEDED", "n1": "ABORTED", "n2": "SKIPPED"}
        run.leaves_nothing()


def test_deletion_of_a_closed_run(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-delete-closed")
    run.give("10")
    before = run.ends_well()
    run.temporal("workflow", "delete", "--yes")
    until(lambda: _is_unknown(run))
    assert run.record() == before
    assert set(run.nodes().values()) == {"SUCCEEDED"}
    # The same request again attaches to what was, instead of running it again.
    stack.start(run.name, "steps", run.folder)
    assert stack.client.execution(run.name).wait() == before
    assert len(run.begun("first")) == 1


def test_deletion_of_an_open_run(stack: Stack, tmp_path: Path) -> None:
    run = begin(stack, tmp_path, "op-delete-open")
    run.temporal("workflow", "delete", "--yes")
    assert "deleted in Temporal" in run.ends("ABORTED").abort_reason
    assert run.nodes() == {"n0": "SUCCEEDED", "n1": "ABORTED", "n2": "SKIPPED"}
    run.leaves_nothing()
    assert len(run.begun("first")) == 1


def _is_unknown(run: Running) -> bool:
    line = [temporal_program(), "workflow", "describe", "--workflow-id", run.name]
    line += ["--address", run.stack.address]
    return subprocess.run(line, capture_output=True, timeout=60, check=False).returncode != 0
