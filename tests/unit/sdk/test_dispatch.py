"""One attempt's way through the SDK: find the task, read its inputs, call it, write its outputs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flyte_temporal import task
from flyte_temporal.compiler import compile_entity
from flyte_temporal.sdk import dispatch
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.values import encode
from flyte_temporal.spec.entities import EntryPoint, TaskSpec
from flyte_temporal.spec.literals import Inline, LiteralValue, Offloaded
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.spec.types import INTEGER, STRING, ListType
from flyte_temporal.testing.blobs import MemoryBlobStore


class Pair(NamedTuple):
    left: float
    right: str


@task
def pair(x: float, s: str = "a") -> Pair:
    return Pair(x, s)


@task
def wrong_type() -> int:
    return "one"  # type: ignore[return-value]


@task
def wrong_number() -> tuple[int, int]:
    return 1, 2, 3  # type: ignore[return-value]


@task
def something() -> None:
    return 1  # type: ignore[return-value]


@task
def raising() -> None:
    raise KeyError("mine")


@task
async def slow(n: int) -> int:
    return n + 1


@task(retries=1)
def on_a_class(n: int) -> int:
    return n


class Namespace:
    @staticmethod
    @task
    def inner(n: int) -> int:
        return n


@pytest.fixture
def context(tmp_path: Path) -> ValueContext:
    return ValueContext(blobs=None, scratch=tmp_path)


def run(entity: Any, context: ValueContext, **inputs: LiteralValue) -> dict[str, LiteralValue]:
    spec = compile_entity(entity).entity()
    assert isinstance(spec, TaskSpec)
    assert spec.entry is not None
    outputs = dispatch.run(dispatch.load(spec.entry), spec, inputs, context)
    assert isinstance(outputs, dict)
    return outputs


def test_inputs_are_read_by_the_type_that_wrote_them_and_outputs_written_by_name(
    context: ValueContext,
) -> None:
    outputs = run(pair, context, x=Inline(value=3, type=INTEGER), s=Inline(value="b"))
    assert outputs == {"left": Inline(value=3.0), "right": Inline(value="b")}


def test_a_missing_input_takes_its_default_or_is_refused(context: ValueContext) -> None:
    assert run(pair, context, x=Inline(value=1.0))["right"] == Inline(value="a")
    with pytest.raises(dispatch.InputNotReadable, match=r"Input 'x' of .*\.pair is missing"):
        run(pair, context)


def test_an_async_task_is_run_to_its_end(context: ValueContext) -> None:
    assert run(slow, context, n=Inline(value=1)) == {"o0": Inline(value=2)}


async def test_an_async_task_runs_inside_a_running_loop_too(context: ValueContext) -> None:
    assert run(slow, context, n=Inline(value=1)) == {"o0": Inline(value=2)}
    assert await slow(4) == 5


def test_a_task_in_a_class_is_found_by_its_dotted_name(context: ValueContext) -> None:
    assert run(Namespace.inner, context, n=Inline(value=1)) == {"o0": Inline(value=1)}


def test_an_input_that_does_not_fit_is_no_error_of_the_function(context: ValueContext) -> None:
    with pytest.raises(
        dispatch.InputNotReadable, match=r"Input 'x' of .*\.pair cannot be read: expected float"
    ):
        run(pair, context, x=Inline(value="much"))


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        (wrong_type, r"Output 'o0' of .*\.wrong_type is not what it declares: expected int, got str 'one'"),
        (wrong_number, r"wrong_number\(\) .* declared to return 2 values, but returned 3"),
        (something, r"something\(\) .* declared to return nothing, but returned int"),
    ],
)
def test_what_a_task_returns_must_be_what_it_declares(
    entity: Any, message: str, context: ValueContext
) -> None:
    with pytest.raises(dispatch.OutputInvalid, match=message) as caught:
        run(entity, context)
    assert not caught.value.retryable


def test_the_users_own_exception_passes_unchanged(context: ValueContext) -> None:
    with pytest.raises(KeyError, match="mine"):
        run(raising, context)


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("no_such_module", "f", r"no_such_module of the task f cannot be imported: ModuleNotFoundError"),
        (__name__, "nobody", r"has no 'nobody'\. Was it defined only under `if __name__"),
        (__name__, "run", r"is <function run> and not a task\. Decorate it with @task"),
    ],
)
def test_a_task_that_cannot_be_loaded_says_why(module: str, name: str, message: str) -> None:
    with pytest.raises(dispatch.TaskNotLoadable, match=message):
        dispatch.load(EntryPoint(module=module, name=name))


def test_the_exception_of_the_users_module_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loaded_dispatch_bad.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(dispatch.TaskNotLoadable, match="ZeroDivisionError: division by zero") as caught:
        dispatch.load(EntryPoint(module="loaded_dispatch_bad", name="f"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "loaded_dispatch_bad" not in sys.modules


def test_a_part_that_a_stored_value_lacks_is_named_with_its_input(context: ValueContext) -> None:
    context = replace(context, blobs=MemoryBlobStore(), inline_bytes=0)
    stored = encode(["x"], list[str], context)
    assert isinstance(stored, Offloaded)
    whole = ListType(element=STRING)
    part = stored.model_copy(update={"path": (7,), "whole": whole, "type": STRING})
    with pytest.raises(
        MissingAttribute, match=r"^Input 'n' of .*: The value has nothing at \[7\]: it has 1 elements"
    ):
        run(Namespace.inner, context, n=part)
