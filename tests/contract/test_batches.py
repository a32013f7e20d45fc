"""Batches in the warm pool: one process, one attempt after the other, each exclusive and committed by itself."""

# ruff: noqa: ASYNC220
# Nothing else runs in the event loop of a test while it looks at files and processes.
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
from flyte_temporal.ports.launcher import BatchLauncher
from flyte_temporal.spec.attempt import AttemptOrder, AttemptState
from flyte_temporal.spec.bindings import OutputRef
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.literals import Inline
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import TIMEOUT_S, eventually, finish, lines

BATCH = """
import os, sys, time
from flyte_temporal import task

@task
def say(path: str, word: str) -> int:
    print(word)
    with open(path, "a") as file:
        file.write(f"{word}\\n")
    if word.startswith("hold"):
        while not os.path.exists(path + ".go"):
            time.sleep(0.005)
    if word.startswith("fail"):
        raise ValueError(word)
    return os.getpid()

@task
def add(x: int, y: int) -> int:
    print(f"{x} and {y}")
    if x < 0:
        raise ValueError("negative")
    return x + y
"""


@pytest.fixture
def bench(tmp_path: Path) -> AttemptBench:
    source = tmp_path / "source"
    source.mkdir()
    (source / "jobs.py").write_text(BATCH)
    return AttemptBench(source, tmp_path)


@pytest.fixture
async def launcher(bench: AttemptBench) -> AsyncIterator[PoolLauncher]:
    made = PoolLauncher(PoolConfig(bench.folder / "scratch", size=2))
    yield made
    await made.close()


def say(bench: AttemptBench, path: Path, *words: str) -> list[AttemptOrder]:
    orders = [bench.order("jobs.say", {"path": str(path), "word": word}) for word in words]
    # Nodes of one execution, in one environment, as a batch's are.
    return [
        orders[0].model_copy(
            update={
                "attempt": orders[0].attempt.model_copy(update={"node": f"n{i}"}),
                "inputs": order.inputs,
            }
        )
        for i, order in enumerate(orders)
    ]


async def over(launcher: BatchLauncher, orders: Sequence[AttemptOrder]) -> dict[str, AttemptState]:
    """Wait until all that is known of a batch is over; return the states by node."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            states = await launcher.observe_batch([o.attempt for o in orders], 1.0)
            if all(state.over for state in states.values()):
                return {o.attempt.node: states[o.attempt.key] for o in orders if o.attempt.key in states}


def value(bench: AttemptBench, order: AttemptOrder) -> object:
    manifest = bench.manifest(order)
    if manifest is None or manifest.error is not None:
        return manifest and manifest.error and manifest.error.code
    given = (manifest.outputs or {})["o0"]
    return given.value if isinstance(given, Inline) else given


async def test_a_segment_hands_outputs_on_in_one_process(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    first = bench.order("jobs.add", {"x": 1, "y": 1})
    bound = {"x": OutputRef(node="n0", name="o0"), "y": OutputRef(node="n0", name="o0")}
    orders = [
        first,
        first.model_copy(
            update={
                "attempt": first.attempt.model_copy(update={"node": "n1"}),
                "inputs": {},
                "bindings": bound,
            }
        ),
    ]
    await launcher.start_batch(orders, go_on=False)
    states = await over(launcher, orders)
    assert [value(bench, order) for order in orders] == [2, 4]
    assert [bench.log(order) for order in orders] == ["1 and 1\n", "2 and 2\n"]
    assert states["n0"].pid == states["n1"].pid


async def test_members_are_attempts_of_their_own(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    orders = say(bench, tmp_path / "said", *"abc")
    await launcher.start_batch(orders, go_on=False)
    await over(launcher, orders)
    assert [bench.log(order) for order in orders] == ["a\n", "b\n", "c\n"]
    assert lines(tmp_path / "said") == ["a", "b", "c"]
    await launcher.start_batch(orders, go_on=False)  # asked for again: nothing runs again
    await over(launcher, orders)
    for order in orders:
        await launcher.release(order.attempt)
    await launcher.start_batch(orders, go_on=False)
    assert all(state.over for state in (await over(launcher, orders)).values())
    assert lines(tmp_path / "said") == ["a", "b", "c"]
    assert not list((bench.folder / "scratch" / "attempts").iterdir())


@pytest.mark.parametrize("go_on", [False, True])
async def test_a_failure_ends_the_batch_unless_it_is_to_go_on(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path, *, go_on: bool
) -> None:
    orders = say(bench, tmp_path / "said", "a", "fail", "c")
    await launcher.start_batch(orders, go_on=go_on)
    known = await over(launcher, orders)
    assert value(bench, orders[1]) == "UserCodeError"
    assert lines(tmp_path / "said") == (["a", "fail", "c"] if go_on else ["a", "fail"])
    assert list(known) == (["n0", "n1", "n2"] if go_on else ["n0", "n1"])
    await launcher.start_batch(orders[2:], go_on=go_on)
    await over(launcher, orders[2:])
    assert lines(tmp_path / "said") == ["a", "fail", "c"]


async def at_work(path: Path, word: str) -> None:
    await eventually(lambda: word in lines(path))


async def test_a_killed_process_costs_the_member_at_work_only(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    orders = say(bench, said, "a", "b", "hold", "d", "e")
    await launcher.start_batch(orders, go_on=True)
    await at_work(said, "hold")
    journal = (await launcher.observe_batch([orders[0].attempt], 5.0))[orders[0].attempt.key]
    assert journal.pid is not None
    os.kill(journal.pid, signal.SIGKILL)
    states = await over(launcher, orders)
    assert list(states) == ["n0", "n1", "n2"]
    assert value(bench, orders[2]) == "Killed"
    await launcher.start_batch(orders, go_on=True)
    await over(launcher, orders)
    assert lines(said) == ["a", "b", "hold", "d", "e"]
    assert [value(bench, o) for o in (*orders[:2], *orders[3:])].count("Killed") == 0


async def test_what_is_withdrawn_never_begins_and_what_runs_is_found_again(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    """As for a member that turns out to be long: it goes on alone, the others go elsewhere at once."""
    said = tmp_path / "said"
    orders = say(bench, said, "a", "hold", "c", "d")
    await launcher.start_batch(orders, go_on=False)
    await at_work(said, "hold")
    await launcher.withdraw([o.attempt for o in orders])
    await launcher.start_batch(orders[2:], go_on=False)
    await over(launcher, orders[2:])
    assert lines(said) == ["a", "hold", "c", "d"]
    await launcher.start(orders[1])
    (tmp_path / "said.go").touch()
    await finish(launcher, orders[1])
    assert isinstance(value(bench, orders[1]), int)
    assert lines(said) == ["a", "hold", "c", "d"]


async def test_a_cancelled_batch_stops_at_once(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    orders = say(bench, said, "a", "hold", "c")
    await launcher.start_batch(orders, go_on=False)
    await at_work(said, "hold")
    await launcher.withdraw([o.attempt for o in orders])
    await launcher.observe_batch([o.attempt for o in orders], 0.5)
    state = await launcher.stop(orders[1].attempt, 5.0)
    assert state.over
    assert list(await over(launcher, orders)) == ["n0", "n1"]
    assert lines(said) == ["a", "hold"]


async def test_a_batch_that_waits_can_be_withdrawn(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    held = [say(bench, tmp_path / f"held{i}", "hold") for i in range(2)]
    for i, orders in enumerate(held):
        await launcher.start(orders[0])
        await at_work(tmp_path / f"held{i}", "hold")
    said = tmp_path / "said"
    orders = say(bench, said, "a", "b", "c")
    await launcher.start_batch(orders, go_on=False)
    await launcher.withdraw([orders[0].attempt, orders[2].attempt])
    for i in range(2):
        (tmp_path / f"held{i}.go").touch()
    assert list(await over(launcher, orders)) == ["n1"]
    assert lines(said) == ["b"]


async def test_what_another_process_has_done_is_not_done_again(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    """A process may come to a member late, after others ran it and removed its journal."""
    said = tmp_path / "said"
    orders = say(bench, said, "hold", "b", "c")
    await launcher.start_batch(orders, go_on=True)
    await at_work(said, "hold")
    other = PoolLauncher(PoolConfig(bench.folder / "scratch", size=2))
    try:
        await finish(other, orders[1])
        await other.release(orders[1].attempt)
    finally:
        await other.close()
    (tmp_path / "said.go").touch()
    await over(launcher, orders)
    assert lines(said) == ["hold", "b", "c"]


WORKER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
    from flyte_temporal.spec.attempt import AttemptOrder

    async def main(scratch, *orders):
        launcher = PoolLauncher(PoolConfig(Path(scratch), size=2))
        given = [AttemptOrder.read(Path(order).read_bytes()) for order in orders]
        await launcher.start_batch(given, go_on=True)
        await launcher.observe_batch([order.attempt for order in given[-1:]], 600)

    asyncio.run(main(*sys.argv[1:]))
    """
)


async def test_a_killed_worker_costs_nothing(
    bench: AttemptBench, launcher: PoolLauncher, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    orders = say(bench, said, "a", "hold", "c", "d")
    files = []
    for i, order in enumerate(orders):
        files.append(tmp_path / f"order{i}.json")
        files[-1].write_bytes(canonical_bytes(order))
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(bench.folder / "scratch"), *map(str, files)])
    try:
        await at_work(said, "hold")
    finally:
        worker.kill()
        worker.wait()
    await launcher.start_batch(orders, go_on=True)
    await at_work(said, "d")
    (tmp_path / "said.go").touch()
    await over(launcher, orders)
    assert lines(said) == ["a", "hold", "c", "d"]
    assert all(isinstance(value(bench, order), int) for order in orders)
