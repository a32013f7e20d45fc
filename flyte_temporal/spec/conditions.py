"""Whether a condition of a branch holds: the one meaning of `==`, `<`, `and` … for the interpreter and for plain runs.

Pure, over values as `spec.literals` writes them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from flyte_temporal.errors import UserCodeError
from flyte_temporal.spec.literals import decode_float, decode_integer
from flyte_temporal.spec.nodes import Comparison, Condition, Logical, Operand
from flyte_temporal.spec.types import EnumType, LiteralType, Simple, SimpleType, UnionType, plain_optional

ORDERED = frozenset(
    {
        Simple.INTEGER,
        Simple.FLOAT,
        Simple.STRING,
        Simple.DATETIME,
        Simple.DATE,
        Simple.TIME,
        Simple.DURATION,
        Simple.DECIMAL,
    }
)
"""Types whose values have an order."""

EQUATABLE = ORDERED | {Simple.BOOLEAN, Simple.UUID, Simple.PATH, Simple.NONE}
"""Types whose values can be compared with `==`, besides enums and the optional forms of all these."""


class NotComparable(UserCodeError):
    """A condition compares values that have no order, or none of its kind: None with a number, for example."""

    code = "NotComparable"
    retryable = False


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    """Return whether a condition is true.

    Args:
        condition: The condition.
        values: JSON of the branch node's inputs, each written by the type in its operand.

    Raises:
        NotComparable: If two values have no order, and one is asked for.
    """
    match condition:
        case Logical(op="not"):
            return not holds(condition.of[0], values)
        case Logical(op="and"):
            return all(holds(part, values) for part in condition.of)
        case Logical():
            return any(holds(part, values) for part in condition.of)
        case Comparison():
            left, right = _value(condition.left, values), _value(condition.right, values)
            if condition.op in {"==", "!="}:
                return (_equal(left, right)) is (condition.op == "==")
            if left is None or right is None:
                raise NotComparable(
                    f"`{left!r} {condition.op} {right!r}`: None has no order. Ask `.is_none()` before, or compare "
                    "with `==`."
                )
            return _OPERATORS[condition.op](left, right)


def _equal(left: Any, right: Any) -> bool:
    # True == 1 in Python, but a bool is no int here.
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _value(operand: Operand, values: Mapping[str, Any]) -> Any:
    written = operand.constant if operand.input is None else values[operand.input]
    return comparable(written, operand.type)


def comparable(value: Any, type_: LiteralType) -> Any:
    """Return JSON of a type as a Python value that compares as the value itself does.

    Raises:
        NotComparable: If values of the type cannot be compared.
    """
    if value is None:
        return None
    if isinstance(type_, UnionType):
        inner = plain_optional(type_)
        if inner is not None:
            return comparable(value, inner)
        return comparable(value["value"], type_.variants[value["variant"]])
    if isinstance(type_, EnumType):
        return value
    if not isinstance(type_, SimpleType) or type_.simple not in _READERS:
        raise NotComparable(f"A value of kind {type_.kind} cannot be compared. Compare an attribute of it.")
    return _READERS[type_.simple](value)


def _datetime(text: str) -> datetime:
    found = datetime.fromisoformat(text.partition("[")[0])
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _seconds(text: str) -> Decimal:
    number = text.lstrip("-").removeprefix("PT").removesuffix("S")
    return -Decimal(number) if text.startswith("-") else Decimal(number)


def _as_is(value: Any) -> Any:
    return value


_READERS: dict[Simple, Callable[[Any], Any]] = {
    Simple.INTEGER: decode_integer,
    Simple.FLOAT: decode_float,
    Simple.STRING: _as_is,
    Simple.PATH: _as_is,
    Simple.UUID: _as_is,
    Simple.BOOLEAN: _as_is,
    Simple.DATETIME: _datetime,
    Simple.DATE: date.fromisoformat,
    Simple.TIME: time.fromisoformat,
    Simple.DURATION: _seconds,
    Simple.DECIMAL: Decimal,
}
