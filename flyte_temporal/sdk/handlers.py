"""Checks of `on_failure`: a handler gets the inputs of the workflow that failed, and the error if it asks for it."""

from __future__ import annotations

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.entities import Entity, Workflow
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.types import describe

ERROR_INPUT = "err"
"""Name of the handler's input that receives the error (flytekit's)."""


def check_handler(workflow: Workflow[..., object], handler: Entity) -> None:
    """Check that a failure handler can be given the workflow's inputs.

    Raises:
        CompileError: If it needs an input that the workflow does not have, or of another type.
    """
    for variable in handler.interface.inputs:
        if variable.name == ERROR_INPUT:
            continue
        given = workflow.interface.input(variable.name)
        label = f"Input {variable.name!r} of the failure handler {handler.short_name}"
        if given is None:
            if variable.default is None:
                raise CompileError(
                    f"{label} is no input of the workflow {workflow.short_name}. Remove it, or give it a default.",
                    workflow.where,
                )
        elif not accepts(variable.type, given.type):
            raise CompileError(
                f"{label} takes {describe(variable.type)}, but the workflow {workflow.short_name} has "
                f"{describe(given.type)} there. Declare both alike.",
                workflow.where,
            )
