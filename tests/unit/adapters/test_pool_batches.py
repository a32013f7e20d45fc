"""Batches in the warm pool, with a process that is played by the test: what its journals and its words say of the next one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.launchers.pool import PoolConfig, PoolLauncher
from flyte_temporal.adapters.launchers.queueing import Entry
from flyte_temporal.adapters.launchers.warm import key_of
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, Intent
from flyte_temporal.storage import scratch
from flyte_temporal.testing.attempts import AttemptBench


@dataclass(eq=False)
class Process:
    """A warm process that does what the test says, and its zygote."""

    launcher: PoolLauncher
    orders: list[AttemptOrder]
    idle: list[Any] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    journal: int = -1
    entry: Entry | None = None
    pid: int = 0
    number: int = 1

    @property
    def processes(self) -> dict[int, Any]:
        return {self.number: self}

    def call_off(self) -> None:
        """Begin nothing more."""

    def give(self, warm: Any, entry: Entry, handed: Sequence[int]) -> bool:
        assert warm is self
        self.given.append(entry.order.attempt.node)
        self.entry, self.journal = entry, os.dup(handed[0])
        return True

    def ends(self) -> None:
        """End the first attempt in its journal, of which the launcher hears nothing yet."""
        scratch.write_ending(self.journal, scratch.Ending(0))
        os.close(self.journal)

    def says(self, order: AttemptOrder, **more: Any) -> None:
        name = scratch.attempt_name(order.attempt)
        self.launcher._on_done(self, self, {"name": name, "code": 0, "message": "", "rss": 1, **more})  # type: ignore[arg-type]

    def close(self) -> None:
        """End, as a zygote does that is let go."""

    async def states(self) -> dict[str, AttemptState]:
        found = await self.launcher.observe_batch([order.attempt for order in self.orders])
        return {o.attempt.node: found[o.attempt.key] for o in self.orders if o.attempt.key in found}


@pytest.fixture
async def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "jobs.py").write_text(
        "from flyte_temporal import task\n\n@task\ndef one() -> int:\n    return 1\n"
    )
    first = AttemptBench(source, tmp_path).order("jobs.one", {})
    orders = [
        first.model_copy(update={"attempt": first.attempt.model_copy(update={"node": node})})
        for node in ("n0", "n1", "n2")
    ]
    launcher = PoolLauncher(PoolConfig(tmp_path / "scratch", size=1))
    made = Process(launcher, orders)
    made.idle.append(made)
    launcher._zygotes[key_of(first)] = made  # type: ignore[assignment]
    monkeypatch.setattr("flyte_temporal.adapters.launchers.pool.Warm", Process)
    await launcher.start_batch(orders, go_on=False)
    yield made
    await launcher.close()


@pytest.mark.parametrize("retire", [False, True])
async def test_what_seemed_to_be_next_has_not_begun_if_its_process_begins_nothing_more(
    process: Process, *, retire: bool
) -> None:
    process.ends()
    process.launcher._catch_up(process)
    assert (await process.states())["n1"].phase is AttemptPhase.RUNNING
    process.says(process.orders[0], retire=retire)
    assert list(await process.states()) == ["n0"]
    process.idle.append(process)
    await process.launcher.start_batch(process.orders[1:], go_on=False)
    assert process.given == ["n0", "n1"]


async def test_what_is_next_goes_on_after_the_word_of_the_one_before(process: Process) -> None:
    process.ends()
    process.launcher._catch_up(process)
    process.says(process.orders[0])
    states = await process.states()
    assert [state.phase for state in states.values()] == ["EXITED", "RUNNING", "QUEUED"]
    process.says(process.orders[1], retire=False)
    assert list(await process.states()) == ["n0", "n1"]


async def test_what_seemed_to_be_next_and_was_to_stop_has_ended(process: Process) -> None:
    process.ends()
    process.launcher._catch_up(process)
    second = process.orders[1].attempt
    scratch.request_stop(process.launcher._config.attempts / scratch.attempt_name(second), Intent.CANCEL)
    process.says(process.orders[0], retire=False)
    states = await process.states()
    assert list(states) == ["n0", "n1"]
    assert states["n1"].over
