"""Failure handlers (`on_failure`) and failure policies: what is said about failures, and the checks of it.

A handler is a task or workflow that runs once after a failure, with those inputs of the failed workflow or node that it
declares, and with the error if it has an input `err`. Called while a workflow is recorded, so compiled and plain runs
check alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.entity import Entity, entities_behind
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.error import ERROR
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.entities import FailurePolicy
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import ERROR_INPUT
from flyte_temporal.spec.types import describe


@dataclass(frozen=True)
class FailureRules:
    """What a workflow says about failures.

    Args:
        policy: What happens to the rest when a node has failed for good.
        handler: What runs once then.
    """

    policy: FailurePolicy = FailurePolicy.FAIL_IMMEDIATELY
    handler: Entity | None = None


def handler_of(given: object, where: str) -> Entity | None:
    """Return what `on_failure=` was given.

    Raises:
        CompileError: If it is neither a task nor a workflow.
    """
    if given is None:
        return None
    found = next(entities_behind(given), None)
    if found is None:
        raise CompileError(
            f"on_failure={shown(given)} must be a task or a workflow. Decorate it with @task.", where
        )
    if found.kind == "launch_plan":
        raise CompileError(
            f"on_failure={found.short_name} is a launch plan, but a handler runs inside the execution that failed. "
            "Give the workflow behind it, or a task.",
            where,
        )
    return found


def check_handler(handler: Entity, inputs: Interface, owner: str, where: str) -> None:
    """Check that a failure handler can be given the inputs of what failed.

    Args:
        handler: The handler.
        inputs: Interface of the workflow or node that it is for.
        owner: How messages call that, such as `the workflow train`.
        where: File and line to report.

    Raises:
        CompileError: If it needs an input that is not there, or of another type.
    """
    for variable in handler.interface.inputs:
        label = f"Input {variable.name!r} of the failure handler {handler.short_name}"
        given = inputs.input(variable.name)
        if variable.name == ERROR_INPUT:  # also if there is an input of that name
            if not accepts(variable.type, ERROR):
                raise CompileError(
                    f"{label} takes {describe(variable.type)}, but it receives the error. Write "
                    "`err: FlyteError | None = None`, or rename the input.",
                    where,
                )
        elif given is None:
            if variable.default is None:
                raise CompileError(
                    f"{label} is no input of {owner}. Remove it, or give it a default.",
                    where,
                )
        elif not accepts(variable.type, given.type):
            raise CompileError(
                f"{label} takes {describe(variable.type)}, but {owner} has "
                f"{describe(given.type)} there. Declare both alike.",
                where,
            )
