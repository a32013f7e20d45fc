"""Arrays, pictures, TypedDict, attrs, protobuf, iterators: what each keeps, and what it refuses."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NotRequired, TypedDict, TypeVar

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import typing_extensions
from google.protobuf import descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2
from matplotlib.figure import Figure
from PIL import Image

from flyte_temporal import FlyteFile, kwtypes, task, workflow
from flyte_temporal.errors import CompileError, InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types import elements
from flyte_temporal.sdk.types.converter import InProcess, ValueContext
from flyte_temporal.sdk.types.engine import TypeEngine
from flyte_temporal.sdk.types.text import read_text
from flyte_temporal.sdk.types.values import decode, encode
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.literals import Inline, Offloaded
from flyte_temporal.spec.types import ANY, FLOAT, INTEGER, BlobType, Field_, ListType, StructType
from flyte_temporal.testing.blobs import MemoryBlobStore
from tests.unit.sdk_types.conftest import Trip

T = TypeVar("T")


@pytest.fixture(params=["durable", "plain"])
def way(request: pytest.FixtureRequest, context: ValueContext) -> ValueContext:
    return context if request.param == "durable" else InProcess(None, context.scratch)


def back(engine: TypeEngine, value: Any, python_type: Any, context: ValueContext) -> Any:
    written = engine.to_json(value, python_type, context)
    return engine.to_python(written, engine.literal_type(python_type), python_type, context)


# ---- arrays
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.array(5),
        np.zeros((0, 3), dtype="f4"),
        np.array(["é", "b"]),
        np.array([1 + 2j]),
        np.array([("a", 1)], dtype=[("name", "U3"), ("n", "i4")]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["2026-01-01"], dtype="datetime64[ns]"),
    ],
    ids=str,
)
def test_arrays_survive(array: Any, engine: TypeEngine, way: ValueContext) -> None:
    found = back(engine, array, np.ndarray, way)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape, type(found)) == (array.dtype, array.shape, np.ndarray)
    assert found is not array
    assert engine.literal_type(np.ndarray) == BlobType(format="npy")


def test_the_element_type_of_an_array(engine: TypeEngine, way: ValueContext) -> None:
    floats = npt.NDArray[np.float64]
    np.testing.assert_array_equal(back(engine, np.array([1.5]), floats, way), [1.5])
    assert back(engine, [np.array([1])], list[npt.NDArray[np.integer[Any]]], way)[0] == [1]
    with pytest.raises(
        TypeMismatch, match=r"expected an array of float64, got one of int64; convert it with astype"
    ):
        engine.to_json(np.array([1]), floats, way)


def test_arrays_as_memory_maps(engine: TypeEngine, context: ValueContext) -> None:
    mapped = Annotated[np.ndarray, kwtypes(mmap_mode="r")]
    found = back(engine, np.arange(4), mapped, context)
    assert isinstance(found, np.memmap)
    assert found.tolist() == [0, 1, 2, 3]


def test_arrays_that_are_refused(engine: TypeEngine, way: ValueContext, tmp_path: Path) -> None:
    with pytest.raises(TypeMismatch, match="an array of Python objects would have to be pickled"):
        engine.to_json(np.array([object()]), np.ndarray, way)
    with pytest.raises(TypeMismatch, match="expected ndarray, got list"):
        engine.to_json([1], np.ndarray, way)
    pickled = tmp_path / "a.npy"
    np.save(pickled, np.array([{}]), allow_pickle=True)
    with pytest.raises(InvalidInputs, match=r"cannot be read as .npy: Object arrays cannot be loaded"):
        engine.to_python({"uri": pickled.as_uri()}, BlobType(format="npy"), np.ndarray, way)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"allow_pickle": True}, "allow_pickle cannot be set"),
        ({"order": "C"}, "An array has no option 'order'; there are: mmap_mode"),
        ({"mmap_mode": "w"}, r"mmap_mode must be one of 'r', 'r\+', 'c', not 'w'"),
    ]
    for options, message in wrong:
        with pytest.raises(UnsupportedType, match=message):
            engine.literal_type(Annotated[np.ndarray, kwtypes(**options)])


# ---- pictures
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_survive(mode: str, engine: TypeEngine, way: ValueContext) -> None:
    image = Image.linear_gradient("L").resize((7, 5)).convert(mode)
    found = back(engine, image, Image.Image, way)
    assert (found.mode, found.size, found.tobytes()) == (mode, (7, 5), image.tobytes())
    assert found is not image


def test_images_that_are_refused(engine: TypeEngine, way: ValueContext, tmp_path: Path) -> None:
    with pytest.raises(
        TypeMismatch, match=r"an image of the mode 'CMYK' would lose data as PNG; call convert\(\)"
    ):
        engine.to_json(Image.new("CMYK", (1, 1)), Image.Image, way)
    text = tmp_path / "a.png"
    text.write_text("no picture")
    with pytest.raises(InvalidInputs, match=r"the image '.*a.png' cannot be read: cannot identify"):
        engine.to_python({"uri": text.as_uri()}, BlobType(format="png"), Image.Image, way)


@pytest.mark.parametrize(("format_", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_figures_leave_as_pictures(
    format_: str, begins: bytes, engine: TypeEngine, way: ValueContext
) -> None:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 2])
    python_type = Annotated[Figure, kwtypes(format=format_)] if format_ != "png" else Figure
    found = back(engine, figure, python_type, way)
    assert isinstance(found, FlyteFile)
    assert Path(found.download()).read_bytes().startswith(begins)
    assert accepts(BlobType(format=format_), engine.literal_type(python_type))
    # It may be handed on.
    assert engine.to_json(found, python_type, way)["uri"] == found.remote_source
    with pytest.raises(TypeMismatch, match="expected Figure, got int 5"):
        engine.to_json(5, python_type, way)
    with pytest.raises(UnsupportedType, match="A figure can be written as 'png' or 'svg', not as 'gif'"):
        engine.literal_type(Annotated[Figure, kwtypes(format="gif")])


# ---- records
class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Sequel(Movie, total=False):
    of: Movie


class Boxed(TypedDict, Generic[T]):
    content: T


class Old(typing_extensions.TypedDict):
    n: typing_extensions.Required[float]


def test_typed_dicts(trip: Trip, engine: TypeEngine, context: ValueContext) -> None:
    value: Sequel = {"title": "b", "of": {"title": "a", "year": 1999}}
    assert trip(value, Sequel) == value
    assert trip({"title": "b"}, Sequel) == {"title": "b"}
    assert trip({"content": [1]}, Boxed[list[int]]) == {"content": [1]}
    assert trip({"n": 1}, Old) == {"n": 1.0}
    assert trip({"title": "x"}, int | Movie) == {"title": "x"}
    assert engine.literal_type(Movie) == StructType(
        name="Movie",
        fields=(
            Field_(name="title", type=engine.literal_type(str)),
            Field_(name="year", type=INTEGER, required=False),
        ),
    )
    for wrong, message in [
        ({"year": 1}, "Movie lacks the field 'title'"),
        ({"title": "a", "length": 3}, "Movie has no field 'length'; it has: title, year"),
        ({"title": 3}, "field .title: expected str, got int 3"),
        ([], "expected Movie, got list"),
    ]:
        with pytest.raises(TypeMismatch, match=message):
            engine.to_json(wrong, Movie, context)
    with pytest.raises(InvalidInputs, match="Movie lacks the field 'title'"):
        engine.to_python({}, engine.literal_type(Movie), Movie, context)


@attrs.define
class Point:
    x: int
    y: float = 0.5
    _hidden: str = attrs.field(default="h", kw_only=True)
    twice: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.twice = 2 * self.x


@attrs.frozen
class Cell(Generic[T]):
    content: T
    size: int = attrs.field(default=1, validator=attrs.validators.gt(0))


@attrs.define
class Bare:
    n = attrs.field()  # type: ignore[var-annotated]


def test_attrs_classes(trip: Trip, engine: TypeEngine, context: ValueContext) -> None:
    value = Point(3, hidden="s")
    value.twice = 7
    assert trip(value, Point) == value
    assert trip({"x": 1}, Point) == Point(1)
    assert trip(Cell([1], 2), Cell[list[int]]) == Cell([1], 2)
    assert trip({"a": [Point(1)]}, dict[str, list[Point]]) == {"a": [Point(1)]}
    with pytest.raises(UnsupportedType, match=r"Bare.n has no type. Annotate it"):
        engine.literal_type(Bare)
    with pytest.raises(TypeMismatch, match=r"field .y: expected float, got str 'a'"):
        engine.to_json(Point(1, "a"), Point, context)  # type: ignore[arg-type]
    type_ = engine.literal_type(Cell[int])
    with pytest.raises(InvalidInputs, match=r"Cell refused its fields: .*'size' must be > 0"):
        engine.to_python({"content": 1, "size": 0}, type_, Cell[int], context)


# ---- protobuf
@pytest.mark.parametrize(
    "message",
    [
        descriptor_pb2.FieldDescriptorProto(
            name="n", number=3, label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED, type_name=".a.B"
        ),
        descriptor_pb2.FileDescriptorProto(message_type=[descriptor_pb2.DescriptorProto(name="M")]),
        struct_pb2.Struct(fields={"$int": struct_pb2.Value(number_value=1.5)}),
        struct_pb2.ListValue(values=[struct_pb2.Value(string_value="x"), struct_pb2.Value(bool_value=True)]),
        timestamp_pb2.Timestamp(seconds=1, nanos=5),
        duration_pb2.Duration(seconds=-3),
        descriptor_pb2.UninterpretedOption(string_value=b"\0\xff", negative_int_value=-(2**62)),
    ],
    ids=lambda m: type(m).__name__,
)
def test_messages(message: Any, trip: Trip) -> None:
    assert trip(message, type(message)) == message


def test_messages_as_json(engine: TypeEngine, context: ValueContext) -> None:
    kind = descriptor_pb2.FieldDescriptorProto
    type_ = engine.literal_type(kind)
    assert type_ == StructType(name="FieldDescriptorProto", open=True)
    assert engine.literal_type(struct_pb2.ListValue) == ANY
    given = read_text('{"name": "n", "type_name": ".a.B"}', type_, context)
    assert engine.to_python(given, type_, kind, context) == kind(name="n", type_name=".a.B")
    with pytest.raises(InvalidInputs, match=r'expected FieldDescriptorProto: .*no field named "nme"'):
        engine.to_python({"nme": "n"}, type_, kind, context)
    with pytest.raises(TypeMismatch, match="expected FieldDescriptorProto, got dict"):
        engine.to_json({}, kind, context)


# ---- iterators
def numbers(n: int) -> Iterator[int]:
    yield from range(n)


def test_iterators_are_lists_in_the_spec(engine: TypeEngine, way: ValueContext) -> None:
    assert engine.literal_type(Iterator[int]) == ListType(element=INTEGER)
    found = back(engine, numbers(3), Iterator[int], way)
    assert isinstance(found, collections.abc.Iterator)
    assert list(found) == [0, 1, 2]
    assert list(back(engine, [1, 2], Iterator[float], way)) == [1.0, 2.0]
    assert list(back(engine, (), Iterator[str], way)) == []
    with pytest.raises(TypeMismatch, match=r"expected .*Iterator\[int\], got str 'abc'"):
        engine.to_json("abc", Iterator[int], way)
    with pytest.raises(TypeMismatch, match=r"item \[1\]: expected int, got str 'x'"):
        engine.to_json(iter([1, "x"]), Iterator[int], way)


@pytest.mark.parametrize("inline_bytes", [10**6, 0])
@pytest.mark.parametrize(
    ("values", "element"),
    [
        ([], int),
        ([1], int),
        (list(range(1000)), int),
        ([1e300, -2.5e-300, 0.0] * 50, float),
        (['é"\\],' * 40, "", "[1]"] * 9, str),
        ([[1, 2], [], [3]], list[int]),
        ([{"a": [None]}, {}], dict[str, list[int | None]]),
    ],
    ids=lambda p: str(p)[:20],
)
def test_element_by_element_gives_the_same_bytes(
    values: list[Any],
    element: Any,
    inline_bytes: int,
    store: MemoryBlobStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: TypeEngine,
) -> None:
    context = ValueContext(store, tmp_path, inline_bytes)
    python_type: Any = Iterator[element]
    as_list: Any = list[element]
    literal = encode(iter(values), python_type, context)
    assert literal == encode(values, as_list, context)
    assert isinstance(literal, Inline if inline_bytes else Offloaded)
    for chunk in (1, 7, 64 * 1024):
        monkeypatch.setattr(elements, "_CHUNK", chunk)
        assert list(decode(literal, engine.literal_type(as_list), python_type, context)) == values
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_what_is_asked_for_is_read(store: MemoryBlobStore, tmp_path: Path) -> None:
    context = ValueContext(store, tmp_path, 5)
    literal = encode([1, 2, 3, 4], list[int], context)
    assert isinstance(literal, Offloaded)
    stored = decode(literal, ListType(element=INTEGER), Iterator[float], context)
    assert next(stored) == 1.0
    broken = b'[1,2,"x",4]'
    store.objects[literal.key] = broken
    literal = literal.model_copy(update={"sha256": sha256_hex(broken)})
    found = decode(literal, ListType(element=INTEGER), Iterator[int], context)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(InvalidInputs, match=r"item \[2\]: expected int, got str 'x'"):
        next(found)


def test_a_list_cut_short_is_noticed(tmp_path: Path) -> None:
    for text in ("[1,2", "[1,", '["a', "5", "[1x]"):
        file = tmp_path / "a.json"
        file.write_text(text)
        with pytest.raises(ValueError, match="the stored"):
            list(elements.array_elements(file))
    assert canonical_json([]) == b"[]"


@dataclass
class Line:
    n: int


@task
def produce(n: int) -> Iterator[Line]:
    for i in range(n):
        yield Line(i)


@task
def consume(lines: Iterator[Line]) -> int:
    return sum(line.n for line in lines)


@workflow
def count(n: int) -> int:
    return consume(lines=produce(n=n))


def test_a_generator_task() -> None:
    assert count(n=5) == 10


@task
def plot() -> Figure:
    return Figure()


def test_a_figure_is_no_input() -> None:
    @task
    def show(figure: Figure) -> None: ...

    with pytest.raises(
        CompileError, match=r"Parameter 'figure' of show\(\): a Figure leaves a task as a picture and"
    ):
        show(figure=Figure())
    assert isinstance(plot(), FlyteFile)
    assert FLOAT != INTEGER
