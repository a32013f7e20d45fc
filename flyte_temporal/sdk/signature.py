"""A function's signature as Python sees it: parameters, outputs by name, and how several outputs come back.

Called by `interface` (which adds the types of the spec) and wherever values go in or out of a function. Apart from
`interface` because a task that runs in a container needs the Python types and not the spec's.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import definition_site

REQUIRED: Any = inspect.Parameter.empty
"""Default of a parameter that has none."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, its annotation, and its default or `REQUIRED`."""

    name: str
    annotation: Any
    default: Any = REQUIRED


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives.

    Args:
        parameters: By name, in order.
        outputs: Python type of each output by name: `o0`, `o1`, … or the fields of a NamedTuple.
        form: How the function returns them: nothing, one value, or a tuple.
        named: The NamedTuple class, if it returns one.
    """

    parameters: Mapping[str, Parameter]
    outputs: Mapping[str, Any]
    form: Literal["none", "single", "tuple"]
    named: type | None = None

    def assemble(self, values: Mapping[str, Any]) -> Any:
        """Return output values by name as the function would have returned them."""
        if self.form == "none":
            return None
        ordered = [values[name] for name in self.outputs]
        if self.form == "single":
            return ordered[0]
        return tuple(ordered) if self.named is None else self.named(*ordered)

    def take_apart(self, returned: Any) -> dict[str, Any]:
        """Return what a function returned as values by output name.

        Raises:
            ValueError: If the number of values is not that of the declared outputs; the message says both.
        """
        if self.form == "none":
            if returned is not None:
                raise ValueError(f"it is declared to return nothing, but returned {type(returned).__name__}")
            return {}
        if self.form == "single":
            return {next(iter(self.outputs)): returned}
        if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
            raise ValueError(
                f"it is declared to return {len(self.outputs)} values, but returned {type(returned).__name__}"
            )
        values = list(returned)
        if len(values) != len(self.outputs):
            raise ValueError(
                f"it is declared to return {len(self.outputs)} values, but returned {len(values)}"
            )
        return dict(zip(self.outputs, values, strict=True))


def read_signature(function: Callable[..., Any], untyped: Any = None) -> Signature:
    """Return the signature of a task's or workflow's function.

    Args:
        function: The function.
        untyped: What an annotation is taken to be where there is none; None = there must be one.

    Raises:
        CompileError: If a parameter has no annotation, an annotation cannot be resolved, the function takes `*args` or
            `**kwargs`, or it returns a value without saying of which type.
    """
    name = getattr(function, "__name__", repr(function))
    where = definition_site(function)
    hints = _hints(function, name, where)
    if untyped is not None:
        hints = _completed(hints, function, untyped)
    parameters = {
        p.name: _parameter(p, hints, name, where) for p in inspect.signature(function).parameters.values()
    }
    if "return" not in hints and _returns_value(function):
        raise CompileError(
            f"{name}() returns a value but declares no return type. Write the type, for example "
            f"`def {name}(...) -> int:`, or `-> None` and return nothing.",
            where,
        )
    outputs, form, named = _outputs(hints.get("return"), name, where)
    return Signature(parameters, outputs, form, named)


def _hints(function: Callable[..., Any], name: str, where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise CompileError(
            f"The annotations of {name}() cannot be read: {error}. Import the names that they use where the "
            "module can see them at run time (not only under TYPE_CHECKING).",
            where,
        ) from error


def _completed(hints: dict[str, Any], function: Callable[..., Any], untyped: Any) -> dict[str, Any]:
    names = list(inspect.signature(function).parameters)
    if _returns_value(function):
        names.append("return")
    return {name: untyped for name in names if name not in hints} | hints


def _parameter(p: inspect.Parameter, hints: dict[str, Any], function: str, where: str) -> Parameter:
    if p.kind in {p.VAR_POSITIONAL, p.VAR_KEYWORD}:
        star = "*" if p.kind is p.VAR_POSITIONAL else "**"
        raise CompileError(
            f"{function}() takes {star}{p.name}, whose number and types are not known before it runs. Write out "
            f"the parameters, or take one list or dict.",
            where,
        )
    if p.kind is p.POSITIONAL_ONLY:
        raise CompileError(
            f"Parameter {p.name!r} of {function}() is positional-only; inputs are given by name. Remove the `/`.",
            where,
        )
    if p.name not in hints:
        raise CompileError(
            f"Parameter {p.name!r} of {function}() has no type annotation. Write one, for example `{p.name}: int`.",
            where,
        )
    return Parameter(p.name, hints[p.name], p.default)


def _outputs(
    annotation: Any, function: str, where: str
) -> tuple[dict[str, Any], Literal["none", "single", "tuple"], type | None]:
    if annotation is None or annotation is types.NoneType:
        return {}, "none", None
    if is_named_tuple(annotation):
        fields = typing.get_type_hints(annotation, include_extras=True)
        untyped = [f for f in annotation._fields if f not in fields]
        if untyped:
            raise CompileError(
                f"{function}() returns {annotation.__name__}, whose field {untyped[0]!r} has no type. Use "
                "typing.NamedTuple and annotate every field.",
                where,
            )
        return {f: fields[f] for f in annotation._fields}, "tuple", annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments and Ellipsis not in arguments:
        return {f"o{i}": a for i, a in enumerate(arguments)}, "tuple", None
    return {"o0": annotation}, "single", None


def is_named_tuple(annotation: Any) -> bool:
    """Return whether a type is a NamedTuple class."""
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def _returns_value(function: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inner)))
    except (OSError, TypeError, SyntaxError):
        return False  # no source to look at; what it returns is checked when it runs
    definition = next(
        (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)), None
    )
    return definition is not None and any(
        isinstance(n, ast.Return) and n.value is not None and not _is_none(n.value)
        for n in _own_statements(definition.body)
    )


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _own_statements(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_statements(ast.iter_child_nodes(node))
