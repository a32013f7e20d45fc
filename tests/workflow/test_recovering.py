"""Recovering executions in a real Temporal: what is copied, what is run, for each kind of node; and that it was foretold."""

from __future__ import annotations

import asyncio
from typing import Any

from flyte_temporal.spec import keys
from flyte_temporal.spec.bindings import InputRef, ListOf, OutputRef
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult, GateAnswer
from flyte_temporal.spec.document import digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionPhase, GateReply
from flyte_temporal.spec.literals import Inline, Offloaded
from flyte_temporal.spec.nodes import GateTarget, Node, TaskTarget
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures
from tests.workflow.conftest import Behaviour, Stage, arithmetic, plain, user_error
from tests.workflow.recovering import Kept, recover, run
from tests.workflow.test_interpreter import failing
from tests.workflow.test_structures import BRANCHED, body, branch, emitted, handled, mapped, one, planned

LAST = "shapes.last"
"""A task of its own for the node that fails, so that its code changes alone."""


def fails_at(*nodes: str, inner: Behaviour = arithmetic) -> Behaviour:
    async def behave(request: AttemptRequest) -> Any:
        if request.attempt.node in nodes:
            raise failing(user_error(recoverable=False))
        return await inner(request)

    return behave


def pipeline(code: str = "old", first: str = "old") -> Closure:
    """Return a → b → last, and c beside them; a and c are of the task STEP."""
    nodes = [
        closures.step("a", InputRef(name="x")),
        closures.step("c", 5),
        closures.step("b", closures.out("a"), name="shapes.middle"),
        closures.step("last", closures.out("b"), name=LAST),
    ]
    main = closures.workflow("shapes.pipeline", nodes, closures.out("last"))
    step = closures.task(closures.STEP, "x").model_copy(update={"code": first})
    middle = closures.task("shapes.middle", "x").model_copy(update={"code": "middle"})
    last = closures.task(LAST, "x").model_copy(update={"code": code})
    return closures.closure(main, step, middle, last)


async def test_what_has_ended_well_is_copied_and_the_rest_is_run(stage: Stage) -> None:
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, pipeline(code="fixed"))
    assert after.state.outputs == {"o0": Inline(value=3)}
    assert after.seen.ran == ["last"]
    assert after.phases() == {"a": "RECOVERED", "b": "RECOVERED", "c": "RECOVERED", "last": "SUCCEEDED"}
    copied = after.nodes["a"]
    assert copied.source is not None
    assert (copied.source.execution, copied.source.node) == (before.request.id.name, "a")
    assert copied.attempt_key == before.nodes["a"].attempt_key
    assert after.nodes["last"].anew == after.reason("last") == "it failed before"


async def test_the_same_code_and_a_success_are_copied_as_a_whole(stage: Stage) -> None:
    before = await run(stage, pipeline())
    after = await recover(before)
    assert after.seen.ran == []
    assert after.state.outputs == before.state.outputs


async def test_changed_code_runs_and_what_gets_the_same_from_it_is_copied(stage: Stage) -> None:
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, pipeline(first="changed"))
    assert after.seen.ran == ["a", "c", "last"]
    assert after.reason("a") == "the code of shapes.step has changed"
    assert after.reason("b") == "it depends on a"
    assert after.phases()["b"] == "RECOVERED"


async def test_changed_code_is_copied_where_that_is_trusted(stage: Stage) -> None:
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, pipeline(first="changed"), trust_code=True)
    assert after.seen.ran == ["last"]


async def test_a_cache_version_stands_for_the_code(stage: Stage) -> None:
    def versioned(code: str) -> Closure:
        made = pipeline(first=code)
        task = made.tasks[closures.STEP]
        cache = task.policy.cache.model_copy(update={"version": "1"})
        policy = task.policy.model_copy(update={"cache": cache})
        return made.model_copy(
            update={"tasks": {**made.tasks, task.name: task.model_copy(update={"policy": policy})}}
        )

    before = await run(stage, versioned("old"), fails_at("last"))
    after = await recover(before, versioned("changed"))
    assert after.seen.ran == ["last"]


async def test_a_changed_input_runs_what_it_reaches(stage: Stage) -> None:
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, x=10)
    assert after.state.outputs == {"o0": Inline(value=13)}
    assert after.seen.ran == ["a", "b", "last"]
    assert after.reason("a") == "the value of x has changed"
    assert after.nodes["b"].anew == "the value of x has changed"


async def test_a_node_is_run_by_wish_with_all_that_comes_after_it(stage: Stage) -> None:
    before = await run(stage, pipeline())
    after = await recover(before, rerun=("b",))
    assert after.seen.ran == ["b", "last"]
    assert after.reason("last") == after.nodes["last"].anew == "it was asked for"


async def test_a_map_in_shards_after_a_node_run_by_wish_is_run_again(stage: Stage) -> None:
    array = mapped([1, 2, 3]).workflows["shapes.mapped"].nodes[0].model_copy(update={"after": ("a",)})
    closure = one(
        "shapes.after", [closures.step("a", InputRef(name="x")), array], OutputRef(node="m", name="o0")
    )
    before = await run(stage, closure, limits=RunLimits(shard=2))
    copied = await recover(before)
    assert copied.seen.ran == []
    after = await recover(before, name="third", rerun=("a",))
    assert after.seen.ran == ["a", "m[0]", "m[1]", "m[2]"]
    assert after.nodes["m[2]"].anew == "it was asked for"


async def test_only_the_items_of_a_map_that_have_not_ended_well_are_run(stage: Stage) -> None:
    before = await run(stage, mapped([1, 2, 3], concurrency=1), fails_at("m[1]"))
    after = await recover(before)
    assert plain(after.state.outputs["o0"]) == [2, 3, 4]
    assert after.seen.ran == ["m[1]", "m[2]"]
    whole = await recover(after, name="third")
    assert whole.seen.ran == []
    assert whole.phases()["m"] == "RECOVERED"
    wished = await recover(whole, name="fourth", rerun=("m[2]",))
    assert wished.seen.ran == ["m[2]"]


def dynamic(code: str = "old") -> Closure:
    task = closures.task("shapes.dynamic", "x").model_copy(update={"type": "dynamic", "code": code})
    node = Node(id="d", target=TaskTarget(task=task.name), inputs={"x": InputRef(name="x")})
    end = closures.step("n1", closures.out("d"))
    return closures.closure(closures.workflow("shapes.uses_dynamic", [node, end], closures.out("n1")), task)


async def emits(request: AttemptRequest) -> Any:
    if request.task != "shapes.dynamic":
        return await arithmetic(request)
    given = emitted(plain(request.inputs["x"]))
    return AttemptResult(spec=digest(given), closure=given)


async def test_a_dynamic_task_gives_no_second_graph_and_its_nodes_are_copied(stage: Stage) -> None:
    before = await run(stage, dynamic(), fails_at("d.t", inner=emits), x=2)
    after = await recover(before, behaviour=emits)
    assert after.state.outputs == {"o0": Inline(value=4)}
    assert after.seen.ran == ["d.t", "n1"]
    assert (after.phases()["d"], after.phases()["d.n0"]) == ("SUCCEEDED", "RECOVERED")
    whole = await recover(after, name="third", behaviour=emits)
    assert whole.seen.ran == []
    assert (whole.phases()["d"], whole.nodes["d"].kind) == ("RECOVERED", "dynamic")


async def test_a_dynamic_task_of_changed_code_gives_a_new_graph_whose_nodes_are_copied(stage: Stage) -> None:
    before = await run(stage, dynamic(), fails_at("d.t", inner=emits), x=2)
    after = await recover(before, dynamic("changed"), emits)
    assert after.seen.ran == ["d", "d.t", "n1"]
    assert after.phases()["d.n0"] == "RECOVERED"


async def test_nodes_of_sub_workflows_and_branches_are_copied(stage: Stage) -> None:
    inner = closures.workflow(
        "shapes.inner",
        [closures.step("n0", InputRef(name="x")), closures.step("n1", closures.out("n0"))],
        closures.out("n1"),
    )
    nodes = [
        closures.sub_workflow("s", "shapes.inner", InputRef(name="x")),
        branch((1, body(closures.step("n2", closures.out("s")), closures.step("n3", closures.out("n2"))))),
    ]
    made = closures.closure(closures.workflow("shapes.outer", nodes, OutputRef(node="b", name="o0")), inner)
    before = await run(stage, made, fails_at("b.n3"), x=1)
    after = await recover(before)
    assert after.seen.ran == ["b.n3"]
    assert (after.phases()["s"], after.phases()["b"]) == ("RECOVERED", "SUCCEEDED")
    assert after.nodes["s"].source is not None
    wished = await recover(after, name="third", rerun=("s.n1",))
    assert wished.seen.ran == ["b.n2", "b.n3", "s.n1"]


async def test_a_branch_is_decided_again(stage: Stage) -> None:
    before = await run(stage, BRANCHED, fails_at("b.n2"), x=1)
    after = await recover(before, x=3)
    assert plain(after.state.outputs["o0"]) == 3
    assert after.seen.ran == []
    assert after.phases()["b.n1"] == "SKIPPED"


async def test_a_child_that_succeeded_is_not_started_again(stage: Stage) -> None:
    before = await run(stage, planned(), fails_at("n1"))
    after = await recover(before)
    assert after.seen.ran == ["n1"]
    node = after.nodes["lp"]
    assert (node.phase.value, node.child) == ("RECOVERED", f"{before.request.id.name}.lp")
    assert node.source is not None
    assert node.source.execution == before.request.id.name
    assert (
        stage.store.execution(before.request.id.model_copy(update={"name": f"{after.request.id.name}.lp"}))
        is None
    )
    third = await recover(after, name="third")
    assert third.nodes["lp"].child == node.child


async def test_a_child_that_failed_is_recovered_itself(stage: Stage) -> None:
    made = planned()
    child = made.workflows["shapes.child"]
    more = closures.step("n9", closures.out("n0"))
    child = child.model_copy(update={"nodes": (*child.nodes, more)})
    made = made.model_copy(update={"workflows": {**made.workflows, child.name: child}})
    before = await run(stage, made, fails_at("n9"))
    assert before.state.phase is ExecutionPhase.FAILED
    after = await recover(before)
    assert after.state.phase is ExecutionPhase.SUCCEEDED
    assert after.seen.ran == ["n1", "n9"]
    started = stage.store.execution(
        after.request.id.model_copy(update={"name": f"{after.request.id.name}.lp"})
    )
    assert started is not None
    assert started.recovered_from == f"{before.request.id.name}.lp"


def asking(code: str = "old", first: str = "old") -> Closure:
    nodes = [
        closures.step("a", InputRef(name="x")),
        Node(
            id="g",
            target=GateTarget(gate="approve", name="ok", type=INTEGER),
            inputs={"value": closures.out("a")},
        ),
        closures.step("first", 0, name="shapes.middle"),
        closures.step("then", closures.out("first"), name=LAST),
        Node(id="h", target=GateTarget(gate="input", name="more", type=INTEGER), after=("g", "then")),
        Node(
            id="last",
            target=TaskTarget(task=closures.TOTAL),
            inputs={"values": ListOf(items=(closures.out("g"), closures.out("h")))},
        ),
    ]
    step = closures.task(closures.STEP, "x").model_copy(update={"code": code})
    middle = closures.task("shapes.middle", "x").model_copy(update={"code": first})
    main = closures.workflow("shapes.asking", nodes, closures.out("last"))
    return closures.closure(main, step, middle, closures.task(LAST, "x"))


def says(gate: str, **reply: Any) -> GateAnswer:
    return GateAnswer(gate=gate, reply=GateReply(by="ann", **reply))


ANSWERS = (says("ok", approved=True), says("more", value=40))


async def test_answers_are_not_asked_for_twice(stage: Stage) -> None:
    before = await run(stage, asking(), fails_at("last"), answers=ANSWERS)
    after = await recover(before)
    assert after.state.outputs == {"o0": Inline(value=41)}
    assert (after.phases()["g"], after.phases()["h"]) == ("RECOVERED", "RECOVERED")
    reply = after.nodes["h"].reply
    assert reply is not None
    assert (reply.by, reply.value) == ("ann", 40)


async def test_an_answer_is_asked_for_again_where_what_it_was_about_has_been_run_anew(stage: Stage) -> None:
    before = await run(stage, asking(), fails_at("last"), answers=ANSWERS)
    answers = (says("ok", approved=True), says("more", value=1))
    after = await recover(before, asking("changed"), answers=answers, late=True)
    assert after.state.outputs == {"o0": Inline(value=2)}
    assert after.nodes["g"].anew == "a, which it comes after, was run anew"
    assert after.nodes["h"].anew == "g, which it comes after, was run anew"


async def test_an_answer_given_now_wins(stage: Stage) -> None:
    before = await run(stage, asking(), fails_at("last"), answers=ANSWERS)

    async def after_the_answer(request: AttemptRequest) -> Any:
        while True:
            if any(gate.reply for gate in await stage.engine.gates(request.attempt.execution)):
                return await arithmetic(request)
            await asyncio.sleep(0.02)

    # The first node runs again, so that the gate is not reached before it is answered; it gives the same as before.
    closure, answers = asking(first="changed"), (says("more", value=7),)
    after = await recover(before, closure, after_the_answer, answers=answers)
    assert after.state.outputs == {"o0": Inline(value=8)}
    assert (after.phases()["then"], after.phases()["h"]) == ("RECOVERED", "SUCCEEDED")


async def test_failure_handlers_act_on_the_failure_of_this_run(stage: Stage) -> None:
    async def cleans_up(request: AttemptRequest) -> int:
        return 0 if request.task == "shapes.handler" else await arithmetic(request)

    fails = fails_at("bad", "also_bad", inner=cleans_up)
    before = await run(stage, handled(), fails)
    after = await recover(before, behaviour=fails)
    assert "efn" in before.seen.ran
    assert "efn" in after.seen.ran


async def test_what_is_gone_or_was_not_noted_is_run(stage: Stage) -> None:
    async def large(request: AttemptRequest) -> Any:
        if request.attempt.node != "c":
            return await arithmetic(request)
        stage.blobs.put("values/c", b"7")
        gone = Offloaded(key="values/c", sha256="0" * 64, size=1)
        return AttemptResult(outputs={"o0": gone})

    before = await run(stage, pipeline(), fails_at("last", inner=large))
    stage.blobs.delete("values/c")
    after = await recover(before)
    assert after.seen.ran == ["c", "last"]
    assert after.reason("c") == "its result is gone: values/c"

    kept = Kept(stage=stage, inner=fails_at("last"), old_release=True)
    older = await run(stage, pipeline(), name="older", kept=kept)
    again = await recover(older, name="again")
    assert again.seen.ran == ["a", "b", "c", "last"]
    assert "earlier release" in again.reason("a")


async def test_recoveries_follow_each_other_and_nothing_is_lost_on_the_way(stage: Stage) -> None:
    first = await run(stage, pipeline(), fails_at("last"))
    # Fails before it comes to b, which the first one has.
    second = await recover(first, pipeline(first="changed"), fails_at("a"))
    assert second.phases()["b"] == "SKIPPED"
    third = await recover(second, pipeline(), name="third")
    assert {"b", "c"} & set(third.seen.ran) <= {"c"}
    source = third.nodes["b"].source
    assert source is not None
    assert source.execution == first.request.id.name


async def test_code_that_moved_to_another_file_is_known_again(stage: Stage) -> None:
    def moved(closure: Closure) -> Closure:
        return Closure.model_validate_json(closure.model_dump_json().replace("shapes.", "fixed."))

    first = await run(stage, pipeline(), fails_at("last"))
    second = await recover(first, moved(pipeline(code="fixed")), fails_at("last"))
    assert second.seen.ran == ["last"]
    assert second.request.recover is not None
    assert second.request.recover.module == ("shapes", "fixed")
    third = await recover(second, moved(pipeline(code="fixed2")), name="third")
    assert third.seen.ran == ["last"]


async def test_a_failed_task_gets_its_checkpoints_and_one_with_other_inputs_does_not(stage: Stage) -> None:
    before = await run(stage, pipeline(), fails_at("last"))
    after = await recover(before, pipeline(code="fixed"), fails_at("last"))
    [attempt] = after.seen.requests
    mine, first = (keys.checkpoints(e.request.id, "last") for e in (after, before))
    assert attempt.checkpoint_from == (first,)
    third = await recover(after, name="third")
    assert third.seen.requests[0].checkpoint_from == (mine, first)
    other = await recover(before, name="other", x=10)
    assert [r.checkpoint_from for r in other.seen.requests if r.attempt.node == "last"] == [()]
