"""Values that only a task's own process opens."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Union

import pytest

from flyte_temporal import FlytePickle, PickleWarning, task
from flyte_temporal.errors import (
    BadRequest,
    CompileError,
    CorruptBlob,
    InvalidInputs,
    TypeMismatch,
    UnsupportedType,
)
from flyte_temporal.sdk.types import opaque
from flyte_temporal.sdk.types.converter import InProcess, ValueContext
from flyte_temporal.sdk.types.engine import TypeEngine
from flyte_temporal.sdk.types.opaque import OpaqueReference
from flyte_temporal.sdk.types.text import read_json
from flyte_temporal.sdk.types.values import decode, encode
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.literals import Inline, OpaqueValue
from flyte_temporal.spec.types import OpaqueType
from flyte_temporal.testing.blobs import MemoryBlobStore


class Graph:
    def __init__(self, edges: list[tuple[int, int]]) -> None:
        self.edges = edges


class Sub(Graph):
    pass


class Other:
    pass


class Fresh:
    """Met by one test only."""


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@dataclass
class Holder:
    name: str
    graph: Graph | None = None


@pytest.fixture
def attempt(context: ValueContext) -> ValueContext:
    return replace(context, opens_pickles=True)


def _back(engine: TypeEngine, value: Any, python_type: Any, context: ValueContext) -> Any:
    written = engine.to_json(value, python_type, context)
    return engine.to_python(written, engine.literal_type(python_type), python_type, context)


@pytest.mark.parametrize("python_type", [Graph, FlytePickle[Graph], FlytePickle, Graph | None])
def test_a_task_gets_the_value(python_type: Any, engine: TypeEngine, attempt: ValueContext) -> None:
    assert _back(engine, Graph([(1, 2)]), python_type, attempt).edges == [(1, 2)]


def test_inside_of_others(engine: TypeEngine, attempt: ValueContext) -> None:
    back = _back(engine, Holder("a", Graph([(3, 4)])), Holder, attempt)
    assert back.graph.edges == [(3, 4)]
    assert _back(engine, {"x": [Graph([])]}, dict[str, list[Graph]], attempt)["x"][0].edges == []
    union = Union[Graph, Other]  # noqa: UP007 - users write it
    assert type(_back(engine, Other(), union, attempt)) is Other
    assert type(_back(engine, Sub([]), Graph, attempt)) is Sub


def test_the_literal_says_what_it_is(
    engine: TypeEngine, context: ValueContext, store: MemoryBlobStore
) -> None:
    value = OpaqueValue.model_validate(engine.to_json(Graph([]), Graph, context))
    ((key, data),) = store.objects.items()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"{__name__}.Graph"
    assert value == OpaqueValue(
        uri=store.uri(key),
        codec="pickle",
        sha256=sha256_hex(data),
        size=len(data),
        python=name,
        python_version=version,
    )
    assert engine.literal_type(Graph) == OpaqueType(codec="pickle", python=name)
    assert [path for path in context.scratch.rglob("*") if path.is_file()] == []


def test_nothing_but_a_task_unpickles(
    engine: TypeEngine, context: ValueContext, attempt: ValueContext, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    literal = encode(Bomb(str(made)), FlytePickle, context)
    type_ = engine.literal_type(FlytePickle)
    found = decode(literal, type_, FlytePickle, context)
    assert isinstance(found, OpaqueReference)
    assert repr(found).startswith(f"<pickle of {__name__}.Bomb at ")
    assert not made.exists()
    # What was fetched may be given to the next run as it is.
    assert encode(found, FlytePickle, context) == literal
    # The trap works: a task's process does open it.
    with pytest.raises(InvalidInputs, match="expected object, got None"):
        decode(literal, type_, FlytePickle, attempt)
    assert made.exists()


def test_a_pickle_from_elsewhere_is_not_opened(
    engine: TypeEngine, attempt: ValueContext, tmp_path: Path
) -> None:
    made, file = tmp_path / "made", tmp_path / "evil.pickle"
    file.write_bytes(pickle.dumps(Bomb(str(made))))
    sha256 = sha256_hex(file.read_bytes())
    evil = OpaqueValue(uri=file.as_uri(), codec="pickle", sha256=sha256, size=1).model_dump(mode="json")
    with pytest.raises(InvalidInputs, match="is not in the blob store of this execution and is not opened"):
        decode(Inline(value=evil), engine.literal_type(Graph), Graph, attempt)
    assert not made.exists()


def test_no_one_gives_a_pickle_as_json(engine: TypeEngine, context: ValueContext) -> None:
    with pytest.raises(InvalidInputs, match="can only come from a task, not from JSON"):
        read_json({"uri": "file:///x", "codec": "pickle"}, engine.literal_type(Graph), context)


def test_another_python_is_refused(
    engine: TypeEngine, attempt: ValueContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = engine.to_json(Graph([]), Graph, attempt)
    monkeypatch.setattr(opaque, "_python", lambda: "3.99")
    with pytest.raises(
        InvalidInputs, match=r"was pickled by Python 3.1\d, and this is Python 3.99, which may not"
    ):
        engine.to_python(written, engine.literal_type(Graph), Graph, attempt)


def test_a_damaged_pickle_is_not_opened(
    engine: TypeEngine, attempt: ValueContext, store: MemoryBlobStore
) -> None:
    written = engine.to_json(Graph([]), Graph, attempt)
    (key,) = store.objects
    store.objects[key] = pickle.dumps(5)
    with pytest.raises(CorruptBlob):
        engine.to_python(written, engine.literal_type(Graph), Graph, attempt)


def test_wrong_values_are_refused(engine: TypeEngine, attempt: ValueContext) -> None:
    with pytest.raises(
        TypeMismatch, match=r"expected Graph, got None, which is not pickled; declare Optional"
    ):
        engine.to_json(None, Graph, attempt)
    with pytest.raises(TypeMismatch, match=r"expected Graph, got int 5"):
        engine.to_json(5, Graph, attempt)
    with pytest.raises(TypeMismatch, match=r"this Graph cannot be pickled: "):
        engine.to_json(Graph([threading.Lock()]), Graph, attempt)  # type: ignore[list-item]
    other = engine.to_json(Other(), Other, attempt)
    with pytest.raises(InvalidInputs, match=r"expected Graph, got Other"):
        engine.to_python(other, engine.literal_type(Graph), Graph, attempt)


def test_a_plain_run_hands_on_a_copy(engine: TypeEngine, tmp_path: Path) -> None:
    value = Graph([(1, 2)])
    back = engine.coerce(value, Graph)
    assert back is not value
    assert back.edges == value.edges
    with pytest.raises(TypeMismatch, match="cannot be pickled"):
        engine.coerce(Graph([threading.Lock()]), Graph)  # type: ignore[list-item]
    assert isinstance(InProcess(None, tmp_path), ValueContext)


class _Shape(Protocol):
    def area(self) -> float: ...


@pytest.mark.parametrize("odd", [object, type, Callable[[int], int], _Shape], ids=str)
def test_what_makes_no_sense_is_still_refused(odd: Any, engine: TypeEngine) -> None:
    with pytest.raises(UnsupportedType, match="No type transformer for"):
        engine.literal_type(odd)


def test_one_warning_per_type() -> None:
    @task
    def first(x: Fresh) -> list[Fresh]:
        return [x]

    with pytest.warns(
        PickleWarning, match=r"test_pickles.py:\d+: Parameter 'x' of first\(\): .*Fresh is no type"
    ) as seen:
        assert len(first.interface.inputs) == 1
    assert len(seen) == 1
    assert "Declare FlytePickle[Fresh]" in str(seen[0].message)

    @task
    def second(x: Fresh, y: FlytePickle[Other]) -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(second.interface.inputs) == 2


@pytest.mark.parametrize(
    ("policy", "fallback", "explicit"),
    [("warn", True, True), ("allow", True, True), ("known", False, True), ("forbid", False, False)],
)
def test_the_setting(policy: str, fallback: bool, explicit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_PICKLE", policy)
    for python_type, allowed in [(Other, fallback), (FlytePickle[Other], explicit)]:
        engine = TypeEngine()
        if allowed:
            assert isinstance(engine.literal_type(python_type), OpaqueType)
        else:
            message = f"would travel as a pickle, which FLYTE_TEMPORAL_PICKLE={policy} forbids"
            with pytest.raises(UnsupportedType, match=message):
                engine.literal_type(python_type)


def test_the_setting_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_PICKLE", "maybe")
    with pytest.raises(BadRequest, match="FLYTE_TEMPORAL_PICKLE must be one of warn, allow, known, forbid"):
        TypeEngine().literal_type(Other)


def test_no_warning_where_pickles_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_TEMPORAL_PICKLE", "allow")
    engine = TypeEngine()
    engine.literal_type(Other)
    assert engine.warnings() == []


def test_untyped_parameters_are_pickles_on_demand() -> None:
    @task(pickle_untyped=True)
    def both(a, b: int = 3):  # type: ignore[no-untyped-def]
        return (a, b)

    assert both(a={1: Graph}) == ({1: Graph}, 3)
    assert both(a=None) == (None, 3)

    @task
    def strict(a):  # type: ignore[no-untyped-def]
        return a

    with pytest.raises(CompileError, match="Parameter 'a' of strict\\(\\) has no type annotation"):
        strict(a=1)


class _Tensor:
    """Stands for torch's class: torch itself is 200 MB, and only how it is called is ours."""

    def __init__(self, data: list[float]) -> None:
        self.data = data


class _Linear:
    pass


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A module `torch` whose save and load pickle; returns what `weights_only` was for each load."""
    loads: list[bool] = []

    def load(stream: Any, *, map_location: str, weights_only: bool) -> Any:
        assert map_location == "cpu"
        loads.append(weights_only)
        return pickle.load(stream)

    made: Any = types.ModuleType("torch")
    made.save, made.load = pickle.dump, load
    monkeypatch.setitem(sys.modules, "torch", made)
    return loads


def test_tensors_and_modules_go_through_torch(
    torch: list[bool], engine: TypeEngine, attempt: ValueContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = type("Module", (), {"__module__": "torch.nn.modules.module"})
    tensor = type("Tensor", (_Tensor,), {"__module__": "torch"})
    layer = type("Layer", (_Linear, base), {"__module__": __name__})
    monkeypatch.setattr(sys.modules["torch"], "Tensor", tensor, raising=False)
    monkeypatch.setattr(sys.modules[__name__], "Layer", layer, raising=False)
    assert engine.literal_type(tensor) == OpaqueType(codec="torch", python="torch.Tensor")
    assert engine.literal_type(layer) == OpaqueType(codec="torch-module", python=f"{__name__}.Layer")
    assert _back(engine, tensor([1.5]), tensor, attempt).data == [1.5]
    assert type(_back(engine, layer(), layer, attempt)) is layer
    assert torch == [True, False]
    written = engine.to_json(tensor([1.0]), tensor, attempt)
    assert "python_version" not in written
    with pytest.raises(TypeMismatch, match="expected Layer, got Tensor"):
        engine.to_json(tensor([1.0]), layer, attempt)


def test_estimators(engine: TypeEngine, attempt: ValueContext) -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline

    model = LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])
    back = _back(engine, model, LinearRegression, attempt)
    assert back.predict([[3.0]])[0] == pytest.approx(6.0)
    pipeline = _back(engine, Pipeline([("m", model)]), Pipeline, attempt)
    assert pipeline.predict([[3.0]])[0] == pytest.approx(6.0)
    assert engine.literal_type(LinearRegression) == OpaqueType(
        codec="sklearn", python="sklearn.linear_model._base.LinearRegression"
    )
    assert engine.warnings() == []
