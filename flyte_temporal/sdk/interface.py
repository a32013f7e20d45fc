"""A Python signature → the interface of the spec. Called once for each entity, when something first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flyte_temporal.errors import CompileError, UnsupportedType
from flyte_temporal.sdk import docstrings
from flyte_temporal.sdk.callsite import definition_site
from flyte_temporal.sdk.constants import constant_json
from flyte_temporal.sdk.signature import REQUIRED, Parameter, Signature
from flyte_temporal.sdk.types.engine import default_engine
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


def _metadata(annotation: Any) -> dict[str, Any]:
    """Return what objects in `Annotated` want the interface to keep: those with a method `variable_metadata`."""
    kept: dict[str, Any] = {}
    for item in getattr(annotation, "__metadata__", ()):
        if not isinstance(item, type) and callable(getattr(type(item), "variable_metadata", None)):
            kept.update(item.variable_metadata())
    return kept


class _Reader:
    def __init__(self, function: Callable[..., Any], where: str) -> None:
        self._name = getattr(function, "__name__", repr(function))
        self._where = where or definition_site(function)
        self._docs = docstrings.parse(function.__doc__)

    def input(self, p: Parameter) -> Variable:
        type_ = self._type(p.annotation, f"Parameter {p.name!r}")
        default = None if p.default is REQUIRED else Default(value=self._default(p, type_))
        return Variable(
            name=p.name,
            type=type_,
            description=self._docs.inputs.get(p.name, ""),
            default=default,
            metadata=_metadata(p.annotation),
        )

    def output(self, name: str, annotation: Any, count: int) -> Variable:
        description = self._docs.outputs.get(name) or (self._docs.returns if count == 1 else "")
        return Variable(
            name=name,
            type=self._type(annotation, f"Output {name!r}"),
            description=description,
            metadata=_metadata(annotation),
        )

    def _type(self, annotation: Any, what: str) -> LiteralType:
        try:
            return default_engine().literal_type(annotation)
        except UnsupportedType as error:
            raise UnsupportedType(f"{what} of {self._name}(): {error.message}", self._where) from error

    def _default(self, p: Parameter, type_: LiteralType) -> Any:
        try:
            return constant_json(p.default, p.annotation, type_)
        except CompileError as error:
            raise type(error)(
                f"The default of parameter {p.name!r} of {self._name}() cannot be used: {error.message}.",
                self._where,
            ) from error
