"""What right programs compile to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from flyte_temporal import FailurePolicy, FlyteFile, Resources, create_node, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import LimitExceeded
from flyte_temporal.sdk import recording
from flyte_temporal.spec.bindings import Constant, InputRef, ListOf, MapEntry, MapOf, OutputRef
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import Closure, EntryPoint, WorkflowSpec
from flyte_temporal.spec.nodes import TaskTarget, WorkflowTarget
from flyte_temporal.spec.types import FLOAT, INTEGER, STRING, optional

HERE = __name__


@dataclass
class Inner:
    values: list[int]


@dataclass
class Record:
    inner: Inner
    by_name: dict[str, float]
    maybe: Inner | None = None


class Named(NamedTuple):
    first: int
    second: str


class OnlyOne(NamedTuple):
    model: int


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


@task
def number(n: int = 7) -> int:
    return n


@task
def decimal(x: float, y: float | None = None) -> float:
    return x


@task
def named() -> Named:
    return Named(1, "a")


@task
def several() -> tuple[int, str]:
    return 1, "a"


@task
def only_one() -> OnlyOne:
    return OnlyOne(1)


@task
def record() -> Record:
    return Record(Inner([1]), {"a": 1.0})


@task
def total(numbers: list[float]) -> float:
    return sum(numbers)


@task
def by_key(numbers: dict[int, float]) -> float:
    return sum(numbers.values())


@task
def take_pair(pair: tuple[int, str]) -> int:
    return pair[0]


@task
def take_named(pair: Named) -> int:
    return pair.first


@task
def take_any(data: dict) -> int:  # type: ignore[type-arg]
    return len(data)


@task
def take_file(file: FlyteFile) -> int:
    return 1


@task
def silent() -> None: ...


@task
@logged
def decorated(n: int) -> int:
    return n


@logged
@task
def wrapped(n: int) -> int:
    return n


def made(factor: int) -> Any:
    @task
    def scale(n: int) -> int:
        return n * factor

    return scale


double = made(2)


def compiled(body: Any, **options: Any) -> WorkflowSpec:
    closure = compile_entity(workflow(**options)(body))
    return closure.main()


def test_a_single_task_is_a_closure_of_its_own() -> None:
    closure = compile_entity(number)
    assert (closure.root.kind, closure.root.name) == ("task", f"{HERE}.number")
    assert closure.tasks[f"{HERE}.number"].entry == EntryPoint(module=HERE, name="number")
    assert Closure.read(canonical_bytes(closure)) == closure


def test_nodes_are_numbered_in_call_order_and_named_by_their_task() -> None:
    def body() -> int:
        number()
        decimal(1.0)
        return number()

    nodes = compiled(body).nodes
    assert [(n.id, n.name) for n in nodes] == [("n0", "number"), ("n1", "decimal"), ("n2", "number")]
    assert nodes[0].target == TaskTarget(task=f"{HERE}.number")


def test_defaults_are_bound_as_constants_and_constants_by_the_type_of_their_target() -> None:
    def body() -> None:
        number()
        decimal(3)

    nodes = compiled(body).nodes
    assert nodes[0].inputs == {"n": Constant(value=7)}
    assert nodes[1].inputs == {"x": Constant(value=3.0), "y": Constant(value=None)}
    assert isinstance(nodes[1].inputs["x"].value, float)  # type: ignore[union-attr]


def test_a_reference_of_another_type_says_by_which_it_is_written() -> None:
    def body(n: int, x: float) -> None:
        decimal(x=n, y=x)
        decimal(x=x)

    first, second = compiled(body).nodes
    assert first.inputs == {"x": InputRef(name="n", type=INTEGER), "y": InputRef(name="x", type=FLOAT)}
    assert second.inputs["x"] == InputRef(name="x")


def test_attribute_paths_reach_into_records_lists_maps_and_optionals() -> None:
    def body() -> tuple[int, float, int | None]:
        r = record()
        return r.inner.values[0], r.by_name["a"], r.maybe.values[-1]  # type: ignore[union-attr]

    first, second, third = (o.binding for o in compiled(body).outputs)
    assert first == OutputRef(node="n0", name="o0", path=("inner", "values", 0))
    assert second == OutputRef(node="n0", name="o0", path=("by_name", "a"))
    assert third == OutputRef(node="n0", name="o0", path=("maybe", "values", -1))
    assert compiled(body).interface.outputs[2].type == optional(INTEGER)


def test_promises_in_lists_maps_and_tuples_bind() -> None:
    def body(n: int, s: str) -> None:
        total([n, 2, decimal(1.0)])
        by_key({1: n, 2: 0.5})
        take_pair((n, s))
        take_any({"deep": [n, {"s": s}]})

    nodes = compiled(body).nodes
    assert nodes[1].inputs["numbers"] == ListOf(
        items=(InputRef(name="n", type=INTEGER), Constant(value=2.0), OutputRef(node="n0", name="o0"))
    )
    assert nodes[2].inputs["numbers"] == MapOf(
        entries=(
            MapEntry(key=1, value=InputRef(name="n", type=INTEGER)),
            MapEntry(key=2, value=Constant(value=0.5)),
        )
    )
    assert nodes[3].inputs["pair"] == ListOf(items=(InputRef(name="n"), InputRef(name="s")))
    deep = nodes[4].inputs["data"]
    assert isinstance(deep, MapOf)
    assert isinstance(deep.entries[0].value, ListOf)
    assert nodes[1].upstream() == ("n0",)


def test_all_outputs_of_a_node_fit_where_a_tuple_is_declared() -> None:
    def body() -> None:
        take_named(pair=named())
        take_pair(pair=several())

    nodes = compiled(body).nodes
    assert nodes[1].inputs["pair"] == ListOf(
        items=(OutputRef(node="n0", name="first"), OutputRef(node="n0", name="second"))
    )
    assert nodes[3].inputs["pair"] == ListOf(
        items=(OutputRef(node="n2", name="o0"), OutputRef(node="n2", name="o1"))
    )


def test_outputs_are_unpacked_or_taken_by_name_or_position() -> None:
    def body() -> tuple[int, str, int, str, int]:
        first, second = named()
        pair = several()
        return first, second, pair[0], pair.o1, only_one().model  # type: ignore[attr-defined]

    names = [(o.binding.node, o.binding.name) for o in compiled(body).outputs]  # type: ignore[union-attr]
    assert names == [("n0", "first"), ("n0", "second"), ("n1", "o0"), ("n1", "o1"), ("n2", "model")]


def test_a_named_tuple_names_the_outputs_of_a_workflow() -> None:
    def body(n: int) -> Named:
        return Named(second="x", first=n)

    spec = compiled(body)
    assert [o.name for o in spec.outputs] == ["first", "second"]
    assert [o.binding for o in spec.outputs] == [InputRef(name="n"), Constant(value="x")]


def test_a_workflow_may_return_all_outputs_of_a_node_at_once() -> None:
    def body() -> Named:
        return named()

    assert [o.binding for o in compiled(body).outputs] == [
        OutputRef(node="n0", name="first"),
        OutputRef(node="n0", name="second"),
    ]


def test_orderings_need_no_values() -> None:
    def body() -> None:
        a, b, c = silent(), number(), create_node(silent)
        c >> b
        b.runs_before(a)  # type: ignore[attr-defined]

    nodes = compiled(body).nodes
    assert [n.after for n in nodes] == [("n1",), ("n2",), ()]


def test_a_node_that_nobody_uses_stays() -> None:
    def body(n: int) -> int:
        number(n)
        return n

    assert len(compiled(body).nodes) == 1


def test_overrides_stand_at_the_node_and_its_name_holds_for_earlier_bindings() -> None:
    def body() -> float:
        n = number()
        x = decimal(n)
        n.with_overrides(node_name="chosen", retries=4, timeout=timedelta(minutes=1), labels={"a": "b"})  # type: ignore[attr-defined]
        n.with_overrides(name="shown", resources=Resources(cpu=2))  # type: ignore[attr-defined]
        return x

    first, second = compiled(body).nodes
    assert (first.id, first.name) == ("chosen", "shown")
    assert second.inputs["x"] == OutputRef(node="chosen", name="o0", type=INTEGER)
    assert first.overrides is not None
    assert first.overrides.retries is not None
    assert first.overrides.retries.count == 4
    assert first.overrides.timeouts is not None
    assert first.overrides.timeouts.run_s == 60.0
    assert first.overrides.resources is not None
    assert first.overrides.resources.limits.cpu == "2"
    assert first.overrides.labels == {"a": "b"}
    assert second.overrides is None


def test_a_sub_workflow_is_compiled_once_and_its_body_runs_once() -> None:
    runs = []

    @workflow
    def inner(n: int) -> int:
        runs.append(n)
        return number(n)

    def body() -> int:
        return inner(n=inner(n=1))

    closure = compile_entity(workflow(body))
    assert len(runs) == 1
    assert len(closure.workflows) == 2
    assert {n.target for n in closure.main().nodes} == {WorkflowTarget(workflow=inner.name)}
    assert list(closure.tasks) == [f"{HERE}.number"]


def test_a_partial_of_a_task_binds_like_the_task() -> None:
    def body(n: int) -> float:
        return functools.partial(decimal, y=2.0)(x=n)

    assert compiled(body).nodes[0].inputs["y"] == Constant(value=2.0)


@pytest.mark.parametrize(("entity", "name"), [(decorated, "decorated"), (double, "double")])
def test_tasks_are_named_by_the_object_that_a_module_offers(entity: Any, name: str) -> None:
    closure = compile_entity(entity)
    assert closure.root.name == f"{HERE}.{name}"
    assert closure.tasks[closure.root.name].entry == EntryPoint(module=HERE, name=name)


def test_a_decorator_above_a_task_runs_when_the_workflow_is_compiled() -> None:
    def body() -> int:
        result: int = wrapped(3)
        return result

    spec = compiled(body)
    assert spec.nodes[0].target == TaskTarget(task=f"{HERE}.wrapped")


def test_options_of_a_workflow_are_kept() -> None:
    def body(n: int) -> int:
        """Do it.

        Slowly.

        Args:
            n: How often.
        """
        return number(n)

    spec = compiled(
        body,
        failure_policy=FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE,
        interruptible=True,
        on_failure=number,
    )
    assert spec.failure_policy is FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
    assert spec.interruptible is True
    assert spec.on_failure == TaskTarget(task=f"{HERE}.number")
    assert spec.description == "Do it.\n\nSlowly."
    assert spec.interface.inputs[0].description == "How often."


def test_a_remote_file_may_be_a_constant() -> None:
    def body() -> None:
        take_file(file=FlyteFile("s3://bucket/data.csv"))

    value = compiled(body).nodes[0].inputs["file"]
    assert isinstance(value, Constant)
    assert value.value["uri"] == "s3://bucket/data.csv"  # type: ignore[index, call-overload]


def test_too_many_nodes_are_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_NODES", 3)

    def body() -> None:
        for _ in range(4):
            silent()

    with pytest.raises(LimitExceeded, match=r"test_compile\.py:\d+: the workflow body has more than 3 nodes"):
        compiled(body)


def test_a_constant_is_copied_when_the_call_is_made() -> None:
    def body() -> None:
        numbers, data = [1.0], {"a": [1]}
        total(numbers)
        take_any(data)
        numbers.append(2.0)
        data["a"].append(2)

    nodes = compiled(body).nodes
    assert nodes[0].inputs["numbers"] == Constant(value=[1.0])
    assert nodes[1].inputs["data"] == Constant(value={"a": [1]})


def test_a_text_may_go_where_an_any_is_declared() -> None:
    def body(s: str) -> None:
        take_any({"s": s})

    value = compiled(body).nodes[0].inputs["data"]
    assert value == MapOf(entries=(MapEntry(key="s", value=InputRef(name="s", type=STRING)),))
