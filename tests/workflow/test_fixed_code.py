"""`retry --with-code` on a real Temporal: with which code attempts run from then on; the activities are the tests' own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.spec.bindings import Constant
from flyte_temporal.spec.calls import AttemptRequest
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget
from flyte_temporal.spec.policies import CacheSettings
from flyte_temporal.spec.repairs import NodeRetry, NodeSkip, Pause
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.testing import closures
from flyte_temporal.testing.catalog import MemoryCatalog
from tests.workflow.caching import cached
from tests.workflow.conftest import Stage, arithmetic, user_error
from tests.workflow.test_failures import replayed
from tests.workflow.test_interpreter import failing, until
from tests.workflow.test_repairs import fails, fixed, signals, story
from tests.workflow.test_structures import dynamic, one


@pytest.mark.parametrize("only_these", [False, True])
async def test_fixed_code_is_for_what_starts_from_then_on(stage: Stage, only_these: bool) -> None:
    closure = closures.chain(4)
    async with story(stage, closure, fails("n1")) as told:
        await told.held("n1")
        with pytest.raises(InvalidInputs, match="n1 has another interface there"):
            await told.ask(NodeRetry(node="n1", fix=fixed(closures.STEP, closure, interface="0")))
        fix = fixed(closures.STEP, closure, name="fixed.step")
        await told.ask(NodeRetry(node="n1", fix=fix, only_these=only_these, by="ann"))
        await told.end()
    new = [r for r in told.seen.requests if r.task == "fixed.step"]
    assert {(r.spec, r.environment.interpreter) for r in new} == {("f" * 64, "fixed")}
    assert [r.attempt.node for r in new] == (["n1"] if only_these else ["n1", "n2", "n3"])
    assert (told.last("n1").repairs[0].spec, told.last("n1").repairs[0].note) == ("f" * 64, "fixed code")


async def test_what_was_looked_up_for_the_code_of_before_is_looked_up_anew(stage: Stage) -> None:
    """Else what the fixed code gives would be remembered as what the broken code gives."""
    whole = cached(closures.fan_out(4))
    main = whole.main().model_copy(update={"max_parallelism": 1})
    closure = whole.model_copy(update={"workflows": {main.name: main}})
    go = asyncio.Event()
    breaks = fails("n0")

    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.node == "n1":
            await go.wait()
        return await breaks(request)

    async with story(stage, closure, behave, limits=RunLimits(batches="on")) as told:
        await told.held("n0")
        await until(lambda: told.tries("n1") == 1)
        fix = fixed(closures.STEP, closure, cache=CacheSettings(enabled=True, version="2"))
        await told.ask(NodeRetry(node="n0", fix=fix))
        go.set()
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    last = {r.attempt.node: r.memo and r.memo.version for r in told.seen.requests}
    assert [last[f"n{i}"] for i in range(4)] == ["2", "1", "2", "2"]


async def test_what_came_back_unbegun_from_a_batch_is_not_remembered_as_the_code_of_before(
    stage: Stage,
) -> None:
    """It was looked up for that, and its attempt has a name already: it runs with the fixed code by no key at all."""
    closure = cached(closures.fan_out(4))
    go = asyncio.Event()
    breaks = fails("n0")

    async def behave(request: AttemptRequest) -> Any:
        await go.wait()
        return await breaks(request)

    async with story(stage, closure, behave, limits=RunLimits(batches="always")) as told:
        await until(lambda: bool(told.seen.requests))
        assert told.seen.requests[0].attempt.node == "n0"
        await told.ask(Pause(by="ann"))
        go.set()
        await told.held("n0")
        begun = len(told.seen.requests)
        fix = fixed(closures.STEP, closure, name="fixed.step", cache=CacheSettings(enabled=True, version="2"))
        await told.ask(NodeRetry(node="n0", fix=fix))
        await told.ask(Pause(ends=True))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    after = {r.attempt.node: r for r in told.seen.requests[begun:] if r.task == "fixed.step"}
    assert set(after) == {"n0", "n1"}
    assert {n: r.memo and r.memo.version for n, r in after.items()} == {"n0": "2", "n1": None}


@pytest.mark.parametrize(("how", "remembered"), [("retry", True), ("fixed", False), ("skip", False)])
async def test_a_dynamic_task_remembers_only_what_its_own_code_gave(
    stage: Stage, how: str, *, remembered: bool
) -> None:
    """What somebody typed for a node of its, or other code gave, would be a hit for every run with its inputs."""
    closure = cached(dynamic())
    async with story(stage, closure, fails("d.n1"), 2) as told:
        await told.held("d.n1")
        if how == "skip":
            await told.ask(NodeSkip(node="d.n1", outputs={"o0": Inline(value=999)}))
        else:
            fix = fixed(closures.STEP, closure) if how == "fixed" else None
            await told.ask(NodeRetry(node="d.n1", fix=fix))
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    assert isinstance(stage.catalog, MemoryCatalog)
    tasks = [entry.task for entry in stage.catalog._entries.values()]
    assert ("shapes.dynamic" in tasks) is remembered


async def test_what_a_fixed_dynamic_task_gives_runs_where_it_ran(stage: Stage) -> None:
    closure = dynamic()
    async with story(stage, closure, fails("d"), 2) as told:
        await told.held("d")
        await told.ask(NodeRetry(node="d", fix=fixed("shapes.dynamic", closure)))
        await told.end()
    where = {r.attempt.node: r.environment.interpreter for r in told.seen.requests}
    assert where == {"d": "fixed", "d.n0": "fixed", "d.n1": "fixed", "d.t": "fixed", "n1": ""}


async def test_fixed_code_reaches_the_shards_of_a_map(stage: Stage) -> None:
    """Those under way, and those to come."""
    array = Node(
        id="m",
        target=ArrayTarget(item=TaskTarget(task=closures.STEP), over=("x",), concurrency=1),
        inputs={"x": Constant(value=list(range(6)))},
    )
    closure = one("shapes.beside", [closures.step("n0", 1), array], closures.out("n0"))
    go = asyncio.Event()

    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.node == "n0" and request.task != "fixed.step":
            raise failing(user_error("n0 is broken"))
        while request.attempt.node == "m[0]" and not go.is_set():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
        return await arithmetic(request)

    limits = RunLimits(shard=2, nodes=6, batches="off")
    async with story(stage, closure, behave, limits=limits) as told:
        await told.held("n0")
        await until(lambda: told.tries("m[0]") == 1)
        await told.ask(NodeRetry(node="n0", fix=fixed(closures.STEP, closure, name="fixed.step")))
        await until(lambda: told.tries("n0") == 2)
        # It was sent before n0 was asked for, but nothing orders two workflows.
        shard = stage.client.get_workflow_handle(f"{told.id.name}.m.0")
        async with asyncio.timeout(30):
            while "fixed_with_parent" not in signals(await shard.fetch_history()):  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.02)
        go.set()
        assert (await told.end()).phase is ExecutionPhase.SUCCEEDED
    ran = {r.attempt.node: r.task for r in told.seen.requests if r.attempt.node.startswith("m")}
    assert ran == {"m[0]": closures.STEP} | {f"m[{i}]": "fixed.step" for i in range(1, 6)}
    await replayed(stage, shard.id)
