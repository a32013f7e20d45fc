"""numpy arrays as `.npy` files, never pickled. numpy is imported when an array type is met."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

from flyte_temporal.errors import UnsupportedType
from flyte_temporal.sdk.types import stored
from flyte_temporal.sdk.types.annotations import options
from flyte_temporal.sdk.types.converter import (
    Converter,
    Converters,
    Held,
    InProcess,
    Misfit,
    TypeFamily,
    ValueContext,
    misfit,
)
from flyte_temporal.sdk.types.wrappers import unwrapped
from flyte_temporal.spec.types import BlobType

_MODES = ("r", "r+", "c")


class Arrays(TypeFamily):
    """`numpy.ndarray`, and `numpy.typing.NDArray[T]`, whose element type is then checked.

    `Annotated[np.ndarray, kwtypes(mmap_mode="r")]` opens the file as a memory map.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is an array type, also with options, without importing numpy."""
        inner = unwrapped(python_type)
        cls = get_origin(inner) or inner
        return isinstance(cls, type) and (cls.__module__, cls.__name__) == ("numpy", "ndarray")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one element type and one way of opening."""
        import numpy as np

        mode = _mode(options(python_type))
        element = _element(unwrapped(python_type))

        def write(value: Any, context: ValueContext) -> Any:
            if type(value) is not np.ndarray:
                raise misfit("ndarray", value)
            if element is not None and not np.issubdtype(value.dtype, element):
                raise Misfit(
                    f"expected an array of {element.__name__}, got one of {value.dtype}; convert it with "
                    f"astype({element.__name__})"
                )
            if value.dtype.hasobject:
                raise Misfit(f"{_NO_OBJECTS}; give it a dtype of numbers, text or bytes, or return a list")
            if isinstance(context, InProcess):
                return Held(value.copy(order="K"))
            file = stored.store(lambda path: _save(path, value), "array.npy", "npy", context)
            return file.model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> Any:
            if isinstance(value, Held):
                return value.value.copy(order="K")
            file = stored.file_value(value, "an array")
            with stored.fetched(file, context, "array", keep=mode is not None) as path:
                return _load(path, mode, file.uri)

        return Converter(BlobType(format="npy"), write, read, lambda value: type(value) is np.ndarray)


_NO_OBJECTS = "an array of Python objects would have to be pickled"


def _save(path: Path, value: Any) -> None:
    import numpy as np

    np.save(path, value, allow_pickle=False)


def _load(path: Path, mode: Any, uri: str) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False, mmap_mode=mode)
    except (ValueError, EOFError) as error:
        raise Misfit(f"the array {uri!r} cannot be read as .npy: {error}") from error


def _mode(given: Any) -> str | None:
    for name, value in given.items():
        if name == "allow_pickle" and value:
            raise UnsupportedType(
                f"allow_pickle cannot be set: {_NO_OBJECTS}. Declare a list, or FlytePickle[np.ndarray]."
            )
        if name not in {"allow_pickle", "mmap_mode"}:
            raise UnsupportedType(f"An array has no option {name!r}; there are: mmap_mode.")
    mode = given.get("mmap_mode")
    if mode is not None and mode not in _MODES:
        raise UnsupportedType(f"mmap_mode must be one of {', '.join(map(repr, _MODES))}, not {mode!r}.")
    return mode  # type: ignore[no-any-return]


def _element(inner: Any) -> Any:
    """Return the scalar type of `NDArray[T]`, or None if any will do."""
    arguments = get_args(inner)
    if len(arguments) < 2:
        return None
    found = next(iter(get_args(arguments[1])), None)
    return found if isinstance(found, type) else None
