"""A worker that is alive and useless is replaced, by itself, and its run goes on: the whole stack, with real processes.

The faults are put into the worker from outside: Python imports `sitecustomize` in every process of the stack.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_temporal.client import Client
from flyte_temporal.local.processes import leftovers
from flyte_temporal.sdk.loader import find_entity, load_file
from tests.conftest import CHAOS
from tests.invariants import check

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FAULTY = """
import sys
if any("flyte_temporal.local" in word or "flyte_temporal.worker" in word for word in sys.orig_argv):
    import asyncio, os, time
    from flyte_temporal.activities.attempts import Attempts
    from flyte_temporal.workflows.details import Board

    def once():
        # Whoever removes the file has the fault; the next worker has not.
        try:
            os.unlink(os.environ["FAULT_FILE"])
        except OSError:
            return False
        return True

    markdown = Board.markdown
    def spin(self, *given):
        if os.environ["FAULT"] == "spins" and once():
            while True:
                # Whatever the SDK raises in this thread to end it.
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        return markdown(self, *given)
    Board.markdown = spin

    from flyte_temporal.activities.records import Records
    note = Records.note
    def block(self, *given):
        if os.environ["FAULT"] == "blocks" and once():
            time.sleep(600)
        if os.environ["FAULT"] == "deaf" and once():
            deaf.append(self)
            for each in polling:
                each.initiate_shutdown()
        return note(self, *given)
    Records.note = block

    # Polls that have ended for good, in a worker whose event loop turns: the SDK's core polls no more, and nobody hears of it.
    from datetime import timedelta
    from temporalio.bridge.worker import PollShutdownError, Worker
    from flyte_temporal.adapters.temporal.polls import Polls
    from flyte_temporal.worker import liveness
    polling, deaf = set(), []
    def deafened(poll):
        async def polls(self, *given):
            polling.add(self)
            try:
                return await poll(self, *given)
            except PollShutdownError:
                if deaf:
                    await asyncio.Event().wait()
                raise
        return polls
    Worker.poll_workflow_activation = deafened(Worker.poll_workflow_activation)
    Worker.poll_activity_task = deafened(Worker.poll_activity_task)
    heard = Polls.heard
    async def soon(self):
        # A poll takes up to a minute, so that it is long before one that is not there is missed.
        if deaf:
            self._silent = timedelta(seconds=2)
        return await heard(self)
    Polls.heard = soon
    liveness._POLLS_EVERY_S = 1.0
"""

PROGRAM = """
from pathlib import Path
from flyte_temporal import task, workflow

@task
def step(folder: str, n: int) -> int:
    with (Path(folder) / "steps").open("a") as steps:
        steps.write(f"{n}\\n")
    return n + 1

@workflow
def chain(folder: str) -> int:
    return step(folder=folder, n=step(folder=folder, n=step(folder=folder, n=0)))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    with Client.local(home) as client:
        client.down()
    assert leftovers(home) == []


@pytest.mark.row(3)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("spins", "goes on and on"),
        pytest.param("blocks", "event loop does not turn", marks=CHAOS),
        pytest.param("deaf", "hears no polls", marks=CHAOS),
    ],
)
def test_a_wedged_worker_is_replaced_and_its_run_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAULTY)
    (tmp_path / "program.py").write_text(PROGRAM)
    mark = tmp_path / "fault"
    mark.touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("FAULT_FILE", str(mark))
    monkeypatch.setenv("FLYTE_TEMPORAL_WORKER__WEDGED_S", "5")
    chain = find_entity(load_file(tmp_path / "program.py"), "chain")
    with Client.local(home) as client:
        first = client.up().pids["worker"]
        began = time.monotonic()
        execution = client.run(chain, folder=str(tmp_path))
        assert execution.wait().phase.value == "SUCCEEDED"
        assert time.monotonic() - began < 60
        assert not mark.exists()
        status = client.status()
        assert status.pids["worker"] != first
        assert status.restarts == {"temporal": 0, "worker": 1}
        check(home)
    assert (tmp_path / "steps").read_text().split() == ["0", "1", "2"], "no step ran twice"
    log = (home / "logs" / "worker.log").read_text()
    assert "This worker is wedged" in log
    assert said in log
    assert "most recent call first" in log, "where each thread was"
