"""Images of Pillow and figures of matplotlib as picture files. Neither package is imported before a value is met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from flyte_temporal.sdk.types.file import FlyteFile
from flyte_temporal.sdk.types.wrappers import unwrapped
from flyte_temporal.spec.types import BlobType

_LOSSLESS = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Modes of an image that a PNG keeps as they are."""


class Images(TypeFamily):
    """`PIL.Image.Image`, as PNG."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is Pillow's class, without importing Pillow."""
        return _is_named(python_type, "PIL.Image", "Image")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile; every image is written as PNG."""

        def write(value: Any, context: ValueContext) -> Any:
            if not isinstance(value, python_type):
                raise misfit("Image", value)
            if value.mode not in _LOSSLESS:
                raise Misfit(
                    f"an image of the mode {value.mode!r} would lose data as PNG; call convert() with one of "
                    f"{', '.join(_LOSSLESS)} before"
                )
            if isinstance(context, InProcess):
                return Held(value.copy())

            def save(path: Path) -> None:
                value.save(path, format="PNG")

            return stored.store(save, "image.png", "png", context).model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> Any:
            if isinstance(value, Held):
                return value.value.copy()
            file = stored.file_value(value, "an image")
            with stored.fetched(file, context, "image") as path:
                return _opened(path, file.uri)

        return Converter(BlobType(format="png"), write, read, lambda value: isinstance(value, python_type))


def _opened(path: Path, uri: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.copy()
    except (UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise Misfit(f"the image {uri!r} cannot be read: {error}") from error


class Figures(TypeFamily):
    """`matplotlib.figure.Figure`: leaves a task as a picture, PNG or, by `kwtypes(format="svg")`, SVG.

    A picture does not become a figure again: the receiver gets the file, and declares `FlyteFile["png"]` or an image.
    """

    def matches(self, python_type: Any) -> bool:
        """Return whether it is matplotlib's class, also with options, without importing matplotlib."""
        return _is_named(unwrapped(python_type), "matplotlib.figure", "Figure")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one format."""
        format_ = options(python_type).get("format", "png")
        if format_ not in {"png", "svg"}:
            raise UnsupportedType(f"A figure can be written as 'png' or 'svg', not as {format_!r}.")
        cls = unwrapped(python_type)

        def write(value: Any, context: ValueContext) -> Any:
            if isinstance(value, FlyteFile) and (found := value.reference()) is not None:
                return found.model_dump(mode="json")  # it passes through
            if not isinstance(value, cls):
                raise misfit("Figure", value)

            def save(path: Path) -> None:
                value.savefig(path, format=format_, metadata=_UNDATED[format_])

            return stored.store(save, f"figure.{format_}", format_, context).model_dump(mode="json")

        def read(value: Any, context: ValueContext) -> FlyteFile:
            return FlyteFile.of(stored.file_value(value, "a figure"), context)

        def exact(value: Any) -> bool:
            return isinstance(value, cls)

        return Converter(BlobType(format=format_), write, read, exact, only_output=_ONLY_OUTPUT)


_UNDATED: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}}
"""Metadata without a date, so that the same figure gives the same bytes."""

_ONLY_OUTPUT = "a Figure leaves a task as a picture and cannot be an input. Declare FlyteFile['png'] or PIL.Image.Image there"


def _is_named(python_type: Any, module: str, name: str) -> bool:
    return isinstance(python_type, type) and (python_type.__module__, python_type.__name__) == (module, name)
