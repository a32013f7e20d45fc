"""A worker that watches itself: what counts as wedged, and what does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation

from flyte_temporal.worker import liveness as module
from flyte_temporal.worker.liveness import Activations, Liveness


def evicting(run: str) -> WorkflowActivation:
    activation = WorkflowActivation(run_id=run)
    activation.jobs.add().remove_from_cache.message = "evict"
    return activation


def looks(watched: Liveness, number: int) -> list[str]:
    return [watched.look() for _ in range(number)]


@pytest.fixture
def said() -> list[str]:
    return []


def watching(activations: Activations, said: list[str], **given: object) -> Liveness:
    return Liveness(1.0, activations, end=said.append, **given)  # type: ignore[arg-type]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is awaited happens in a thread
            await asyncio.sleep(0.01)


async def test_a_worker_that_turns_is_well_and_shows_it(said: list[str], tmp_path: Path) -> None:
    file = tmp_path / "live"
    watched = watching(Activations(), said, file=file)
    watched.start()
    try:
        await until(file.exists)
        file.unlink()
        await until(file.exists)
    finally:
        await watched.close()
    assert said == []


async def test_a_loop_that_is_blocked_is_seen_from_outside_of_it(said: list[str], tmp_path: Path) -> None:
    watched = watching(Activations(), said, file=tmp_path / "live")
    watched.start()
    try:
        await asyncio.sleep(0)
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - that is the fault
        assert "event loop does not turn" in said[0]
        (tmp_path / "live").unlink(missing_ok=True)
        said.clear()
        await until((tmp_path / "live").exists)
    finally:
        await watched.close()


def test_an_activation_that_goes_on_and_on_is_seen() -> None:
    activations, release, begun = Activations(), threading.Event(), threading.Event()

    def spin(_act: WorkflowActivation) -> None:
        begun.set()
        release.wait(20)

    thread = threading.Thread(target=activations.run, args=(spin, WorkflowActivation(run_id="r"), "my-run"))
    thread.start()
    begun.wait(20)
    watched = watching(activations, [])
    watched._turns = -1
    found = []
    for _ in range(11):
        watched._turns += 1
        found.append(watched.look())
    assert found[:10] == [""] * 10
    assert "my-run goes on and on" in found[10]
    release.set()
    thread.join()
    watched._turns += 1
    assert watched.look() == ""


def test_many_short_activations_are_not_taken_for_a_long_one() -> None:
    activations = Activations()
    watched = watching(activations, [])
    for _ in range(30):
        watched._turns += 1
        seen: list[str] = []
        activations.run(lambda _act: seen.append(watched.look()), WorkflowActivation(), "r")  # noqa: B023
        assert seen == [""]


def test_a_run_that_cannot_be_evicted_is_seen_until_it_is() -> None:
    activations = Activations()
    watched = watching(activations, [])

    def refuse(_act: WorkflowActivation) -> None:
        raise RuntimeError("Eviction processed, but 263 tasks remain")

    found = []
    for _ in range(11):
        watched._turns += 1
        with pytest.raises(RuntimeError):
            activations.run(refuse, evicting("r"), "my-run")
        found.append(watched.look())
    assert found[:10] == [""] * 10
    assert "my-run cannot be evicted" in found[10]
    activations.run(lambda _act: None, evicting("r"), "my-run")
    watched._turns += 1
    assert watched.look() == ""


def test_a_process_that_was_stopped_for_long_is_not_taken_for_a_wedged_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After SIGCONT the thread may be first: it has looked once, however much time has passed."""
    watched = watching(Activations(), [])
    assert watched.look() == ""
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    assert watched.look() == ""


async def test_a_worker_whose_polls_have_ended_is_wedged_and_one_without_temporal_is_not(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3 of the fault matrix (reliability.md §2.3): worker alive, poll loop dead."""
    monkeypatch.setattr(module, "_POLLS_EVERY_S", 0.001)
    answers: list[object] = [False, False, ConnectionError("away"), False, False, True]
    asked = asyncio.Event()

    async def polled() -> bool:
        if not answers:
            asked.set()
            return False
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert said == []
        return bool(answer)

    watched = watching(Activations(), said)
    watched.start(polled)
    try:
        await asked.wait()
        await until(lambda: said)
    finally:
        await watched.close()
    assert "no polls" in said[0]


async def test_a_limit_of_zero_switches_it_off(tmp_path: Path) -> None:
    watched = Liveness(0, Activations(), tmp_path / "live", end=pytest.fail)
    assert looks(watched, 200) == [""] * 200


STUCK = """
import asyncio, re
from flyte_temporal.worker.liveness import Activations, Liveness

async def main():
    Liveness(0.2, Activations()).start()
    await asyncio.sleep(0.5)
    print("stuck", flush=True)
    re.match(r"(a+)+$", "a" * 40 + "b")

asyncio.run(main())
"""


def test_a_thread_that_never_lets_go_of_the_interpreter_is_seen_too() -> None:
    """Then no Python code runs any more, that of the watching thread included."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "stuck\n")
    assert "Timeout" in done.stderr
