"""Conditions: what `promise == 3`, `&`, `|` and `~` give while a workflow's body runs.

Made by promises, taken by `conditionals`. Apart from `promises`, because here is decided which types may be compared; what
the operators then mean is `spec.conditions`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from pydantic import JsonValue

from flyte_temporal.errors import CompileError, FlyteTemporalError, TypeMismatch
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.constants import constant_json
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.spec.conditions import EQUATABLE, ORDERED
from flyte_temporal.spec.types import (
    ANY,
    BOOLEAN,
    NONE,
    EnumType,
    LiteralType,
    Simple,
    SimpleType,
    UnionType,
    describe,
    is_nullable,
)

Operator = Literal["==", "!=", "<", "<=", ">", ">="]

_FAMILIES = {
    Simple.INTEGER: "number",
    Simple.FLOAT: "number",
    Simple.DECIMAL: "number",
    Simple.STRING: "text",
    Simple.PATH: "text",
}
"""Types that differ and still compare with each other."""

_PARENTHESES = (
    "Put each comparison in parentheses, since & and | bind closer than they do: (a == 1) & (b > 2)."
)


class Asked(ABC):
    """What can be asked whether it is true: a promise, a condition."""

    __slots__ = ()

    @abstractmethod
    def is_true(self) -> Condition:
        """Return the condition that it is true."""


class Condition(Asked):
    """A question that the execution answers: for `conditional(...).if_()`, never for Python."""

    __slots__ = ()

    def is_true(self) -> Condition:
        """Return itself."""
        return self

    def is_false(self) -> Condition:
        """Return the opposite."""
        return ~self

    def __and__(self, other: object) -> Condition:
        return Combined("and", (self, condition_of(other, "&")))

    def __or__(self, other: object) -> Condition:
        return Combined("or", (self, condition_of(other, "|")))

    def __rand__(self, other: object) -> Condition:
        return condition_of(other, "&") & self

    def __ror__(self, other: object) -> Condition:
        return condition_of(other, "|") | self

    def __invert__(self) -> Condition:
        return Combined("not", (self,))

    def __bool__(self) -> NoReturn:
        raise CompileError(
            f"`{self!r}` is not known while the workflow is compiled, so `if`, `and`, `or`, `not`, `in` and comparisons in "
            'a row (a < b < c) cannot use it. Combine conditions with &, | and ~, and branch with conditional("name")'
            ".if_(...).",
            call_site(),
        )


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison.

    Args:
        promise: The promise; None for a constant.
        constant: JSON of the constant.
        type: Type of the value.
        text: How messages show it.
    """

    promise: Any
    constant: JsonValue
    type: LiteralType
    text: str


@dataclass(frozen=True, eq=False, repr=False)
class Compared(Condition):
    """`left op right`."""

    op: Operator
    left: Side
    right: Side

    def __repr__(self) -> str:
        return f"{self.left.text} {self.op} {self.right.text}"


@dataclass(frozen=True, eq=False, repr=False)
class Combined(Condition):
    """`and`, `or` of two conditions, `not` of one."""

    op: Literal["and", "or", "not"]
    of: tuple[Condition, ...]

    def __repr__(self) -> str:
        if self.op == "not":
            return f"~({self.of[0]!r})"
        return f" {'&' if self.op == 'and' else '|'} ".join(f"({part!r})" for part in self.of)


def condition_of(value: object, operator: str) -> Condition:
    """Return one side of `&` or `|` as a condition.

    Raises:
        CompileError: If it is none.
    """
    if isinstance(value, Asked):
        return value.is_true()
    raise CompileError(
        f"`{operator}` combines two conditions, but one side is {shown(value)}. {_PARENTHESES}", call_site()
    )


def compared(op: Operator, left: Side, right: Side) -> Compared:
    """Return a comparison.

    Raises:
        TypeMismatch: If values of the two types cannot be compared so.
    """
    problem = _problem(op, left, right) or _problem(op, right, left)
    if problem:
        raise TypeMismatch(f"`{left.text} {op} {right.text}` cannot be asked: {problem}", call_site())
    return Compared(op, left, right)


def constant_side(value: object) -> Side:
    """Return a constant as one side of a comparison.

    Raises:
        CompileError: If nothing can be compared with such a value.
    """
    try:
        type_ = default_engine().literal_type(type(value))
        return Side(None, constant_json(value, type(value), type_), type_, shown(value))
    except FlyteTemporalError as error:
        raise CompileError(
            f"Nothing can be compared with {shown(value)}, a {type(value).__name__}. Compare with a number, text, date, "
            "enum or None; anything else in a task.",
            call_site(),
        ) from error


def truth(promise: object, type_: LiteralType, text: str, *, wanted: bool) -> Condition:
    """Return the condition that a promised bool is true, or false.

    Raises:
        TypeMismatch: If it is no bool.
    """
    if BOOLEAN not in _variants(type_):
        raise TypeMismatch(
            f"The {text} is no bool, so it cannot be a condition by itself. Compare it, for example with `== 0` or "
            ".is_none().",
            call_site(),
        )
    return Compared("==", Side(promise, None, type_, text), Side(None, wanted, BOOLEAN, str(wanted)))


def _variants(type_: LiteralType) -> tuple[LiteralType, ...]:
    if isinstance(type_, UnionType):
        return tuple(inner for variant in type_.variants for inner in _variants(variant))
    return (type_,)


def _problem(op: Operator, side: Side, other: Side) -> str:
    """Return what is wrong with one side, seen from the other; empty if nothing is."""
    if side.type == NONE:
        if op not in {"==", "!="}:
            return "None has no order. Ask `.is_none()`, or compare with `==`."
        return "" if is_nullable(other.type) and other.type != ANY else f"{_a(other.type)} is never None."
    present = [v for v in _variants(side.type) if v != NONE]
    for variant in present:
        if variant == ANY:
            return "the type of its parts is not declared. Annotate it with a dataclass, or with types in brackets."
        if not isinstance(variant, EnumType) and not _simple(variant, EQUATABLE):
            return f"{_a(variant)} cannot be compared. Compare an attribute of it, or compare in a task."
        if op not in {"==", "!="} and not _simple(variant, ORDERED):
            return f"{_a(variant)} has no order. Compare with `==`, or compare in a task."
    if other.type == NONE:
        return ""
    return _misfit(op, side, present, other)


def _misfit(op: Operator, side: Side, present: list[LiteralType], other: Side) -> str:
    only = present[0] if len(present) == 1 else None
    if isinstance(only, EnumType) and other.promise is None and other.constant not in only.values:
        values = ", ".join(repr(v) for v in only.values)
        return f"{describe(only)} has no value {other.text}; it has: {values}."
    others = [v for v in _variants(other.type) if v != NONE]
    fitting = [_fit(a, b) for a in present for b in others]
    if any(fitting) if op in {"==", "!="} else all(fitting):
        return ""
    return f"{describe(side.type)} and {describe(other.type)} have nothing in common. Convert one of them in a task."


def _fit(one: LiteralType, other: LiteralType) -> bool:
    return bool(_families(one) & _families(other))


def _families(type_: LiteralType) -> set[str]:
    if isinstance(type_, EnumType):
        return {_family_of(value) for value in type_.values if value is not None}
    return {_FAMILIES.get(type_.simple, type_.simple)} if isinstance(type_, SimpleType) else set()


def _family_of(value: JsonValue) -> str:
    if isinstance(value, bool):
        return Simple.BOOLEAN
    return "text" if isinstance(value, str) else "number"


def _simple(type_: LiteralType, among: frozenset[Simple]) -> bool:
    return isinstance(type_, SimpleType) and type_.simple in among


def _a(type_: LiteralType) -> str:
    name = describe(type_)
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
