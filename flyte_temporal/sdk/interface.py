"""A Python signature → the interface of the spec. Called once for each entity, when something first asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from flyte_temporal.errors import CompileError, UnsupportedType
from flyte_temporal.sdk import docstrings
from flyte_temporal.sdk.callsite import definition_site
from flyte_temporal.sdk.constants import constant_hash, constant_json
from flyte_temporal.sdk.signature import REQUIRED, Parameter, Signature
from flyte_temporal.sdk.types.annotations import kept
from flyte_temporal.sdk.types.blobs import has_handle
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.sdk.types.pickles import PickleWarning
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.types import LiteralType


def read_interface(signature: Signature, function: Callable[..., Any], where: str = "") -> Interface:
    """Return the interface of a function with descriptions from its docstring.

    Args:
        signature: Its Python side.
        function: The function, or what has a name and a docstring in place of one.
        where: File and line for messages; by default those of the function.

    Raises:
        UnsupportedType: If an annotation has no transformer; names the parameter or output.
        CompileError: If a default does not fit its type.
    """
    reader = _Reader(function, where)
    return Interface(
        inputs=tuple(reader.input(p) for p in signature.parameters.values()),
        outputs=tuple(reader.output(n, t, len(signature.outputs)) for n, t in signature.outputs.items()),
    )


class _Reader:
    def __init__(self, function: Callable[..., Any], where: str) -> None:
        self._name = getattr(function, "__name__", repr(function))
        self._where = where or definition_site(function)
        self._docs = docstrings.parse(function.__doc__)

    def input(self, p: Parameter) -> Variable:
        what = f"Parameter {p.name!r}"
        type_ = self._type(p.annotation, what)
        if only_output := default_engine().converter(p.annotation).only_output:
            raise UnsupportedType(f"{what} of {self._name}(): {only_output}.", self._where)
        default = None if p.default is REQUIRED else self._default(p, type_)
        return Variable(
            name=p.name,
            type=type_,
            description=self._docs.inputs.get(p.name, ""),
            default=default,
            metadata=self._kept(p.annotation, what),
        )

    def output(self, name: str, annotation: Any, count: int) -> Variable:
        description = self._docs.outputs.get(name) or (self._docs.returns if count == 1 else "")
        if has_handle(annotation):
            raise CompileError(
                f"Output {name!r} of {self._name}() is an open stream, which cannot leave a task. Return a FlyteFile: "
                '`file = FlyteFile.new_remote_file("name")`, written by `with file.open("w") as stream:`.',
                self._where,
            )
        what = f"Output {name!r}"
        type_, notes = self._type(annotation, what), self._kept(annotation, what)
        return Variable(name=name, type=type_, description=description, metadata=notes)

    def _kept(self, annotation: Any, what: str) -> dict[str, JsonValue]:
        try:
            return kept(annotation)
        except CompileError as error:
            raise CompileError(f"{what} of {self._name}(): {error.message}", self._where) from error

    def _type(self, annotation: Any, what: str) -> LiteralType:
        try:
            return default_engine().literal_type(annotation)
        except UnsupportedType as error:
            raise UnsupportedType(f"{what} of {self._name}(): {error.message}", self._where) from error
        finally:
            for message in default_engine().warnings():
                self._warn(f"{what} of {self._name}(): {message}")

    def _warn(self, message: str) -> None:
        """Warn at the line of the user's function: who called the compiler says nothing to anybody."""
        file, _, line = self._where.rpartition(":")
        warnings.warn_explicit(message, PickleWarning, file or self._name, int(line or 0))

    def _default(self, p: Parameter, type_: LiteralType) -> Default:
        try:
            value = constant_json(p.default, p.annotation, type_)
            return Default(value=value, hash=constant_hash(p.default, p.annotation))
        except CompileError as error:
            raise type(error)(
                f"The default of parameter {p.name!r} of {self._name}() cannot be used: {error.message}.",
                self._where,
            ) from error
