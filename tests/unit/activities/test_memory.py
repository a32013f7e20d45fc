"""What an attempt does for the cache: its lease at the beginning, while it works, and at the end."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from flyte_temporal.activities import remembering
from flyte_temporal.activities.closures import Closures
from flyte_temporal.activities.memory import LeaseLost, Memory
from flyte_temporal.activities.remembering import Remembering
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.spec.cache import CacheOrder, LeaseOwner
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.execution import CacheStatus
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from flyte_temporal.testing.launcher import FakeLauncher

KEY = "a" * 64
CLOSURE = closures.chain(1)
RUN = ExecutionId(project="p", domain="d", name="run")
ATTEMPT = AttemptId(execution=RUN, node="n0", number=1, token="t")
MINE = LeaseOwner(execution="run", node="n0")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(clock: Clock) -> MemoryCatalog:
    return MemoryCatalog(clock)


@pytest.fixture
def memory(catalog: MemoryCatalog, tmp_path: Path) -> Memory:
    blobs = open_store(StorageConfig(root=tmp_path.as_uri()))
    blobs.put(keys.closure(digest(CLOSURE)), canonical_bytes(CLOSURE))
    (got,) = catalog.reserve([KEY], [MINE], 30)
    memo = CacheOrder(
        key=KEY,
        task=closures.STEP,
        version="1",
        interface="i",
        inputs="j",
        token=got.token,
        lease_s=30,
    )
    request = AttemptRequest(
        attempt=ATTEMPT, spec=digest(CLOSURE), task=closures.STEP, memo=memo, cache=CacheStatus.MISS
    )
    return Memory(Remembering(catalog, blobs, Closures(blobs)), request)


async def begin(memory: Memory, launcher: FakeLauncher, delivery: int = 1) -> Any:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(ActivityEnvironment.default_info(), attempt=delivery)
    return await environment.run(memory.begin, launcher)


def holder(catalog: MemoryCatalog) -> str:
    (got,) = catalog.reserve([KEY], [LeaseOwner(execution="asks", node="n0")], 30)
    return got.holder.execution if got.holder else "asks"


async def test_a_lease_that_ended_before_the_start_hands_the_attempt_back(
    memory: Memory, catalog: MemoryCatalog, clock: Clock
) -> None:
    clock.now = 31
    assert holder(catalog) == "asks"
    with pytest.raises(LeaseLost):
        await begin(memory, FakeLauncher(lambda order: None))


async def test_an_attempt_that_runs_already_is_never_handed_back(memory: Memory, clock: Clock) -> None:
    launcher = FakeLauncher(lambda order: None)
    await launcher.start(
        AttemptOrder(
            attempt=ATTEMPT, task=CLOSURE.tasks[closures.STEP], storage=StorageConfig(root="file:///x")
        )
    )
    clock.now = 31
    await begin(memory, launcher)
    await begin(memory, FakeLauncher(lambda order: None), delivery=2)


async def test_a_lease_begins_anew_with_the_attempt(
    memory: Memory, catalog: MemoryCatalog, clock: Clock
) -> None:
    clock.now = 25
    await begin(memory, FakeLauncher(lambda order: None))
    clock.now = 50
    assert holder(catalog) == "run"
    assert 0 < memory.look_s <= 10


async def test_outputs_end_the_lease_and_are_found(memory: Memory, catalog: MemoryCatalog) -> None:
    await ActivityEnvironment(client=object()).run(memory.keep, {"o0": Inline(value=1)})  # type: ignore[arg-type]
    assert memory.status is CacheStatus.MISS
    assert catalog.find([KEY])[KEY].outputs == {"o0": Inline(value=1)}
    assert holder(catalog) == "asks"


async def test_a_catalog_that_says_nothing_holds_up_no_node(
    memory: Memory, catalog: MemoryCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_PATIENCE_S", 0.05)
    answers, put = threading.Event(), catalog.put

    def frozen(entries: Any) -> list[bool]:
        answers.wait()
        return put(entries)

    monkeypatch.setattr(catalog, "put", frozen)

    async def keep_until_it_answers() -> None:
        try:
            async with asyncio.timeout(30):
                await memory.keep({"o0": Inline(value=1)})
            assert (memory.status, catalog.find([KEY])) == (CacheStatus.PUT_FAILED, {})
        finally:
            answers.set()
        await memory._remembering.close()

    await ActivityEnvironment(client=object()).run(keep_until_it_answers)  # type: ignore[arg-type]
    # What waited is remembered, late.
    assert catalog.find([KEY])[KEY].outputs == {"o0": Inline(value=1)}
    assert holder(catalog) == "asks"


async def test_without_outputs_the_lease_is_given_back(memory: Memory, catalog: MemoryCatalog) -> None:
    async def give_up() -> None:
        await memory.give_up(failed=True)

    await ActivityEnvironment(client=object()).run(give_up)  # type: ignore[arg-type]
    assert catalog.find([KEY]) == {}
    assert holder(catalog) == "asks"
