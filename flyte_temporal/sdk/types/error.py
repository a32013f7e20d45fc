"""`FlyteError`: what a failure handler gets to know, as a value like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flyte_temporal.sdk.types.converter import Converter, Converters, TypeFamily, ValueContext, misfit
from flyte_temporal.spec.literals import ErrorValue
from flyte_temporal.spec.types import Simple, SimpleType

ERROR = SimpleType(simple=Simple.ERROR)


@dataclass(frozen=True)
class FlyteError:
    """Why something failed: the input `err` of a failure handler, a value that tasks may pass on.

    Args:
        message: What happened, as the execution's error says it.
        failed_node_id: Path of the node that failed, such as `n1` or `n0.n2`; empty if no node did.
    """

    message: str
    failed_node_id: str = ""


class Errors(TypeFamily):
    """`FlyteError`."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is that class."""
        return python_type is FlyteError

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Return the conversion from and to an `ErrorValue`."""
        return Converter(ERROR, _write, _read, lambda value: type(value) is FlyteError)


def _write(value: Any, _context: ValueContext) -> Any:
    if not isinstance(value, FlyteError):
        raise misfit("FlyteError", value)
    return {"message": str(value.message), "failed_node_id": str(value.failed_node_id)}


def _read(value: Any, _context: ValueContext) -> FlyteError:
    try:
        found = ErrorValue.model_validate(value)
    except ValidationError:
        raise misfit("FlyteError", value) from None
    return FlyteError(found.message, found.failed_node_id)
