"""Values in, a Python function, values out: how a plain run calls what stands at a node.

Called by tasks with the user's function, and by the mocks of `testing` with a mock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flyte_temporal.sdk.conversions import OutputInvalid, reading, writing
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.values import given_hash


def python_inputs(entity: Entity, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
    """Return inputs as the Python values that an entity's parameters declare.

    Raises:
        InputNotReadable: If one is not of its parameter's type.
    """
    engine, values = default_engine(), {}
    for variable in entity.interface.inputs:
        annotation = entity.signature.parameters[variable.name].annotation
        with reading(entity.short_name, variable.name):
            value = engine.to_python(inputs[variable.name], variable.type, annotation, context)
        values[variable.name] = value
    return values


def written_outputs(entity: Entity, returned: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
    """Return outputs as JSON of the types that an entity declares.

    Raises:
        OutputInvalid: If one does not fit.
    """
    engine, written = default_engine(), {}
    for variable in entity.interface.outputs:
        annotation = entity.signature.outputs[variable.name]
        with writing(entity.short_name, variable.name):
            # For its errors: they are those of a durable run.
            given_hash(returned[variable.name], annotation)
            written[variable.name] = engine.to_json(returned[variable.name], annotation, context)
    return written


def called_instead(
    entity: Entity, function: Callable[..., Any], inputs: Mapping[str, Any], context: ValueContext
) -> dict[str, Any]:
    """Call a function in place of an entity, with its inputs by name, and return what it gives as the entity's outputs.

    Raises:
        InputNotReadable: If an input is not of its parameter's type.
        OutputInvalid: If the function does not return what the entity declares.
    """
    returned = function(**python_inputs(entity, inputs, context))
    if entity.signature.form == "none":
        return {}
    try:
        values = entity.signature.take_apart(returned)
    except ValueError as error:
        raise OutputInvalid(f"{entity.short_name}() does not return what it declares: {error}.") from error
    return written_outputs(entity, values, context)
