"""The registry of type families, and the door to every conversion.

Called by the SDK, the compiler, the runtime and the client. Conversions are compiled once per Python type and kept.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from flyte_temporal.errors import InvalidInputs, TypeMismatch, UnsupportedType
from flyte_temporal.sdk.types.adapt import adapt
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
from flyte_temporal.sdk.types.scalars import Paths, Scalars
from flyte_temporal.sdk.types.unions import Unions
from flyte_temporal.spec.types import LiteralType

__all__ = ["TypeEngine", "TypeTransformer", "ValueContext", "default_engine"]


class TypeEngine:
    """Finds the family in charge of an annotation and converts values by it."""

    def __init__(self) -> None:
        # Later registrations are asked first, so that a plug-in can take over a type.
        self._families: list[TypeFamily] = [Scalars(), Paths(), Lists(), Maps(), Unions()]
        self._compiled: dict[Any, Converter] = {}

    def register(self, family: TypeFamily) -> None:
        """Add a transformer; it is asked before all that are there.

        Args:
            family: A `TypeTransformer`, or any `TypeFamily`.
        """
        self._families.append(family)
        self._compiled.clear()

    def transformer_for(self, python_type: Any) -> TypeFamily:
        """Return the family in charge of an annotation.

        Raises:
            UnsupportedType: If there is none.
        """
        for family in reversed(self._families):
            if family.matches(python_type):
                return family
        raise UnsupportedType(f"No type transformer for {short_name(python_type)}.")

    def converter(self, python_type: Any) -> Converter:
        """Return the compiled conversion of a type.

        Raises:
            UnsupportedType: If the type, or one inside of it, has no transformer.
        """
        found = self._compiled.get(python_type)
        if found is None:
            found = self.transformer_for(python_type).converter(python_type, self)
            self._compiled[python_type] = found
        return found

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
            if written is not converter.type and written != converter.type:
                value = adapt(value, written, converter.type)
            return converter.read(value, context)
        except Misfit as error:
            raise InvalidInputs(error.message) from error.__cause__

    def coerce(self, value: Any, python_type: Any) -> Any:
        """Return what a task would receive for a value, without copying files: the value of a plain call.

        It is the round trip through JSON in memory (an int becomes a float where one is declared, a naive datetime
        UTC, a tuple a list), so that plain and durable runs cannot differ.

        Raises:
            TypeMismatch: As `to_json`.
            InvalidInputs: As `to_python`.
        """
        converter = self.converter(python_type)
        context = _in_process()
        try:
            written = converter.write(value, context)
        except Misfit as error:
            raise TypeMismatch(error.message) from error.__cause__
        try:
            return converter.read(written, context)
        except Misfit as error:
            raise InvalidInputs(error.message) from error.__cause__


@functools.cache
def _in_process() -> InProcess:
    return InProcess(blobs=None, scratch=Path(tempfile.gettempdir()))


@functools.cache
def default_engine() -> TypeEngine:
    """Return the engine of this process; plug-ins register themselves with it."""
    return TypeEngine()
