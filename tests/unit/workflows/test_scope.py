"""What is said when a value has nothing at the end of an attribute path: both ends of the edge."""

from __future__ import annotations

import pytest

from flyte_temporal import task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.workflows.body import Body, workflow_body
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import NodeState


@task
def numbers() -> list[int]:
    return [1, 2]


@task
def total(of: list[int]) -> int:
    return sum(of)


@workflow
def far(given: dict[str, list[int]]) -> tuple[int, int]:
    first = numbers()
    return first[7], total(of=[first[0], given["a"][5]])


@pytest.fixture
def scope() -> Body:
    program = Program(compile_entity(far), "0" * 64)
    inputs: dict[str, LiteralValue] = {"given": Inline(value={"a": [1]})}
    made = workflow_body(program, program.main, inputs, None)
    made.states += [NodeState(made, p.node, p.path, order) for order, p in enumerate(made.places())]
    made.first()
    made.after(made.states[0], {"o0": Inline(value=[1, 2])})
    made.after(made.states[1], {"o0": Inline(value=3)})
    return made


def test_an_output_names_itself_and_its_source(scope: Body) -> None:
    with pytest.raises(MissingAttribute) as caught:
        scope.results()
    assert caught.value.message == (
        f"Output 'o0' of the workflow {__name__}.far, from n0.o0: The value has nothing at [7]: it has 2 elements."
    )


def test_an_input_names_its_node_and_the_source_inside_of_a_list(scope: Body) -> None:
    with pytest.raises(MissingAttribute) as caught:
        scope.inputs_of(scope.states[1])
    assert caught.value.message == (
        "Input 'of' of node n1, from input 'given': The value has nothing at ['a'][5]: it has 1 elements."
    )
