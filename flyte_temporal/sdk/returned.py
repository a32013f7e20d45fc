"""What the body of a workflow or dynamic task returned, by output. Called by `recording` when a body is done."""

from __future__ import annotations

from typing import Any

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.promises import NodeOutputs, Promise, origin_of
from flyte_temporal.sdk.signature import Signature
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.types import ListType, TupleType, is_nullable


def by_output(
    returned: Any, signature: Signature, interface: Interface, owner: str, where: str
) -> dict[str, Any]:
    """Return what a body returned, by output.

    Args:
        returned: What it returned: promises, values, or a tuple of these.
        signature: The Python side of what it declares.
        interface: The spec side.
        owner: How messages call it.
        where: File and line of its definition.

    Raises:
        CompileError: If it returned another number of values than it declares.
    """
    if isinstance(returned, NodeOutputs) and not len(returned):
        returned = None
    if returned is None and not all(is_nullable(v.type) for v in interface.outputs):
        problem = f"it declares {_counted(len(signature.outputs))}, but returns nothing. Add the `return`."
    elif returned is not None and signature.form == "none":
        problem = (
            f"it declares no outputs, but returns {shown(returned)}. Annotate what it returns, or drop it."
        )
    else:
        returned = _unpacked(returned, signature, interface)
        count = len(returned) if isinstance(returned, tuple) else 1
        if signature.form == "none" or count == len(signature.outputs):
            values = returned if isinstance(returned, tuple) else (returned,)
            return dict(zip(signature.outputs, values, strict=signature.form != "none"))
        problem = f"it declares {_counted(len(signature.outputs))}, but returns {count}. Change the one or the other."
    raise CompileError(f"The {owner} does not return what it says: {problem}", where)


def _unpacked(returned: Any, signature: Signature, interface: Interface) -> Any:
    """Return a tuple of outputs if the body returned several, else the one value."""
    if signature.form == "single" and isinstance(interface.outputs[0].type, TupleType | ListType):
        return (returned,)
    if isinstance(returned, Promise):
        several = signature.form == "tuple" and isinstance(origin_of(returned).type, TupleType)
        return tuple(returned) if several else returned
    sequence = (tuple, NodeOutputs, list) if signature.form == "tuple" else (tuple, NodeOutputs)
    return tuple(returned) if isinstance(returned, sequence) else returned


def _counted(outputs: int) -> str:
    return "one output" if outputs == 1 else f"{outputs} outputs"
