from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.documents import new_execution_id
from flyte_temporal.control.plan import check_plan, merge_plan, planned_nodes
from flyte_temporal.control.requests import closure_bytes, complete_inputs, default_version
from flyte_temporal.errors import CompileError, InvalidInputs, LimitExceeded
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec, Reference, Root, TaskSpec, WorkflowSpec
from flyte_temporal.spec.execution import BundleRef, Environment, NodePhase, NodeRecord
from flyte_temporal.spec.identifiers import execution_id
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.literals import Inline, LiteralValue, Offloaded
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchBody,
    BranchCase,
    BranchTarget,
    Comparison,
    Node,
    Operand,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.types import BOOLEAN, FLOAT, INTEGER, STRING, ListType

LIMITS = LimitSettings()

INTERFACE = Interface(
    inputs=(
        Variable(name="n", type=INTEGER),
        Variable(name="rate", type=FLOAT, default=Default(value=0.5)),
        Variable(name="names", type=ListType(element=STRING), default=Default(value=[])),
    )
)


def closure(interface: Interface = INTERFACE) -> Closure:
    task = TaskSpec(name="m.t", interface=interface)
    return Closure(root=Root(kind="task", name="m.t"), tasks={"m.t": task})


def nested(inner: tuple[Node, ...] | None = None) -> Closure:
    inner = inner or (
        Node(id="n0", target=TaskTarget(task="m.t")),
        Node(id="n1", target=TaskTarget(task="m.t")),
    )
    outer = (
        Node(id="n0", name="first", target=TaskTarget(task="m.t")),
        Node(id="n1", target=WorkflowTarget(workflow="m.inner")),
        Node(id="n2", target=TaskTarget(task="m.t")),
    )
    return Closure(
        root=Root(kind="workflow", name="m.outer"),
        tasks={"m.t": TaskSpec(name="m.t")},
        workflows={
            "m.outer": WorkflowSpec(name="m.outer", nodes=outer),
            "m.inner": WorkflowSpec(name="m.inner", nodes=inner),
        },
    )


def test_left_out_inputs_come_from_the_defaults() -> None:
    done = complete_inputs(closure(), {"n": Inline(value=3)}, LIMITS)
    assert done == {"n": Inline(value=3), "rate": Inline(value=0.5), "names": Inline(value=[])}


def test_an_int_may_be_given_for_a_float() -> None:
    given: dict[str, LiteralValue] = {"n": Inline(value=3), "rate": Inline(value=1, type=INTEGER)}
    assert complete_inputs(closure(), given, LIMITS)["rate"] == Inline(value=1, type=INTEGER)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"Missing: n: int"),
        ({"n": Inline(value=1), "m": Inline(value=2)}, r"no input 'm'.*n, rate, names"),
        ({"n": Inline(value="three")}, r"'n'"),
        ({"n": Inline(value=1.5, type=FLOAT)}, r"'n' must be int.*float"),
        ({"n": Inline(value=1), "names": Inline(value=["a", 7])}, r"'names'"),
        ({"n": Offloaded(key="k", sha256="0" * 64, size=1, type=STRING)}, r"'n' must be int"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputs, match=said):
        complete_inputs(closure(), given, LIMITS)


def test_inputs_too_large_for_a_message_are_refused_with_size_and_limit() -> None:
    given: dict[str, LiteralValue] = {"n": Inline(value=1), "names": Inline(value=["x" * 2000])}
    with pytest.raises(LimitExceeded, match=r"'names': 2,\d\d\d.*1,500"):
        complete_inputs(closure(), given, LimitSettings(max_inputs_bytes=1500))


def test_a_spec_too_large_is_refused_with_size_and_limit() -> None:
    large = closure(Interface(inputs=(Variable(name="n", type=INTEGER, description="x" * 5000),)))
    with pytest.raises(LimitExceeded, match=r"m\.t has 5,\d\d\d bytes; at most 1,024"):
        closure_bytes(large, LimitSettings(max_spec_bytes=1024))


def test_fixed_inputs_of_a_launch_plan_cannot_be_given() -> None:
    plan = LaunchPlanSpec(
        name="m.plan", workflow="m.wf", interface=INTERFACE, fixed_inputs={"n": Inline(value=7)}
    )
    made = Closure(
        root=Root(kind="launch_plan", name="m.plan"),
        workflows={"m.wf": WorkflowSpec(name="m.wf", interface=INTERFACE)},
        launch_plans={"m.plan": plan},
    )
    assert complete_inputs(made, {}, LIMITS)["n"] == Inline(value=7)
    with pytest.raises(InvalidInputs, match="fixed"):
        complete_inputs(made, {"n": Inline(value=1)}, LIMITS)


def test_the_default_version_follows_spec_and_code() -> None:
    bundle = BundleRef(sha256="a" * 64, key="k", size=1)
    plain = default_version(closure(), Environment())
    assert plain == default_version(closure(), Environment(launcher="process"))
    assert plain != default_version(nested(), Environment())
    assert plain != default_version(closure(), Environment(bundle=bundle))


def test_made_up_ids_are_valid_and_differ() -> None:
    made = {new_execution_id("pkg.module._train_") for _ in range(50)}
    assert len(made) == 50
    assert all(execution_id(i).startswith("train-") for i in made)


def test_the_plan_shows_nested_nodes_behind_their_own() -> None:
    plan = planned_nodes(nested())
    assert [n.id for n in plan] == ["n0", "n1", "n1.n0", "n1.n1", "n2"]
    assert [n.kind for n in plan] == ["task", "workflow", "task", "task", "task"]
    assert {n.phase for n in plan} == {NodePhase.QUEUED}
    assert plan[0].name == "first"
    assert [n.id for n in planned_nodes(closure())] == ["n0"]


def test_records_fill_the_plan_and_the_rest_is_skipped_in_the_end() -> None:
    def record(id_: str, phase: NodePhase, order: int) -> NodeRecord:
        return NodeRecord(id=id_, name=id_, kind="task", phase=phase, attempts=1, order=order)

    recorded = [
        record("n0", NodePhase.SUCCEEDED, 0),
        record("n2", NodePhase.FAILED, 2),
        record("n0.d1", NodePhase.SUCCEEDED, 3),
        record("n0.d0", NodePhase.SUCCEEDED, 4),
    ]
    now = merge_plan(planned_nodes(nested()), recorded, over=False)
    assert [n.id for n in now] == ["n0", "n0.d1", "n0.d0", "n1", "n1.n0", "n1.n1", "n2"]
    assert [n.order for n in now] == list(range(7))
    assert now[3].phase is NodePhase.QUEUED
    after = merge_plan(planned_nodes(nested()), recorded, over=True)
    assert after[4].phase is NodePhase.SKIPPED
    assert after[6].phase is NodePhase.FAILED


def test_a_reference_is_refused_until_something_resolves_it() -> None:
    far = Node(id="n0", name="far", target=TaskTarget(task="m.far"))
    made = nested((far,))
    reference = Reference(kind="task", project="p", domain="d", name="m.far", version="v1")
    with pytest.raises(CompileError, match=r"far of m\.inner runs a task .*\(p/d/m\.far, version v1\)"):
        check_plan(made.model_copy(update={"references": {"m.far": reference}}), 100)


def test_nodes_of_branches_and_items_of_maps_are_counted_and_planned() -> None:
    ok = Operand(constant=True, type=BOOLEAN)
    task = TaskTarget(task="m.t")
    bodies = [BranchBody(nodes=(Node(id=i, target=task),)) for i in ("n1", "n3")]
    branch = BranchTarget(
        cases=(BranchCase(when=Comparison(op="==", left=ok, right=ok), body=bodies[0]),),
        otherwise=bodies[1],
    )
    many = ArrayTarget(item=task, over=("x",))
    made = nested((Node(id="n0", target=branch), Node(id="n2", target=many)))
    assert [n.id for n in planned_nodes(made) if n.id.startswith("n1.")] == [
        "n1.n0",
        "n1.n0.n1",
        "n1.n0.n3",
        "n1.n2",
    ]
    check_plan(made, 8)
    with pytest.raises(LimitExceeded):
        check_plan(made, 7)


def test_a_workflow_that_contains_itself_is_refused() -> None:
    again = Node(id="n0", target=WorkflowTarget(workflow="m.outer"))
    with pytest.raises(CompileError, match=r"m\.outer -> m\.inner -> m\.outer"):
        check_plan(nested((again,)), 100)


def test_a_closure_with_holes_is_refused() -> None:
    missing = Node(id="n0", target=TaskTarget(task="m.other"))
    with pytest.raises(CompileError, match="lacks"):
        check_plan(nested((missing,)), 100)
    with pytest.raises(CompileError, match=r"m\.gone"):
        check_plan(Closure(root=Root(kind="workflow", name="m.gone")), 100)


def test_nodes_are_counted_without_unrolling() -> None:
    check_plan(nested(), 5)
    with pytest.raises(LimitExceeded, match=r"5 nodes; at most 4"):
        check_plan(nested(), 4)
    # 2^40 nodes when unrolled: must be refused at once, not counted one by one.
    workflows = {
        f"m.w{i}": WorkflowSpec(
            name=f"m.w{i}",
            nodes=tuple(Node(id=f"n{k}", target=WorkflowTarget(workflow=f"m.w{i + 1}")) for k in (0, 1)),
        )
        for i in range(40)
    }
    workflows["m.w40"] = WorkflowSpec(name="m.w40")
    with pytest.raises(LimitExceeded, match="nodes"):
        check_plan(Closure(root=Root(kind="workflow", name="m.w0"), workflows=workflows), 10_000)
