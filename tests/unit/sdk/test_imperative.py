"""Workflows made by calls are the ones that a function would make."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from flyte_temporal import (
    FlyteError,
    ImperativeWorkflow,
    LaunchPlan,
    Workflow,
    WorkflowFailurePolicy,
    conditional,
    task,
    workflow,
)
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, UnsupportedType
from flyte_temporal.spec.document import digest


class Both(NamedTuple):
    total: int
    all: list[int]


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def clean(a: int, err: FlyteError | None = None) -> None: ...


@workflow
def inner(a: int) -> int:
    return add(a=a)


plan = LaunchPlan.create("imperative.plan", inner, fixed_inputs={"a": 5})


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, on_failure=clean)
def decorated(a: int, b: int = 3) -> Both:
    """Adds."""
    first = add(a=a, b=b)
    second = inner(a=first)
    third = plan()
    last = add(a=third)
    second >> last
    return Both(last, [first, second])


def made(name: str) -> ImperativeWorkflow:
    built = ImperativeWorkflow(
        name, failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, docs="Adds."
    )
    a = built.add_workflow_input("a", int)
    b = built.add_workflow_input("b", int, default=3)
    first = built.add_task(add, a=a, b=b)
    second = built.add_subwf(inner, a=first.outputs["o0"])
    third = built.add_launch_plan(plan)
    last = built.add_entity(add, a=third.o0)
    second >> last
    built.add_on_failure_handler(clean)
    built.add_workflow_output("total", last.o0)
    built.add_workflow_output("all", [first.o0, second.o0], python_type=list[int])
    return built


def test_it_compiles_to_the_same_closure_as_the_decorated_form() -> None:
    built = made(decorated.name)
    assert digest(compile_entity(built)) == digest(compile_entity(decorated))
    assert digest(compile_entity(built)) == digest(compile_entity(decorated)), "compiling changes nothing"


def test_it_runs_plainly_and_as_a_part_of_another_workflow() -> None:
    built = made("by.calls")
    assert tuple(built(a=1)) == tuple(decorated(a=1)) == (7, [4, 5])
    assert built(a=1).total == 7

    @workflow
    def outer(a: int) -> int:
        return add(a=built(a=a).total)

    assert outer(a=1) == 8
    assert set(compile_entity(outer).workflows) == {outer.name, "by.calls", inner.name}


def test_workflow_is_its_other_name() -> None:
    assert Workflow is ImperativeWorkflow
    assert not Workflow("empty").ready()


def test_node_names_are_kept_however_often_it_is_compiled() -> None:
    built = ImperativeWorkflow("named")
    node = built.add_entity(add, a=1).with_overrides(node_name="first")
    built.add_workflow_output("o0", node)
    once = compile_entity(built)
    built.add_entity(add, a=node.o0)
    twice = compile_entity(built)
    assert [n.id for n in once.workflows["named"].nodes] == ["first"]
    assert [n.id for n in twice.workflows["named"].nodes] == ["first", "n1"]
    assert built() == 2


def test_a_conditional_of_it_takes_its_nodes() -> None:
    built = ImperativeWorkflow("branching.wf")
    a = built.add_workflow_input("a", int)
    chosen = (
        built.create_conditional("big")
        .if_(a > 5)
        .then(built.add_entity(add, a=a, b=100).o0)
        .else_()
        .then(built.add_entity(add, a=a).o0)
    )
    built.add_workflow_output("o0", chosen, python_type=int)
    assert (built(a=6), built(a=1)) == (106, 2)

    @workflow
    def wf(a: int) -> int:
        return conditional("big").if_(a > 5).then(add(a=a, b=100)).else_().then(add(a=a))  # type: ignore[no-any-return]

    same = compile_entity(wf).workflows[wf.name]
    assert compile_entity(built).workflows["branching.wf"].nodes == same.nodes


def test_mistakes_are_refused_where_they_are_made() -> None:
    built = ImperativeWorkflow("wrong")
    a = built.add_workflow_input("a", int)
    with pytest.raises(CompileError, match="has an input 'a' already"):
        built.add_workflow_input("a", str)
    with pytest.raises(CompileError, match="cannot be the name of an input"):
        built.add_workflow_input("class", str)
    with pytest.raises(CompileError, match="The default of input 'b' of wrong cannot be used"):
        built.add_workflow_input("b", int, default="x")
    with pytest.raises(UnsupportedType, match="Input 'c' of wrong"):
        built.add_workflow_input("c", range(3))
    with pytest.raises(CompileError, match="has no node"):
        compile_entity(built)
    with pytest.raises(CompileError, match="is no task, workflow or launch plan"):
        built.add_entity(len)
    with pytest.raises(CompileError, match="without its input a"):
        built.add_entity(add)
    with pytest.raises(CompileError, match=r"Add python_type="):
        built.add_workflow_output("o", [a])
    with pytest.raises(CompileError, match="does not fit output 'o' of the workflow wrong"):
        built.add_workflow_output("o", a, python_type=list[str])
    with pytest.raises(CompileError, match="belongs to another workflow"):
        ImperativeWorkflow("other").add_entity(add, a=a)
    with pytest.raises(CompileError, match="has no option 'retries'"):
        ImperativeWorkflow("other", retries=1)  # type: ignore[call-arg]
    with pytest.raises(CompileError, match="not a valid entity name"):
        ImperativeWorkflow("two words")
