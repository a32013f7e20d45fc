"""Equal tasks at the same time are computed once (`cache_serialize`), on the databases of the product."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.adapters.store.sql import SqlMetadataStore
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.cache import FREE_AFTER, Lease, LeaseOwner, Recipe
from flyte_temporal.spec.execution import ErrorDocument, ExecutionPhase
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from tests.contract.databases import new_database
from tests.workflow.caching import House, adds, equal
from tests.workflow.conftest import Stage, user_error
from tests.workflow.test_replay import replay

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/metadata.db"


@pytest.fixture
def house(url: str, stage: Stage) -> Iterator[House]:
    store = SqlMetadataStore(url)
    store.upgrade()
    yield House(stage, store.catalog)
    store.close()


def key_of(closure: Any) -> str:
    """Return the key of the step of one."""
    task = closure.tasks[closures.STEP]
    where = ExecutionId(project="default", domain="development", name="any")
    return Recipe(where, task, task.policy.cache).order({"x": Inline(value=1)}).key


async def slowly(order: AttemptOrder) -> Any:
    await asyncio.sleep(0.5)
    return await adds(order)


@pytest.mark.row(40)
async def test_row_40_a_hundred_at_once_are_one(house: House, tmp_path: Path) -> None:
    """In one execution and across executions; all get the outputs, and each says where they come from."""
    house.process = slowly
    names = [f"r{i}" for i in range(10)]
    limits = RunLimits(lease_s=30)
    async with house.worker():
        states = await asyncio.gather(*(house.run(equal(10), name, limits=limits) for name in names))
    assert {state.phase for state in states} == {ExecutionPhase.SUCCEEDED}
    assert len(house.ran) == 1
    nodes = [node for name in names for node in house.nodes(name).values()]
    assert sorted(node.cache.value for node in nodes) == ["HIT"] * 99 + ["MISS"]
    sources = {(node.source.execution, node.source.node) for node in nodes if node.source is not None}
    assert {"/".join(source) for source in sources} == set(house.ran)
    # Waiting is cheap: a few questions each, no slots and no long activities.
    history = await house.stage.client.get_workflow_handle(f"r0-{house.stage.name}"[:100]).fetch_history()
    assert len(history.events) < 120
    await replay(history, tmp_path)


@pytest.mark.row(40)
async def test_row_40_who_died_is_followed_by_one_within_the_lease(house: House) -> None:
    """A lease that nobody extends ends by itself; those who wait show for whom."""
    closure = equal(2)
    (lost,) = house.catalog.reserve([key_of(closure)], [LeaseOwner(execution="dead", node="n0")], 3.0)
    house.process = slowly
    started = time.monotonic()
    async with house.worker():
        running = [asyncio.create_task(house.run(closure, f"r{i}")) for i in range(4)]
        async with asyncio.timeout(10):
            while not any("execution dead" in node.reason for node in _known(house)):  # noqa: ASYNC110 - seen, not signalled
                await asyncio.sleep(0.02)
        await asyncio.gather(*running)
    assert lost.token == 1
    assert len(house.ran) == 1
    assert time.monotonic() - started < 3.0 + 0.5 + 6


@pytest.mark.row(40)
async def test_row_40_an_owner_whose_worker_is_killed_is_followed_by_one_within_the_lease(
    house: House, url: str, server: str, tmp_path: Path
) -> None:
    """As long as its process lives it keeps the lease, however long that takes; then one of those who wait computes."""
    lease_s = 2.0
    line = [sys.executable, "-m", "tests.workflow.leasing", server, f"{house.stage.queue[:150]}-owner"]
    line += [tmp_path.as_uri(), url, str(lease_s)]
    owner = await asyncio.create_subprocess_exec(*line, cwd=ROOT, stdout=subprocess.PIPE)
    limits = RunLimits(lease_s=lease_s)
    try:
        assert owner.stdout is not None
        owned = (await asyncio.wait_for(owner.stdout.readline(), 60)).decode().strip()
        async with house.worker():
            running = [asyncio.create_task(house.run(equal(1), f"r{i}", limits=limits)) for i in range(4)]
            async with asyncio.timeout(60):
                while sum(f"execution {owned}" in node.reason for node in _known(house)) < 4:  # noqa: ASYNC110 - seen, not signalled
                    await asyncio.sleep(0.02)
            done, _ = await asyncio.wait(running, timeout=2 * lease_s, return_when=asyncio.FIRST_COMPLETED)
            assert (done, house.ran) == (set(), [])
            owner.kill()
            killed = time.monotonic()
            states = await asyncio.gather(*running)
            took_s = time.monotonic() - killed
    finally:
        if owner.returncode is None:
            owner.kill()
        await owner.wait()
    assert {state.phase for state in states} == {ExecutionPhase.SUCCEEDED}
    assert len(house.ran) == 1
    assert took_s < lease_s + 6
    await house.stage.client.get_workflow_handle(owned).terminate()


def _known(house: House) -> list[Any]:
    return [node for i in range(4) for node in house.nodes(f"r{i}").values()]


@pytest.mark.row(41)
async def test_row_41_after_a_failure_exactly_one_goes_on(house: House) -> None:
    def fails_once(order: AttemptOrder) -> int | ErrorDocument:
        del order
        return user_error(recoverable=False) if len(house.ran) == 1 else 2

    house.process = fails_once
    async with house.worker():
        states = await asyncio.gather(*(house.run(equal(1), f"r{i}") for i in range(8)))
    phases = sorted(state.phase.value for state in states)
    assert phases == ["FAILED"] + ["SUCCEEDED"] * 7
    assert len(house.ran) == 2
    assert house.most_at_once == 1


@pytest.mark.row(41)
async def test_row_41_failures_of_all_are_no_convoy(house: House) -> None:
    """After some owners have failed in a row, nobody waits any more; each fails once."""

    async def fails(order: AttemptOrder) -> ErrorDocument:
        del order
        await asyncio.sleep(0.3)
        return user_error(recoverable=False)

    house.process = fails
    async with house.worker():
        states = await asyncio.gather(*(house.run(equal(1), f"r{i}") for i in range(12)))
    assert {state.phase for state in states} == {ExecutionPhase.FAILED}
    assert len(house.ran) == 12
    assert house.most_at_once > 1
    assert len(house.ran) > FREE_AFTER


async def test_a_retry_of_who_failed_waits_for_who_was_promoted(house: House) -> None:
    def fails_once(order: AttemptOrder) -> int | ErrorDocument:
        del order
        return user_error() if len(house.ran) == 1 else 2

    house.process = fails_once
    closure = equal(2)
    task = closure.tasks[closures.STEP]
    retried = task.policy.retries.model_copy(update={"count": 1})
    policy = task.policy.model_copy(update={"retries": retried})
    closure = closure.model_copy(
        update={"tasks": {**closure.tasks, task.name: task.model_copy(update={"policy": policy})}}
    )
    async with house.worker():
        state = await house.run(closure, "r")
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert len(house.ran) == 2
    assert sorted(house.caches("r").values()) == ["HIT", "MISS"]


@pytest.mark.row(30)
async def test_a_late_owner_keeps_its_outputs_to_itself(house: House) -> None:
    """Its lease was taken over while it worked: its node succeeds, the catalog knows the other's outputs only."""
    closure = equal(1)
    key = key_of(closure)

    async def loses_it(order: AttemptOrder) -> Any:
        owner = LeaseOwner(execution=order.attempt.execution.name, node=order.attempt.node)
        # As if it had been silent for so long that its lease ended and another one took over.
        for token in range(1, 10):
            house.catalog.release([Lease(key=key, owner=owner, token=token)], failed=False)
        (taken,) = house.catalog.reserve([key], [LeaseOwner(execution="other", node="n0")], 60)
        assert taken.token
        return await adds(order)

    house.process = loses_it
    async with house.worker():
        state = await house.run(closure, "late")
    assert state.outputs == {"o0": Inline(value=2)}
    assert house.caches("late") == {"n0": "PUT_FAILED"}
    assert house.catalog.find([key]) == {}


async def test_a_lease_is_kept_for_as_long_as_its_attempt_works(house: House) -> None:
    """Longer than the lease itself: nobody else begins."""

    async def works(order: AttemptOrder) -> Any:
        await asyncio.sleep(4)
        return await adds(order)

    house.process = works
    limits = RunLimits(lease_s=1.5, heartbeat_timeout_s=1.0)
    async with house.worker():
        await asyncio.gather(*(house.run(equal(1), f"r{i}", limits=limits) for i in range(3)))
    assert len(house.ran) == 1
