"""What people write beside a type in `Annotated`: column types, hashes, batch sizes, notes of their own.

Read by the families that they concern (`datasets`, `arrays`), by `values` (hashes) and by `sdk.interface`, which keeps
them in the spec. Apart from the families, so that an author's import of `kwtypes` brings none of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_origin

from pydantic import JsonValue, TypeAdapter, ValidationError

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.batches import BatchSize
from flyte_temporal.sdk.types.converter import Misfit, shown
from flyte_temporal.sdk.types.wrappers import metadata

T = TypeVar("T")


class _Named(OrderedDict[str, Any]):
    """Can be hashed, because `Annotated[T, kwtypes(…)] | None` hashes it; nobody changes it."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


def kwtypes(**types: Any) -> OrderedDict[str, Any]:
    """Return names with types in their order: the columns of a dataset, or options of an array.

    Args:
        types: Column name → Python type, as in `Annotated[pd.DataFrame, kwtypes(age=int, name=str)]`.
    """
    return _Named(types)


@dataclass(frozen=True)
class HashMethod(Generic[T]):
    """How to hash a value for the cache, as in `Annotated[pd.DataFrame, HashMethod(my_hash)]`.

    The text that it returns stands for the value in cache keys, in place of where the value is stored.

    Args:
        function: Takes the value, returns its hash as text.
    """

    function: Callable[[T], str]

    def calculate(self, value: T) -> str:
        """Return the hash of a value.

        Raises:
            Misfit: If the function returned something else than text.
        """
        found: object = self.function(value)
        if not isinstance(found, str):
            name = getattr(self.function, "__name__", "the function")
            raise Misfit(
                f"expected the hash from {name}() to be str, got {type(found).__name__} {shown(found)}"
            )
        return found


class FlyteAnnotation:
    """A note of the author's own on an input or output, kept in the spec.

    Args:
        data: JSON data.

    Raises:
        CompileError: If it is no JSON.
    """

    def __init__(self, data: Any) -> None:
        try:
            self.data: JsonValue = _json().validate_python(data)
        except ValidationError:
            raise CompileError(
                f"FlyteAnnotation takes JSON (dict, list, str, int, float, bool, None), not {shown(data)}.",
                call_site(),
            ) from None

    def __repr__(self) -> str:
        return f"FlyteAnnotation({self.data!r})"


@functools.cache
def _json() -> TypeAdapter[JsonValue]:
    return TypeAdapter(JsonValue)  # 6 ms, which only those pay who write an annotation


def kept(python_type: Any) -> dict[str, JsonValue]:
    """Return what the interface keeps of an annotation's notes: `annotation`, `batch_size`, `hash_method`.

    An object with a method `variable_metadata` (an artifact, one of a plug-in) says itself what is kept of it.

    Raises:
        CompileError: If there are two notes that cannot be merged into one.
    """
    found: dict[str, JsonValue] = {}
    for item in metadata(python_type):
        match item:
            case FlyteAnnotation():
                found["annotation"] = _merged(found.get("annotation"), item.data)
            case BatchSize():
                found["batch_size"] = item.val
            case _ if not isinstance(item, type) and hasattr(type(item), "variable_metadata"):
                found.update(item.variable_metadata())
            case HashMethod():
                found["hash_method"] = getattr(item.function, "__qualname__", type(item.function).__name__)
    return found


def _merged(first: JsonValue, second: JsonValue) -> JsonValue:
    if first is None:
        return second
    if isinstance(first, dict) and isinstance(second, dict):
        return first | second
    raise CompileError("Two FlyteAnnotations of one input or output must both be dicts; write one of them.")


def has_hash(python_type: Any) -> bool:
    """Return whether an annotation, or that of the elements of a list, has a `HashMethod`."""
    if any(isinstance(item, HashMethod) for item in metadata(python_type)):
        return True
    return get_origin(python_type) is list and has_hash(get_args(python_type)[0])


def hash_of(value: Any, python_type: Any) -> str | None:
    """Return the hash that the annotation's `HashMethod` gives a value, or None if it has none.

    A list whose elements have one is hashed by theirs. An iterator has none: to hash it would be to read it to its end.

    Raises:
        Misfit: If a function returned no text.
    """
    if isinstance(value, Iterator):
        return None
    for item in metadata(python_type):
        if isinstance(item, HashMethod):
            return item.calculate(value)
    if get_origin(python_type) is list and isinstance(value, list | tuple):
        (element,) = get_args(python_type)
        if any(isinstance(item, HashMethod) for item in metadata(element)):
            hashes = [hash_of(item, element) or "" for item in value]
            return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return None


def options(python_type: Any) -> Mapping[str, Any]:
    """Return the names and values of the `kwtypes` beside a type; empty if there are none."""
    return next((item for item in metadata(python_type) if isinstance(item, dict)), {})
