"""Annotations that stand for another type: `Annotated`, `NewType`, `type X = …`, type variables with a default."""

from __future__ import annotations

from typing import Annotated, Any, NewType, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from flyte_temporal.sdk.types.converter import Converter, Converters, Misfit, TypeFamily, ValueContext
from flyte_temporal.sdk.types.directory import BatchSize, FlyteDirectory, variant


class Wrappers(TypeFamily):
    """Unwraps an annotation. Constraints of pydantic in `Annotated` (`Field(gt=0)`) are checked when a value is read."""

    def matches(self, python_type: Any) -> bool:
        """Return whether the annotation stands for another one."""
        return _inner(python_type) is not None

    def converter(self, python_type: Any, engine: Converters) -> Converter:
        """Return the converter of the type inside."""
        inner = engine.converter(_batched(python_type))
        if get_origin(python_type) is Annotated and any(map(_is_constraint, python_type.__metadata__)):
            return _constrained(python_type, inner)
        return inner


def metadata(python_type: Any) -> tuple[Any, ...]:
    """Return what stands beside the type in `Annotated`, outermost first; empty for other annotations."""
    return tuple(getattr(python_type, "__metadata__", ())) if get_origin(python_type) is Annotated else ()


def unwrapped(python_type: Any) -> Any:
    """Return the type that an annotation stands for."""
    while (inner := _inner(python_type)) is not None:
        python_type = inner
    return python_type


def _inner(python_type: Any) -> Any:
    if get_origin(python_type) is Annotated:
        return python_type.__origin__
    if isinstance(python_type, NewType):
        return python_type.__supertype__
    if isinstance(python_type, TypeVar):
        return python_type.__bound__
    alias = get_origin(python_type) or python_type
    if type(alias).__name__ == "TypeAliasType":  # `type X = …` of Python 3.12, or of typing_extensions
        value = alias.__value__
        return value[get_args(python_type)] if get_args(python_type) else value
    return None


def _batched(python_type: Any) -> Any:
    """Return the type inside; a directory's knows the `BatchSize` that stands beside it."""
    inner = _inner(python_type)
    sizes = [item.val for item in metadata(python_type) if isinstance(item, BatchSize)]
    if sizes and isinstance(inner, type) and issubclass(inner, FlyteDirectory):
        return variant(inner.format, sizes[0])
    return inner


def _is_constraint(item: Any) -> bool:
    if isinstance(item, FieldInfo):
        return bool(item.metadata)
    root = type(item).__module__.partition(".")[0]
    return root == "annotated_types" or hasattr(item, "__get_pydantic_core_schema__")


def _constrained(python_type: Any, inner: Converter) -> Converter:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(python_type)
    except PydanticSchemaGenerationError:
        return inner

    def read(value: Any, context: ValueContext) -> Any:
        done = inner.read(value, context)
        try:
            return adapter.validate_python(done)
        except ValidationError as error:
            problems = "; ".join(problem["msg"] for problem in error.errors(include_url=False))
            raise Misfit(f"{done!r} is refused: {problems}") from error

    return Converter(inner.type, inner.write, read, inner.exact)
