"""Order without values: what `>>`, `runs_before` and `create_node` write, alone and together; what overrides a node takes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from flyte_temporal import LaunchPlan, approve, create_node, map_task, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError
from flyte_temporal.spec.bindings import OutputRef
from flyte_temporal.spec.entities import WorkflowSpec
from flyte_temporal.spec.policies import RetryPolicy
from flyte_temporal.testing import task_mock


@task
def one(n: int = 1) -> int:
    return n


@task
def needing(n: int) -> int:
    return n


@task
def silent(n: int = 1) -> None: ...


@workflow
def inner(n: int = 1) -> int:
    return one(n=n)


@workflow
def empty_handed() -> None:
    silent()


plan = LaunchPlan.create("ordering.plan", inner)


def compiled(body: Any) -> WorkflowSpec:
    made = workflow(body)
    return compile_entity(made).workflows[made.name]


def after(spec: WorkflowSpec) -> dict[str, list[str]]:
    return {node.id: sorted(node.upstream()) for node in spec.nodes}


@pytest.mark.parametrize("first", [one, silent, inner, empty_handed, plan, map_task(needing)], ids=repr)
def test_any_node_may_come_before_any_other(first: Any) -> None:
    words: dict[str, Any] = {"n": [1, 2]} if "map_task" in repr(first) else {}

    def wf() -> None:
        a, b, c = create_node(first, **words), create_node(silent), create_node(first, **words)
        a >> b
        b.runs_before(c)

    assert after(compiled(wf)) == {"n0": [], "n1": ["n0"], "n2": ["n1"]}


def test_a_chain_goes_on_with_its_right_side() -> None:
    def wf() -> None:
        a, b, c, d = (create_node(silent) for _ in range(4))
        d >> c >> b
        d >> a

    assert after(compiled(wf)) == {"n0": ["n3"], "n1": ["n2"], "n2": ["n3"], "n3": []}


def test_said_twice_is_said_once_and_values_order_too() -> None:
    def wf() -> int:
        a: Any = one()
        b: Any = one(n=a)
        a >> b
        a.runs_before(b)
        return b  # type: ignore[no-any-return]

    (_, later) = compiled(wf).nodes
    assert later.upstream() == ("n0",)
    assert later.inputs["n"] == OutputRef(node="n0", name="o0")


def test_a_created_node_has_outputs_by_name_and_position() -> None:
    def wf() -> int:
        a = create_node(one)
        create_node(one, n=a.o0)
        create_node(one, n=a.outputs["o0"])
        create_node(one, n=a[0])
        return a.o0  # type: ignore[return-value]

    spec = compiled(wf)
    assert [node.inputs["n"] for node in spec.nodes[1:]] == [OutputRef(node="n0", name="o0")] * 3


def test_ids_that_were_chosen_are_those_of_the_ordering() -> None:
    def wf() -> None:
        a = create_node(silent).with_overrides(node_name="first")
        b = create_node(silent)
        b >> a
        b.with_overrides(node_name="zeroth")

    assert after(compiled(wf)) == {"first": ["zeroth"], "zeroth": []}


def test_a_node_cannot_wait_for_itself() -> None:
    def wf() -> None:
        a = create_node(silent)
        a >> a

    with pytest.raises(CompileError, match="wait for each other"):
        compiled(wf)


def test_the_items_of_a_map_take_overrides() -> None:
    def wf() -> list[int]:
        return map_task(one)(n=[1]).with_overrides(retries=2)  # type: ignore[no-any-return]

    (node,) = compiled(wf).nodes
    assert node.overrides is not None
    assert node.overrides.retries == RetryPolicy(count=2)


@task(environment={"COLOUR": "red"})
def colour(n: int) -> str:
    return os.environ["COLOUR"]


@workflow
def painted() -> tuple[str, str]:
    other: Any = colour(n=1)
    return other.with_overrides(environment={"COLOUR": "blue"}), colour(n=2)


def test_a_plain_run_obeys_them_at_their_node_and_a_mock_answers_there_too() -> None:
    assert painted() == ("blue", "red")
    with task_mock(colour) as mock:
        mock.side_effect = lambda n: f"mocked {n}"
        assert painted() == ("mocked 1", "mocked 2")
    assert colour.policy.env == {"COLOUR": "red"}


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: create_node(inner), "a sub-workflow"),
        (lambda: create_node(plan), "a launch plan"),
        (lambda: map_task(inner)(n=[1]), "no attempt itself"),
        (lambda: approve(one(), "fine"), "a gate"),
    ],
)
def test_what_makes_no_attempt_takes_no_options_of_tasks(made: Any, what: str) -> None:
    def wf() -> None:
        made().with_overrides(retries=1)

    with pytest.raises(CompileError, match=what):
        compiled(wf)
