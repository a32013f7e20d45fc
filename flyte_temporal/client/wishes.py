"""What a repair is given, as documents: resources by name, and outputs for a node that is skipped. Called by `executions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.spec.policies import Resources, ResourceValues
from flyte_temporal.spec.quantities import amount
from flyte_temporal.spec.types import ANY

if TYPE_CHECKING:
    from pydantic import JsonValue

    from flyte_temporal.sdk.types.engine import ValueContext
    from flyte_temporal.spec.literals import LiteralValue
    from flyte_temporal.spec.types import LiteralType

_FIELDS = {"memory": "mem", "cpu": "cpu", "gpu": "gpu"}


def limited(given: Mapping[str, str]) -> Resources | None:
    """Return resources as request and limit; None if none are given.

    Raises:
        InvalidInputs: If there is no such resource, or it is no quantity.
    """
    for name, quantity in given.items():
        if name not in _FIELDS:
            raise InvalidInputs(f"There is no resource {name!r}. Resources: {', '.join(_FIELDS)}.")
        if amount(quantity) is None:
            raise InvalidInputs(f"{name}={quantity!r} is no quantity. Write it like 2Gi or 500m.")
    if not given:
        return None
    side = ResourceValues.model_validate({_FIELDS[name]: quantity for name, quantity in given.items()})
    return Resources(requests=side, limits=side)


def output_literal(
    name: str,
    value: Any,
    type_: LiteralType | None,
    written: Callable[[Any, LiteralType], JsonValue],
    values: ValueContext,
) -> LiteralValue:
    """Return a value for an output of a node.

    Args:
        name: The output.
        value: What is given for it.
        type_: Its type; None if there is no such output, which the run itself says.
        written: Makes JSON of the value.
        values: Where large values go.

    Raises:
        InvalidInputs: If the value does not fit.
    """
    from flyte_temporal.sdk.types.values import literal_of

    try:
        return literal_of(written(value, type_ or ANY), values)
    except InvalidInputs as error:
        raise InvalidInputs(f"Output {name!r}: {error.message}") from error
