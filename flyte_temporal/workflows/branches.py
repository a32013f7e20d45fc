"""Branch nodes: what of their operands must be read, and which case is taken. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flyte_temporal.errors import BranchFailed
from flyte_temporal.spec import calls
from flyte_temporal.spec.conditions import holds
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import BranchBody, BranchTarget, Comparison, Condition, Operand
from flyte_temporal.spec.types import LiteralType, UnionType, plain_optional


def operands(target: BranchTarget, inputs: dict[str, LiteralValue]) -> calls.ReadRequest | None:
    """Return a request for those operands that cannot be compared as they are, or None if there are none."""
    wishes = {
        operand.input: calls.Wish(literal=inputs[operand.input], type=operand.type)
        for case in target.cases
        for operand in _operands(case.when)
        if operand.input is not None and not _comparable(inputs[operand.input], operand.type)
    }
    return calls.ReadRequest(values=wishes) if wishes else None


def _operands(condition: Condition) -> Iterator[Operand]:
    if isinstance(condition, Comparison):
        yield condition.left
        yield condition.right
    else:
        for part in condition.of:
            yield from _operands(part)


def _comparable(literal: LiteralValue, type_: LiteralType) -> bool:
    """Return whether a literal is inline, and written as values of a type are."""
    if not isinstance(literal, Inline):
        return False
    return literal.type is None or literal.type == type_ or not (_tagged(literal.type) or _tagged(type_))


def _tagged(type_: LiteralType) -> bool:
    return isinstance(type_, UnionType) and plain_optional(type_) is None


def choose(
    target: BranchTarget, inputs: dict[str, LiteralValue], read: calls.ReadResult
) -> BranchBody | None:
    """Return the body of the first case that holds; None if none does and there is no other.

    Raises:
        BranchFailed: If that case says that the node fails.
        NotComparable: If values have no order, and one is asked for.
    """
    values: dict[str, Any] = {n: v.value for n, v in inputs.items() if isinstance(v, Inline)} | read.values
    body, message = target.otherwise, target.otherwise_fail
    for case in target.cases:
        if holds(case.when, values):
            body, message = case.body, case.fail
            break
    if message is not None:
        raise BranchFailed(message)
    return body
