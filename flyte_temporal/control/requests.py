"""What is asked for, and everything that is checked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.errors import InvalidInputs, LimitExceeded
from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.document import canonical_bytes, digest, sha256_hex
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec
from flyte_temporal.spec.execution import Environment
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.types import describe


def default_version(closure: Closure, environment: Environment) -> str:
    """Return the version of a request that names none: equal code and equal specs are one version."""
    bundle = environment.bundle.sha256 if environment.bundle else ""
    return sha256_hex(f"{digest(closure)}:{bundle}".encode())[:16]


def closure_bytes(closure: Closure, limits: LimitSettings) -> bytes:
    """Return the bytes under whose digest a closure is stored.

    Raises:
        LimitExceeded: If they are too many.
    """
    data = canonical_bytes(closure)
    if len(data) > limits.max_spec_bytes:
        raise LimitExceeded(
            f"The compiled spec of {closure.root.name} has {len(data):,} bytes; at most {limits.max_spec_bytes:,} are "
            "allowed. Pass large constants as inputs or files, or split the workflow."
        )
    return data


def complete_inputs(
    closure: Closure, given: Mapping[str, LiteralValue], limits: LimitSettings
) -> dict[str, LiteralValue]:
    """Check given inputs against an entity and fill in what was left out.

    Args:
        closure: The entity.
        given: What the caller gave.
        limits: For the sum of their sizes.

    Raises:
        InvalidInputs: If an input is unknown, fixed, missing or of another type.
        LimitExceeded: If together they are larger than one message may be.
    """
    entity = closure.entity()
    fixed = entity.fixed_inputs if isinstance(entity, LaunchPlanSpec) else {}
    interface = closure.interface
    _refuse_unknown(interface, given, closure.root.name, fixed)
    complete: dict[str, LiteralValue] = {}
    for variable in interface.inputs:
        value = given.get(variable.name)
        if value is not None:
            check_value(value, variable, "Input")
            complete[variable.name] = value
        elif variable.default is not None:
            complete[variable.name] = Inline(value=variable.default.value, hash=variable.default.hash)
    complete.update(fixed)
    missing = [v for v in interface.inputs if v.name not in complete]
    if missing:
        wanted = ", ".join(f"{v.name}: {describe(v.type)}" for v in missing)
        raise InvalidInputs(f"{closure.root.name} needs more inputs. Missing: {wanted}.")
    _check_size(complete, limits)
    return complete


def _refuse_unknown(
    interface: Interface, given: Mapping[str, LiteralValue], entity: str, fixed: Mapping[str, LiteralValue]
) -> None:
    for name in given:
        if name in fixed:
            raise InvalidInputs(f"The input {name!r} of {entity} is fixed by its launch plan; leave it out.")
    known = [v.name for v in interface.inputs]
    unknown = [name for name in given if name not in known]
    if unknown:
        takes = ", ".join(known) or "no inputs"
        raise InvalidInputs(f"{entity} has no input {', '.join(map(repr, unknown))}. It takes: {takes}.")


def check_value(value: LiteralValue, variable: Variable, what: str) -> None:
    """Check a given value against the type of an input or output.

    Args:
        value: The value.
        variable: What it is for.
        what: `Input` or `Output`, for the message.

    Raises:
        InvalidInputs: If it is of another type.
    """
    written = value.type or variable.type
    if not accepts(variable.type, written):
        raise InvalidInputs(
            f"{what} {variable.name!r} must be {describe(variable.type)}; what was given is {describe(written)}."
        )
    if isinstance(value, Inline):
        try:
            conform(value.value, written)
        except InvalidInputs as error:
            raise InvalidInputs(f"{what} {variable.name!r}: {error.message}") from error


def _check_size(inputs: Mapping[str, LiteralValue], limits: LimitSettings) -> None:
    sizes = {name: len(canonical_bytes(value)) for name, value in inputs.items()}
    total = sum(sizes.values())
    if total > limits.max_inputs_bytes:
        largest = max(sizes, key=lambda name: sizes[name])
        raise LimitExceeded(
            f"The inputs have {total:,} bytes in all ({largest!r}: {sizes[largest]:,}); at most "
            f"{limits.max_inputs_bytes:,} travel with a request. Give large values as files or dataframes."
        )
