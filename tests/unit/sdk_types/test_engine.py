from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Any, TypeVar

import pytest

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.converter import Converters
from flyte_temporal.sdk.types.engine import TypeEngine, TypeTransformer, ValueContext, default_engine
from flyte_temporal.spec.types import STRING, ListType, LiteralType


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Celsius) and other.degrees == self.degrees

    __hash__ = None  # type: ignore[assignment]


class CelsiusTransformer(TypeTransformer[Celsius]):
    def matches(self, python_type: Any) -> bool:
        return python_type is Celsius

    def literal_type(self, python_type: Any, engine: Converters) -> LiteralType:
        return STRING

    def to_json(self, value: Celsius, python_type: Any, context: ValueContext) -> str:
        if not isinstance(value, Celsius):
            raise TypeError(f"expected Celsius, got {value!r}")
        return f"{value.degrees} °C"

    def to_python(self, value: Any, written: LiteralType, python_type: Any, context: ValueContext) -> Celsius:
        return Celsius(float(value.removesuffix(" °C")))


@pytest.fixture
def own() -> TypeEngine:
    return TypeEngine()


def test_a_registered_transformer_works_inside_of_other_types(own: TypeEngine, context: ValueContext) -> None:
    own.register(CelsiusTransformer())
    type_ = own.literal_type(list[Celsius | None])
    written = own.to_json([Celsius(20.5), None], list[Celsius | None], context)
    assert written == ["20.5 °C", None]
    assert own.to_python(written, type_, list[Celsius | None], context) == [Celsius(20.5), None]


def test_errors_of_a_plug_in_say_where(own: TypeEngine, context: ValueContext) -> None:
    own.register(CelsiusTransformer())
    with pytest.raises(TypeMismatch) as given:
        own.to_json([Celsius(1), 5], list[Celsius], context)
    assert given.value.message == "item [1]: expected Celsius, got 5"
    with pytest.raises(InvalidInputs, match=r"item \[0\]: could not convert string to float: 'hot'"):
        own.to_python(["hot"], ListType(element=STRING), list[Celsius], context)


def test_a_plain_call_hands_the_value_of_a_plug_in_on(own: TypeEngine) -> None:
    own.register(CelsiusTransformer())
    value = Celsius(1)
    assert own.coerce([value], list[Celsius])[0] is value
    with pytest.raises(TypeMismatch, match="expected Celsius, got int 5"):
        own.coerce(5, Celsius)


def test_the_newest_registration_wins_and_replaces_what_was_compiled(
    own: TypeEngine, context: ValueContext
) -> None:
    class Shouting(CelsiusTransformer):
        def matches(self, python_type: Any) -> bool:
            return python_type is str

        def to_json(self, value: Any, python_type: Any, context: ValueContext) -> str:
            return str(value).upper()

    assert own.to_json(["a"], list[str], context) == ["a"]
    own.register(Shouting())
    assert own.to_json(["a"], list[str], context) == ["A"]


def test_unknown_types_say_what_to_do(own: TypeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for odd in (object, TypeVar("T"), 5, ..., type):
        with pytest.raises(UnsupportedType, match="No type transformer for"):
            own.literal_type(odd)
    with pytest.raises(UnsupportedType, match="'Celsius' is text that could not be resolved"):
        own.literal_type("Celsius")
    monkeypatch.setenv("FLYTE_TEMPORAL_PICKLE", "known")
    with pytest.raises(UnsupportedType) as caught:
        own.literal_type(dict[str, list[Celsius]])
    assert caught.value.message == (
        "Celsius would travel as a pickle, which FLYTE_TEMPORAL_PICKLE=known forbids. Use one of the types in "
        "docs/types.md, or register a TypeTransformer for it."
    )


class _Entry:
    """An entry point of an installed plug-in."""

    value = "heat:CelsiusTransformer"

    def __init__(self, name: str, loaded: object) -> None:
        self.name = name
        self._loaded = loaded

    def load(self) -> object:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def _install(monkeypatch: pytest.MonkeyPatch, *loaded: object) -> list[str]:
    asked: list[str] = []

    def entry_points(*, group: str) -> list[_Entry]:
        asked.append(group)
        return [_Entry(f"p{i}", item) for i, item in enumerate(loaded)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return asked


def test_plug_ins_are_looked_for_when_a_type_is_unknown(
    own: TypeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _install(monkeypatch, CelsiusTransformer)
    assert own.literal_type(list[int]) is not None
    assert asked == []
    assert own.literal_type(list[Celsius]) == ListType(element=STRING)
    assert own.literal_type(Celsius) == STRING
    assert asked == ["flyte_temporal.types"]


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (
            ImportError("no module named heat"),
            r"'p0' \(heat:CelsiusTransformer\) .* cannot be loaded: no module",
        ),
        (int, "'p0' .* is a int, not a TypeTransformer"),
    ],
)
def test_a_broken_plug_in_is_named(
    loaded: object, message: str, own: TypeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, loaded)
    with pytest.raises(UnsupportedType, match=message):
        own.literal_type(Celsius)


def test_there_is_one_engine_per_process() -> None:
    assert default_engine() is default_engine()


def test_heavy_packages_are_not_imported_until_a_value_needs_them() -> None:
    code = (
        "import sys\n"
        "from flyte_temporal.sdk.types import values, text, display, conform, file, datasets\n"
        "from flyte_temporal.sdk.types.engine import default_engine\n"
        "default_engine().literal_type(dict[str, list[file.FlyteFile]])\n"
        "print([m for m in ('pandas', 'pyarrow', 'numpy', 'fsspec', 'urllib.request') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
