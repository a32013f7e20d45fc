"""The cache in a real Temporal: hits, misses, what is gone, what is not to be used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.bindings import InputRef
from flyte_temporal.spec.cache import EntryFilter
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.literals import Inline, Offloaded
from flyte_temporal.spec.policies import CacheSettings, Overrides
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from tests.workflow import test_structures as structures
from tests.workflow.caching import House, adds, cached
from tests.workflow.conftest import Stage, plain, user_error
from tests.workflow.test_interpreter import nested
from tests.workflow.test_replay import replay

ALL = EntryFilter(project="default", domain="development")


@pytest.fixture
def house(stage: Stage) -> House:
    return House(stage, MemoryCatalog())


async def _dynamic(order: AttemptOrder) -> Any:
    if order.task.name != "shapes.dynamic":
        return await adds(order)
    # What an attempt gives is compiled from the same code: its tasks are cached as well.
    return cached(structures.emitted(plain(order.inputs["x"])))


@pytest.mark.parametrize(
    ("closure", "of_tasks"),
    [
        (closures.chain(3), 3),
        (nested(), 4),
        (structures.mapped(range(450)), 450),
        (structures.dynamic(), 6),
        (structures.BRANCHED, 3),
    ],
    ids=["chain", "sub-workflow", "map", "dynamic", "branch"],
)
async def test_a_second_run_computes_nothing(house: House, closure: Any, of_tasks: int) -> None:
    """Wherever a task stands; and it says of each node which one computed its outputs."""
    house.process = _dynamic
    async with house.worker():
        first = await house.run(cached(closure), "first", 1 if closure is structures.BRANCHED else 3)
        ran = list(house.ran)
        assert set(ran)
        assert first.phase is ExecutionPhase.SUCCEEDED
        second = await house.run(cached(closure), "second", 1 if closure is structures.BRANCHED else 3)
        assert second.outputs == first.outputs
        assert house.ran == ran
    before, after = house.nodes("first"), house.nodes("second")
    hits = {id_: node for id_, node in after.items() if node.cache.value == "HIT"}
    computed = {
        id_: node for id_, node in before.items() if node.attempts and node.kind in {"task", "dynamic"}
    }
    assert len(computed) == of_tasks
    # The nodes inside of a dynamic task that is a hit are not even known.
    assert {n.cache.value for n in computed.values()} <= {"MISS", "HIT"}
    for id_, node in hits.items():
        assert node.source is not None
        assert (node.attempts, node.phase.value) == (0, "SUCCEEDED")
        assert before[node.source.node].attempt_key == node.source.attempt_key or node.source.node == id_
    assert len(hits) == (2 if "dynamic" in closure.root.name else of_tasks)


async def test_items_of_a_map_are_looked_up_many_at_once(house: House) -> None:
    closure = cached(structures.mapped(range(450)))
    async with house.worker():
        await house.run(closure, "first")
        assert house.looked_up == [200, 200, 50]
        await house.run(closure, "second")
        assert house.looked_up == [200, 200, 50] * 2
    history = await house.stage.client.get_workflow_handle(f"second-{house.stage.name}"[:100]).fetch_history()
    assert len(history.events) < 60


async def test_what_a_batch_hands_back_at_work_is_not_looked_up_again(house: House) -> None:
    """An equal node was stored meanwhile: as a hit, it would end without the process that is at work for it."""
    closure = cached(closures.fan_out(3))
    tasks = {
        name: task.model_copy(update={"policy": task.policy.model_copy(update={"short": True})})
        for name, task in closure.tasks.items()
    }
    others = asyncio.Event()

    async def process(order: AttemptOrder) -> Any:
        if order.attempt.node == "n0":
            await others.wait()
        elif order.attempt.node == "n2":
            others.set()
        return await adds(order)

    house.process = process
    async with house.worker():
        limits = RunLimits(batches="on", slots=1)
        await house.run(closure.model_copy(update={"tasks": tasks}), "first", limits=limits)
    assert [each.rpartition("/")[2] for each in house.ran] == ["n0", "n1", "n2", "total"]
    assert house.looked_up == [3, 1]
    assert set(house.caches("first").values()) == {"MISS"}


async def test_children_use_the_cache_and_are_told_what_their_parent_was_told(house: House) -> None:
    closure = cached(structures.planned())
    async with house.worker():
        await house.run(closure, "first")
        await house.run(closure, "second")
        assert len(house.ran) == 2
        await house.run(closure, "third", no_cache=True)
        assert len(house.ran) == 4
        await house.run(closure, "fourth", overwrite_cache=True)
        assert len(house.ran) == 6
        await house.run(closure, "fifth")
        assert len(house.ran) == 6
    assert house.caches("third") == {"lp": "DISABLED", "n1": "DISABLED"}
    assert house.caches("fourth")["n1"] == "SKIPPED"
    source = house.nodes("fifth")["n1"].source
    assert source is not None
    assert source.execution.startswith("fourth")


async def test_a_node_may_be_cached_otherwise_than_its_task(house: House) -> None:
    nodes = [closures.step("n0", InputRef(name="x")), closures.step("n1", closures.out("n0"))]
    off = nodes[1].model_copy(update={"overrides": Overrides(cache=CacheSettings())})
    closure = cached(closures.closure(closures.workflow("shapes.w", [nodes[0], off], closures.out("n1"))))
    async with house.worker():
        await house.run(closure, "first")
        await house.run(closure, "second")
    assert house.caches("second") == {"n0": "HIT", "n1": "DISABLED"}


@pytest.mark.parametrize("change", ["version", "salt", "inputs"])
async def test_what_is_in_the_key_makes_another_entry(house: House, change: str) -> None:
    closure = closures.chain(1)
    settings: dict[str, Any] = {change: "2"} if change != "inputs" else {}
    async with house.worker():
        await house.run(cached(closure), "first")
        await house.run(cached(closure, **settings), "second", 1 if change == "inputs" else 0)
    assert house.caches("second") == {"n0": "MISS"}
    assert len(house.catalog.entries(ALL)) == 2


async def test_ignored_inputs_are_not_in_the_key(house: House) -> None:
    closure = cached(closures.chain(1), ignored_inputs=("x",))
    async with house.worker():
        first = await house.run(closure, "first", 1)
        second = await house.run(closure, "second", 5)
    assert second.outputs == first.outputs
    assert house.caches("second") == {"n0": "HIT"}


@pytest.mark.row(16, 42)
@pytest.mark.parametrize("damage", ["gone", "other size", "one byte"])
async def test_row_16_and_42_what_is_gone_from_the_store_is_computed_anew(house: House, damage: str) -> None:
    """An entry whose object is not there, or is not what it was, is dropped and never served."""
    data = b"[1, 2, 3]"
    key = keys.blob(sha256_hex(data))

    def stores(order: AttemptOrder) -> Any:
        del order
        house.stage.blobs.put_new(key, data)
        return {"o0": Offloaded(key=key, sha256=sha256_hex(data), size=len(data))}

    house.process = stores
    closure = cached(closures.closure(closures.workflow("shapes.w", [closures.step("n0", 1)], None)))
    async with house.worker():
        await house.run(closure, "first")
        await house.run(closure, "whole")
        assert len(house.ran) == 1
        house.stage.blobs.delete(key)
        if damage == "other size":
            house.stage.blobs.put(key, b"[1, 2]")
        if damage == "one byte":
            house.stage.blobs.put(key, b"[1, 2, 4]")
        await house.run(closure, "second")
        assert len(house.ran) == 2
        assert house.stage.blobs.get(key) == data, "what is damaged stands in the way of what is whole"
        await house.run(closure, "third")
        assert len(house.ran) == 2
    assert house.caches("second") == {"n0": "MISS"}
    source = house.nodes("third")["n0"].source
    assert source is not None
    assert source.execution.startswith("second")


async def test_a_cache_that_does_not_answer_keeps_nothing_from_running(house: House) -> None:
    house.broken = True
    async with house.worker():
        state = await house.run(cached(closures.chain(1)), "first")
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert house.caches("first") == {"n0": "MISS"}


async def test_outputs_that_cannot_be_remembered_are_outputs_all_the_same(house: House) -> None:
    class Full(MemoryCatalog):
        def put(self, entries: Any) -> list[bool]:
            del entries
            raise PlatformUnavailable("The disk is full.")

    house.catalog = Full()
    async with house.worker():
        state = await house.run(cached(closures.chain(2)), "first")
    assert state.outputs == {"o0": Inline(value=2)}
    assert house.caches("first") == {"n0": "PUT_FAILED", "n1": "PUT_FAILED"}


async def test_failures_are_not_remembered(house: House) -> None:
    house.process = lambda order: user_error(recoverable=False)
    async with house.worker():
        state = await house.run(cached(closures.chain(1)), "first")
    assert state.phase is ExecutionPhase.FAILED
    assert house.catalog.entries(ALL) == []


async def test_runs_that_look_up_replay(house: House, tmp_path: Any) -> None:
    """Half hits, half misses, others at work beside them, a small window; and an older run looks nothing up."""
    closure = cached(structures.mapped(range(300)))
    half = cached(structures.mapped(range(0, 300, 2)))
    async with house.worker():
        await house.run(half, "half")
        await house.run(closure, "whole")
        await house.run(cached(closures.layers(4, 6)), "layers")
        await house.run(cached(structures.dynamic()), "dynamic", 3)
    for name in ("half", "whole", "layers"):
        handle = house.stage.client.get_workflow_handle(f"{name}-{house.stage.name}"[:100])
        await replay(await handle.fetch_history(), tmp_path)


async def test_an_interpreter_of_before_does_not_look_up(house: House) -> None:
    stage, closure = house.stage, cached(closures.chain(1))
    async with house.worker():
        stage.store_closure(closure)
        given = closures.run_input(closure, f"old-{stage.name}"[:100]).model_copy(update={"interpreter": 2})
        await stage.engine.start(given, closure)
        state = await stage.engine.wait(given.request.id, 60)
    assert state is not None
    assert state.phase is ExecutionPhase.SUCCEEDED
    assert house.looked_up == []


async def test_an_abort_ends_nodes_that_wait_for_others(house: House) -> None:
    """They have nothing of their own that could be cancelled."""
    go = asyncio.Event()

    async def waits(order: AttemptOrder) -> Any:
        await go.wait()
        return await adds(order)

    house.process = waits
    closure = cached(closures.fan_out(3), serialize=True)
    stage = house.stage
    async with house.worker():
        stage.store_closure(closure)
        given = closures.run_input(closure, f"aborted-{stage.name}"[:100])
        await stage.engine.start(given, closure)
        async with asyncio.timeout(20):
            while not house.ran:  # noqa: ASYNC110 - what the worker does is seen, not signalled
                await asyncio.sleep(0.02)
        await stage.engine.abort(given.request.id, "enough")
        state = await stage.engine.wait(given.request.id, 30)
    assert state is not None
    assert state.phase is ExecutionPhase.ABORTED
    assert len(house.ran) == 1
