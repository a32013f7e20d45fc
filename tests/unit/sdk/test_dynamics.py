"""Dynamic tasks: recorded with real values, in an attempt and in a plain run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyte_temporal import FlyteFile, conditional, current_context, dynamic, map_task, task, workflow
from flyte_temporal.compiler import compile_entity
from flyte_temporal.errors import CompileError, TypeMismatch
from flyte_temporal.sdk import dispatch
from flyte_temporal.sdk.conversions import OutputInvalid
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.values import decode
from flyte_temporal.spec.bindings import Constant, OutputRef
from flyte_temporal.spec.entities import Closure, TaskSpec
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import TaskTarget
from flyte_temporal.testing.blobs import MemoryBlobStore

RAN: list[str] = []


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def rows(table: pd.DataFrame) -> int:
    return len(table)


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def text_of(file: FlyteFile) -> str:
    return Path(file).read_text()


@task
def merge(a: list[int], b: list[int]) -> list[int]:
    return sorted(a + b)


@dynamic(retries=2)
def sum_up(n: int, extra: int = 5) -> tuple[int, int]:
    RAN.append("sum_up")
    result = 0
    for i in range(n):
        result = add(a=result, b=i)
    return result, extra


@dynamic
def sort(xs: list[int]) -> list[int]:
    if len(xs) <= 1:
        return xs
    half = len(xs) // 2
    return merge(a=sort(xs=xs[:half]), b=sort(xs=xs[half:]))


@dynamic
def with_data(n: int) -> tuple[int, int, str]:
    table = pd.DataFrame({"a": range(n)})
    file = Path(current_context().working_directory) / "data.txt"
    file.write_text("content")
    return rows(table=table), total(numbers=list(range(n))), text_of(file=FlyteFile(str(file)))


@dynamic
def wrong_type(n: int) -> int:
    return rows(table=add(a=n, b=n))  # type: ignore[arg-type]


@dynamic
def wrong_return(n: int) -> int:
    return str(n)  # type: ignore[return-value]


@dynamic
def asks_a_promise(n: int) -> int:
    found = add(a=n, b=n)
    return 1 if found is None else found  # type: ignore[redundant-expr] # the question is the point


@dynamic
def raising(n: int) -> int:
    raise KeyError("mine")


@dynamic
def many(n: int) -> list[int]:
    return [add(a=i, b=1) for i in range(n)]


@dynamic
def other_structures(n: int) -> tuple[list[int], int]:
    mapped = map_task(add)(a=list(range(n)), b=[n] * n)
    return mapped, conditional("big").if_(mapped[0] > 1).then(add(a=1, b=1)).else_().then(add(a=2, b=2))


@workflow
def around(n: int) -> tuple[int, int, list[int]]:
    result, extra = sum_up(n=n)
    return result, extra, sort(xs=[3, 1, 2])


def expand(
    entity: Any, context: ValueContext, **inputs: LiteralValue
) -> tuple[TaskSpec, dict[str, LiteralValue] | Closure]:
    spec = compile_entity(entity).entity()
    assert isinstance(spec, TaskSpec)
    assert spec.entry is not None
    return spec, dispatch.run(dispatch.load(spec.entry), spec, inputs, context)


@pytest.fixture
def context(tmp_path: Path) -> ValueContext:
    return ValueContext(blobs=MemoryBlobStore(), scratch=tmp_path, inline_bytes=1000)


def test_compiling_does_not_run_its_function() -> None:
    RAN.clear()
    closure = compile_entity(around)
    assert RAN == []
    name = f"{__name__}.sum_up"
    assert closure.tasks[name].type == "dynamic"
    assert closure.tasks[name].policy.retries.count == 2
    assert closure.tasks[f"{__name__}.sort"].type == "dynamic"
    assert f"{__name__}.add" not in closure.tasks


def test_an_attempt_gives_a_workflow_of_its_name_that_gives_its_outputs(context: ValueContext) -> None:
    spec, found = expand(sum_up, context, n=Inline(value=3))
    assert isinstance(found, Closure)
    assert (found.root.kind, found.root.name) == ("workflow", spec.name)
    main = found.main()
    assert [node.id for node in main.nodes] == ["n0", "n1", "n2"]
    assert found.interface.outputs == spec.interface.outputs
    assert [o.binding for o in main.outputs] == [OutputRef(node="n2", name="o0"), Constant(value=5)]
    assert Closure.read(found.model_dump_json()) == found


def test_without_nodes_it_gives_its_outputs_itself(context: ValueContext) -> None:
    _, found = expand(sort, context, xs=Inline(value=[7]))
    assert found == {"o0": Inline(value=[7])}


def test_it_may_contain_itself_as_a_node(context: ValueContext) -> None:
    spec, found = expand(sort, context, xs=Inline(value=[2, 1]))
    assert isinstance(found, Closure)
    assert sorted(found.tasks) == [f"{__name__}.merge", spec.name]
    assert found.tasks[spec.name] == spec
    assert [n.target for n in found.main().nodes[:2]] == [TaskTarget(task=spec.name)] * 2


def test_data_files_and_large_values_are_stored_and_bound(context: ValueContext) -> None:
    _, found = expand(with_data, context, n=Inline(value=1000))
    assert isinstance(found, Closure)
    bound = [next(iter(node.inputs.values())) for node in found.main().nodes]
    assert all(isinstance(b, Constant) for b in bound)
    table, numbers, file = (b for b in bound if isinstance(b, Constant))
    assert numbers.value is None
    assert numbers.stored is not None
    type_ = found.tasks[f"{__name__}.total"].interface.inputs[0].type
    assert decode(numbers.stored, type_, list[int], context) == list(range(1000))
    _, outputs = expand(rows, context, table=Inline(value=table.value))
    assert outputs == {"o0": Inline(value=1000)}
    _, outputs = expand(text_of, context, file=Inline(value=file.value))
    assert outputs == {"o0": Inline(value="content")}


@pytest.mark.parametrize(
    ("entity", "error", "message"),
    [
        (wrong_type, TypeMismatch, "does not fit input 'table' of node n1 (rows), which takes DataFrame"),
        (wrong_return, OutputInvalid, "expected int, got str '1'"),
        (raising, KeyError, "mine"),
    ],
)
def test_a_wrong_body_fails_alike_in_an_attempt_and_plainly(
    context: ValueContext, entity: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as durable:
        expand(entity, context, n=Inline(value=1))
    with pytest.raises(error) as plain:
        entity(n=1)
    assert message in str(durable.value)
    assert str(durable.value).replace(f"{__name__}.", "") == str(plain.value)


def test_a_question_that_a_promise_never_hears_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(CompileError, match="`found is None` is decided while"):
        compile_entity(asks_a_promise)


def test_plain_runs_give_what_the_nodes_give(tmp_path: Path) -> None:
    assert around(n=4) == (6, 5, [1, 2, 3])
    assert sort(xs=[5, 3, 8, 1, 9, 2]) == [1, 2, 3, 5, 8, 9]
    assert with_data(n=3) == (3, 3, "content")
    assert many(n=0) == []
    assert other_structures(n=3) == ([3, 4, 5], 2)


def test_five_thousand_nodes(context: ValueContext) -> None:
    _, found = expand(many, context, n=Inline(value=5000))
    assert isinstance(found, Closure)
    assert len(found.main().nodes) == 5000
