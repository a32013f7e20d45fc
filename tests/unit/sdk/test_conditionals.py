"""Conditions and conditionals: the same answers as Python's, whatever the types, and the spec that they are written as."""

# A type checker sees the types of values where a body has promises.
# mypy: disable-error-code="no-any-return,operator,union-attr,unused-ignore"

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flyte_temporal import conditional, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import BranchFailed, CompileError
from flyte_temporal.sdk.workflows import PythonFunctionWorkflow as Workflow
from flyte_temporal.spec.bindings import Constant, InputRef, OutputRef
from flyte_temporal.spec.conditions import NotComparable
from flyte_temporal.spec.nodes import BranchTarget, Logical, Node
from flyte_temporal.spec.types import FLOAT, INTEGER, optional

RAN: list[str] = []


class Level(Enum):
    LOW = 1
    HIGH = 2


@task
def one(n: int = 1) -> int:
    RAN.append("one")
    return n


@task
def half(n: int) -> float:
    RAN.append("half")
    return n / 2


@task
def void() -> None:
    RAN.append("void")


def comparing(left: Any, right: Any, compare: Callable[[Any, Any], Any]) -> Workflow[..., str]:
    """Return a workflow that compares two inputs of the types of two values."""

    def wf(a, b):  # type: ignore[no-untyped-def]
        return conditional("c").if_(compare(a, b)).then("yes").else_().then("no")

    wf.__annotations__ = {"a": type(left), "b": type(right), "return": str}
    return workflow(wf)


UTC_2 = timezone(timedelta(hours=2))
PAIRS = [
    (1, 2),
    (2, 2),
    (2**70, 2**70 + 1),
    (1, 1.5),
    (Decimal("1.10"), Decimal("1.1")),
    (Decimal("0.5"), 0.5),
    (float("inf"), 1),
    (float("nan"), float("nan")),
    ("a", "b"),
    ("ä", "z"),
    (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 14, tzinfo=UTC_2)),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    (date(2026, 1, 1), date(2025, 1, 1)),
    (time(12), time(12, 0, 1)),
    (timedelta(seconds=1), timedelta(milliseconds=1001)),
    (timedelta(seconds=-1), timedelta(0)),
]
UNORDERED = [
    (True, False),
    (UUID(int=1), UUID(int=1)),
    (Path("/a"), Path("/a")),
    (Level.LOW, Level.HIGH),
]
OPERATORS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compare", OPERATORS)
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_operators_mean_what_they_mean_in_python(left: Any, right: Any, compare: Any) -> None:
    expected = "yes" if compare(left, right) else "no"
    assert comparing(left, right, compare)(a=left, b=right) == expected
    against_constant = comparing(left, right, lambda a, _: compare(a, right))
    assert against_constant(a=left, b=right) == expected


@pytest.mark.parametrize("compare", OPERATORS[:2])
@pytest.mark.parametrize(("left", "right"), UNORDERED)
def test_values_without_an_order_are_equal_or_not(left: Any, right: Any, compare: Any) -> None:
    assert comparing(left, right, compare)(a=left, b=right) == ("yes" if compare(left, right) else "no")


def test_a_constant_may_stand_on_the_left() -> None:
    assert comparing(1, 1, lambda a, _: a < 3)(a=2, b=0) == "yes"
    assert comparing(1, 1, lambda a, _: a == 3)(a=2, b=0) == "no"


@workflow
def optional_operand(n: int | None) -> str:
    return conditional("c").if_(n.is_none()).then("none").elif_(n > 3).then("large").else_().then("small")  # type: ignore[operator,union-attr]


@workflow
def unguarded(n: int | None) -> str:
    return conditional("c").if_(n > 3).then("large").else_().then("small")  # type: ignore[operator]


def test_none_is_asked_for_before_an_order() -> None:
    assert [optional_operand(n=n) for n in (None, 4, 3)] == ["none", "large", "small"]
    with pytest.raises(NotComparable, match="None has no order"):
        unguarded(n=None)


@workflow
def lazily(n: int) -> float:
    return (
        conditional("c").if_(n > 10).then(half(n=one(n=n))).elif_(n > 5).fail("five to ten").else_().then(n)
    )


def test_only_the_nodes_of_the_case_that_is_taken_run() -> None:
    RAN.clear()
    assert lazily(n=1) == 1.0
    assert RAN == []
    assert lazily(n=12) == 6.0
    assert RAN == ["one", "half"]
    with pytest.raises(BranchFailed, match=r"^five to ten$"):
        lazily(n=7)


def branch_of(entity: Any, node: int = 0) -> tuple[Node, BranchTarget]:
    found = compile_entity(entity).main().nodes[node]
    assert isinstance(found.target, BranchTarget)
    return found, found.target


def test_the_spec_holds_operands_bodies_and_outputs() -> None:
    node, target = branch_of(lazily)
    assert node.inputs == {"c0": InputRef(name="n")}
    assert (node.id, node.name) == ("n0", "c")
    assert [case.fail for case in target.cases] == [None, "five to ten"]
    body, otherwise = target.bodies()
    assert [inner.id for inner in body.nodes] == ["n1", "n2"]
    assert body.outputs[0].binding == OutputRef(node="n2", name="o0")
    assert otherwise.nodes == ()
    assert otherwise.outputs[0].binding == InputRef(name="n", type=INTEGER)
    assert target.outputs[0].type == FLOAT


@workflow
def widened(n: int) -> float | None:
    first = one(n=n)
    return (
        conditional("c")
        .if_(first > 1)
        .then(None)
        .elif_((first > 0) & (first < 1))
        .then(3)
        .else_()
        .then(half(n=n))
    )


def test_cases_give_the_type_that_has_the_values_of_all() -> None:
    _, target = branch_of(widened, 1)
    assert target.outputs[0].type == optional(FLOAT)
    outputs = [body.outputs[0].binding for body in target.bodies()]
    assert outputs[:2] == [Constant(value=None), Constant(value=3)]
    assert outputs[2] == OutputRef(node="n2", name="o0", type=FLOAT)
    condition = target.cases[1].when
    assert isinstance(condition, Logical)
    assert [part.left.input for part in condition.of if not isinstance(part, Logical)] == ["c0", "c0"]
    assert [widened(n=n) for n in (2, 1)] == [None, 0.5]


@workflow
def ordered(n: int) -> int:
    before = void()
    inner = one()
    choice = conditional("c").if_(n > 1).then(void()).else_().then(void())
    before >> choice >> inner
    return inner


@workflow
def waits_inside(n: int) -> int:
    first = void()
    case = conditional("c").if_(n > 1)
    inner = one()
    first >> inner
    return case.then(inner).else_().then(n)


def test_nodes_are_ordered_around_and_into_cases() -> None:
    closure = compile_entity(ordered).main()
    assert closure.nodes[2].after == ("n0",)
    assert closure.nodes[1].after == ("n2",)
    _, target = branch_of(waits_inside, 1)
    assert target.bodies()[0].nodes[0].after == ("n0",)
    assert "n0" in compile_entity(waits_inside).main().nodes[1].upstream()
    RAN.clear()
    assert waits_inside(n=2) == 1
    assert RAN == ["void", "one"]


@workflow
def cyclic(n: int) -> int:
    case = conditional("c").if_(n > 1)
    inner = one()
    result = case.then(inner).else_().then(n)
    result >> inner
    return result


def test_a_node_of_a_case_cannot_wait_for_its_conditional() -> None:
    with pytest.raises(CompileError, match="These nodes wait for each other"):
        compile_entity(cyclic)


def test_outside_of_a_workflow_python_decides() -> None:
    with pytest.raises(CompileError, match="Use Python's `if` here"):
        conditional("c")
