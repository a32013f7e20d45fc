"""The registry of type families, and the door to every conversion.

Called by the SDK, the compiler, the runtime and the client. Conversions are compiled once per Python type and kept.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.arrays import Arrays
from flyte_temporal.sdk.types.attrs_classes import AttrsClasses
from flyte_temporal.sdk.types.blobs import Directories, Files, Handles
from flyte_temporal.sdk.types.choices import Enums, Literals
from flyte_temporal.sdk.types.containers import Lists, Maps
from flyte_temporal.sdk.types.converter import (
    Converter,
    InProcess,
    Misfit,
    TypeFamily,
    TypeTransformer,
    ValueContext,
    short_name,
)
from flyte_temporal.sdk.types.dataset_registry import StructuredDatasetTransformerEngine
from flyte_temporal.sdk.types.datasets import Datasets
from flyte_temporal.sdk.types.dictionaries import TypedDicts
from flyte_temporal.sdk.types.error import Errors
from flyte_temporal.sdk.types.estimators import Estimators, Tensors, TorchModules
from flyte_temporal.sdk.types.identity import identity
from flyte_temporal.sdk.types.iterators import Iterators
from flyte_temporal.sdk.types.messages import Messages
from flyte_temporal.sdk.types.models import Models
from flyte_temporal.sdk.types.pickles import ExplicitPickles, Pickles
from flyte_temporal.sdk.types.pictures import Figures, Images
from flyte_temporal.sdk.types.plain import PlainData
from flyte_temporal.sdk.types.plugins import plugged_in
from flyte_temporal.sdk.types.scalars import Paths, Scalars
from flyte_temporal.sdk.types.structs import Dataclasses
from flyte_temporal.sdk.types.times import Times
from flyte_temporal.sdk.types.transfer import own_scratch
from flyte_temporal.sdk.types.tuples import NamedTuples, Tuples
from flyte_temporal.sdk.types.unions import Unions
from flyte_temporal.sdk.types.wrappers import Wrappers
from flyte_temporal.spec.types import LiteralType

__all__ = ["TypeEngine", "TypeTransformer", "ValueContext", "default_engine"]

_BUILT_IN: tuple[type[TypeFamily], ...] = (
    Scalars,
    Times,
    Paths,
    Enums,
    Literals,
    Lists,
    Maps,
    PlainData,
    Tuples,
    NamedTuples,
    Unions,
    Errors,
    TypedDicts,
    AttrsClasses,
    Dataclasses,
    Models,
    Messages,
    Iterators,
    Arrays,
    Datasets,
    Figures,
    Images,
    Estimators,
    Tensors,
    TorchModules,
    ExplicitPickles,
    Wrappers,
    Files,
    Directories,
    Handles,
)


class TypeEngine:
    """Finds the family in charge of an annotation and converts values by it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._built_in = [family() for family in _BUILT_IN]
        self._registered: list[TypeFamily] = []
        self._plugins: set[str] = set()
        self._fallback = Pickles()
        self._compiled: dict[Any, tuple[Converter, Any]] = {}
        self._compiling: list[Any] = []
        self._lock = threading.RLock()

    def register(self, family: TypeFamily) -> None:
        """Add a transformer; it is asked before all that are there, so it can take over a type.

        Args:
            family: A `TypeTransformer`, or any `TypeFamily`.
        """
        with self._lock:
            self._registered.append(family)
            self._compiled.clear()

    def transformer_for(self, python_type: Any) -> TypeFamily:
        """Return the family in charge of an annotation.

        Raises:
            UnsupportedType: If there is none, also among the installed plug-ins.
        """
        found = self._find(python_type)
        if found is None and self._plug_in(python_type):
            found = self._find(python_type)
        if found is None and self._fallback.matches(python_type):
            found = self._fallback
        if found is None:
            raise UnsupportedType(_unsupported(python_type))
        return found

    def _plug_in(self, python_type: Any) -> bool:
        """Load the plug-ins that may know a type; return whether there are new ones."""
        found = plugged_in(python_type, self._plugins)
        for name, made in found:
            if isinstance(made, TypeFamily):
                # they come last: what was registered by hand, or is built in, stays
                self._registered.insert(0, made)
            elif not StructuredDatasetTransformerEngine.adopt(made):
                raise UnsupportedType(
                    f"The plug-in {name} is a {type(made).__name__}, not a TypeTransformer."
                )
        return bool(found)

    def warnings(self) -> list[str]:
        """Return what to warn of since the last call: types that are pickled because nothing knows them."""
        return self._fallback.warnings()

    def _find(self, python_type: Any) -> TypeFamily | None:
        for family in (*reversed(self._registered), *self._built_in):
            if family.matches(python_type):
                return family
        return None

    def converter(self, python_type: Any) -> Converter:
        """Return the compiled conversion of a type.

        Raises:
            UnsupportedType: If the type, or one inside of it, has no transformer.
        """
        key = identity(python_type)
        try:
            hash(key)
        except TypeError:
            return self.transformer_for(python_type).converter(python_type, self)
        found = self._compiled.get(key)
        if found is None:
            with self._lock:
                # the annotation is kept, because its key may hold the id of something inside of it
                found = self._compiled[key] = (self._compile(key, python_type), python_type)
        return found[0]

    def _compile(self, key: Any, python_type: Any) -> Converter:
        if key in self._compiling:
            raise UnsupportedType(
                f"{short_name(python_type)} contains itself. Types of the spec are finite: keep the nested part in a "
                "`dict` or `list`, or in a flat list with references by key."
            )
        self._compiling.append(key)
        try:
            return self.transformer_for(python_type).converter(python_type, self)
        finally:
            self._compiling.pop()

    def literal_type(self, python_type: Any) -> LiteralType:
        """Return the spec's type of an annotation.

        Raises:
            UnsupportedType: If the type, or one inside of it, has no transformer.
        """
        return self.converter(python_type).type

    def to_json(self, value: Any, python_type: Any, context: ValueContext) -> Any:
        """Return a value as JSON of its declared type.

        Raises:
            TypeMismatch: If the value does not fit; the message says where inside of it.
            StorageError: If a file could not be uploaded.
        """
        converter = self.converter(python_type)
        try:
            return converter.write(value, context)
        except Misfit as error:
            raise TypeMismatch(error.message) from error.__cause__
        except RecursionError as error:
            raise TypeMismatch(
                f"the {type(value).__name__} contains itself, or is nested too deeply to be written"
            ) from error

    def to_python(self, value: Any, written: LiteralType, python_type: Any, context: ValueContext) -> Any:
        """Return the Python value of some JSON.

        Args:
            value: The JSON.
            written: The type by which it was written; it may differ from the declared one as far as an edge may.
            python_type: The declared annotation.
            context: Where files come from.

        Raises:
            InvalidInputs: If the JSON does not fit, or a validator of the user's model refuses it.
        """
        converter = self.converter(python_type)
        try:
            if written is not converter.type:
                value = adapt(value, written, converter.type)
            return converter.read(value, context)
        except Misfit as error:
            raise InvalidInputs(error.message) from error.__cause__

    def coerce(self, value: Any, python_type: Any) -> Any:
        """Return what a task would receive for a value in a plain call.

        It is the round trip through JSON in memory (an int becomes a float where one is declared, a naive datetime
        UTC, a tuple a list), so that plain and durable runs cannot differ.

        Raises:
            TypeMismatch: As `to_json`.
            InvalidInputs: As `to_python`.
        """
        written = self.to_json(value, python_type, _in_process())
        return self.to_python(written, self.converter(python_type).type, python_type, _in_process())


def _unsupported(python_type: Any) -> str:
    if isinstance(python_type, str):
        return f"The annotation {python_type!r} is text that could not be resolved; import what it names."
    return (
        f"No type transformer for {short_name(python_type)}. Use one of the types in docs/types.md, or register a "
        "TypeTransformer for it."
    )


@functools.cache
def _in_process() -> InProcess:
    return InProcess(blobs=None, scratch=own_scratch())


@functools.cache
def default_engine() -> TypeEngine:
    """Return the engine of this process; plug-ins register themselves with it."""
    return TypeEngine()
