"""What a call is given → bindings of the spec. Types are checked here, where the line of the call is known.

Called by `recording` for each argument of a call and each output of a workflow.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin

from flyte_temporal.errors import CompileError, TypeMismatch
from flyte_temporal.sdk.conditions import Condition
from flyte_temporal.sdk.constants import constant, constant_json
from flyte_temporal.sdk.deferred import Deferred, contains_promise
from flyte_temporal.sdk.drafts import Body
from flyte_temporal.sdk.promises import NodeOutputs, Origin, Promise, origin_of
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.bindings import Binding, InputRef, ListOf, MapEntry, MapOf, OutputRef
from flyte_temporal.spec.types import (
    ANY,
    STRING,
    ListType,
    LiteralType,
    MapType,
    TupleType,
    UnionType,
    describe,
    plain_optional,
)


@dataclass(frozen=True)
class Target:
    """One end of an edge.

    Args:
        label: How messages call it, such as `input 'x' of node n1 (fit)`.
        type: What it takes.
        python_type: The annotation.
        recording: The recording that promises must belong to.
        where: File and line of the call.
        body: The body that it stands in, which says what nodes it can take values of.
        values: Where real values go; None while a workflow is compiled.
    """

    label: str
    type: LiteralType
    python_type: Any
    recording: object
    where: str
    body: Body
    values: ValueContext | None = None

    def part(self, step: object, type_: LiteralType, python_type: Any) -> Target:
        """Return the place inside this one at a position or key."""
        return dataclasses.replace(
            self, label=f"{self.label}, at [{step!r}]", type=type_, python_type=python_type
        )


def bind(value: Any, target: Target) -> Binding:
    """Return where the value of an input or output comes from.

    Raises:
        TypeMismatch: If the value's type does not fit; names both ends.
        CompileError: If the value has no place in a spec: a promise of another workflow, a local file.
    """
    if isinstance(value, Promise):
        return _reference(value, target)
    if isinstance(value, NodeOutputs):
        return _all_outputs(value, target)
    if isinstance(value, Condition):
        raise CompileError(
            f"{_capital(target.label)}: `{value!r}` is a condition and no value. Give the values to a task that compares "
            'them, or branch with conditional("name").if_(...).',
            target.where,
        )
    if contains_promise(value):
        return _composition(value, target)
    _refuse_hidden_promise(value, target)
    try:
        return constant(value, target.python_type, target.type, target.values)
    except CompileError as error:
        raise type(error)(f"{_capital(target.label)}: {error.message}.", target.where) from error


def reachable(promise: Promise, target: Target) -> Origin:
    """Return where a promise comes from, if a place can take it at all.

    Raises:
        CompileError: If it belongs to another workflow, to a case of a conditional that the place is not in, or is no
            longer what the node gives.
    """
    origin = origin_of(promise)
    if origin.recording is not target.recording:
        raise CompileError(
            f"The {promise!r} belongs to another workflow, so {target.label} cannot take it. Give it to this workflow as "
            "an input.",
            target.where,
        )
    if (draft := origin.draft) is None:
        return origin
    if not target.body.sees(draft):
        raise CompileError(
            f"The {promise!r} runs only {draft.body.label}, so {target.label} cannot take it. Give it to .then(...), and "
            "take what the conditional gives.",
            target.where,
        )
    declared = draft.entity.interface.output(origin.output)
    if declared is None or declared.type != origin.root:
        raise CompileError(
            f"The {promise!r} was taken before the conditional had all its cases, so {target.label} cannot take it. Use "
            "what the last .then(...) or .fail(...) returns.",
            target.where,
        )
    draft.taken = True
    return origin


def _reference(promise: Promise, target: Target) -> Binding:
    origin = reachable(promise, target)
    if not accepts(target.type, origin.type):
        raise TypeMismatch(
            f"The {promise!r} does not fit {target.label}, which takes {describe(target.type)}. "
            f"{_hint(origin, target.type)}",
            target.where,
        )
    return reference(origin, target.type)


def reference(origin: Origin, declared: LiteralType) -> InputRef | OutputRef:
    """Return the binding of a place of some type to a promised value."""
    written = None if origin.type == declared else origin.type
    if origin.draft is None:
        return InputRef(name=origin.output, path=origin.path, type=written)
    return OutputRef(node=origin.draft.id, name=origin.output, path=origin.path, type=written)


def _hint(origin: Origin, target: LiteralType) -> str:
    source = origin.type
    if source == ANY:
        return _concrete(origin, target)
    if (
        isinstance(source, UnionType)
        and (inner := plain_optional(source)) is not None
        and accepts(target, inner)
    ):
        because = origin.draft.entity.optional_because if origin.draft is not None else ""
        return f"It may be None{because}: declare Optional[{describe(target)}], or make sure of a value in a task."
    return f"Declare {describe(source)} there, or convert it in a task between the two."


def _concrete(origin: Origin, target: LiteralType) -> str:
    """Say where an annotation is missing that would tell the type."""
    if origin.draft is None:
        end = f"the workflow's parameter {origin.output!r}"
    else:
        end = f"what {origin.draft.entity.short_name}() returns"
    if not origin.path:
        return f"Annotate {end} as {describe(target)}, or convert it in a task between the two."
    return (
        f"Annotate {end} so that the type of its parts is known, with a dataclass or with types in brackets "
        f"(dict[str, {describe(target)}]), or convert it in a task between the two."
    )


def _all_outputs(outputs: NodeOutputs, target: Target) -> Binding:
    if not len(outputs):
        raise CompileError(
            f"The {outputs!r} cannot go to {target.label}, since the node returns nothing. "
            "Declare what its function returns, or order the two nodes with `>>`.",
            target.where,
        )
    if isinstance(target.type, TupleType | ListType) or target.type == ANY:
        return _sequence(list(outputs), target, target.type)
    names = list(outputs.outputs)
    raise TypeMismatch(
        f"The {outputs!r} do not fit {target.label}, which takes one {describe(target.type)}. "
        f"Take one of them, for example `.{names[0]}`.",
        target.where,
    )


def _composition(value: Any, target: Target) -> Binding:
    type_, python_type = target.type, _plain(target.python_type)
    if isinstance(type_, UnionType):
        inner = plain_optional(type_)
        if inner is None:
            _misfit(value, target)
        return _composition(value, dataclasses.replace(target, type=inner, python_type=python_type))
    if isinstance(value, dict):
        return _mapping(value, target, type_)
    if isinstance(value, set):
        raise CompileError(
            f"{_capital(target.label)}: a set cannot hold promises, since their values are not known to differ. Write "
            "a list.",
            target.where,
        )
    return _sequence(list(value), target, type_)


def _sequence(values: list[Any], target: Target, type_: LiteralType) -> Binding:
    parts: list[tuple[LiteralType, Any]]
    if type_ == ANY:
        parts = [(ANY, type(v)) for v in values]
    elif isinstance(type_, ListType):
        element = _arguments(target.python_type, 1)[0]
        parts = [(type_.element, element)] * len(values)
    elif isinstance(type_, TupleType) and len(type_.elements) == len(values):
        python_types = _element_types(target.python_type, len(values))
        parts = list(zip(type_.elements, python_types, strict=True))
    else:
        _misfit(values, target)
    return ListOf(items=tuple(bind(v, target.part(i, *parts[i])) for i, v in enumerate(values)))


def _mapping(value: Mapping[Any, Any], target: Target, type_: LiteralType) -> Binding:
    if any(isinstance(key, Deferred) for key in value):
        raise CompileError(
            f"{_capital(target.label)}: a promise cannot be a key of a dict. Build the dict in a task.",
            target.where,
        )
    parts: dict[Any, tuple[LiteralType, Any]]
    if isinstance(type_, MapType):
        key_type, value_type = _arguments(target.python_type, 2)
        keys = {k: _constant_key(k, key_type, type_.key, target) for k in value}
        parts = dict.fromkeys(value, (type_.value, value_type))
    elif type_ == ANY:
        keys = {k: _constant_key(k, str, STRING, target) for k in value}
        parts = {k: (ANY, type(v)) for k, v in value.items()}
    else:
        _misfit(value, target)
    return MapOf(
        entries=tuple(
            MapEntry(key=keys[k], value=bind(v, target.part(k, *parts[k]))) for k, v in value.items()
        )
    )


def _constant_key(key: Any, python_type: Any, type_: LiteralType, target: Target) -> Any:
    try:
        return constant_json(key, python_type, type_)
    except CompileError as error:
        raise type(error)(f"{_capital(target.label)}, key {key!r}: {error.message}.", target.where) from error


def _misfit(value: Any, target: Target) -> NoReturn:
    raise TypeMismatch(
        f"A {type(value).__name__} with promises in it does not fit {target.label}, which takes "
        f"{describe(target.type)}. Build the value in a task that takes the parts.",
        target.where,
    )


def _refuse_hidden_promise(value: Any, target: Target) -> None:
    """Name the field of an object that was built with a promise; its class could only misread it."""
    for name, part in getattr(value, "__dict__", {}).items():
        if contains_promise(part):
            raise CompileError(
                f"{_capital(target.label)}: {type(value).__name__}({name}=...) was built with a promise. Build the "
                f"{type(value).__name__} in a task that takes its parts.",
                target.where,
            )


def _plain(python_type: Any) -> Any:
    """Return an annotation without `Annotated` and without the None of an Optional."""
    if get_origin(python_type) is Annotated:
        return _plain(get_args(python_type)[0])
    if get_origin(python_type) in {Union, types.UnionType}:
        others = [a for a in get_args(python_type) if a is not types.NoneType]
        return _plain(others[0]) if len(others) == 1 else python_type
    return python_type


def _arguments(python_type: Any, count: int) -> tuple[Any, ...]:
    found = get_args(_plain(python_type))
    return found[:count] if len(found) >= count else (Any,) * count


def _element_types(python_type: Any, count: int) -> tuple[Any, ...]:
    plain = _plain(python_type)
    if hasattr(plain, "_fields"):
        hints = typing.get_type_hints(plain, include_extras=True)
        return tuple(hints[name] for name in plain._fields)
    return _arguments(plain, count)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
