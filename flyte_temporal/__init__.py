"""Typed Python DAGs in the style of Flyte, run durably on Temporal.

The public names for authors. They resolve on first use (PEP 562): this file is executed for every workflow run in the
sandbox and in every task container, so it computes nothing and imports nothing. `flyte_temporal.client` is the way to
run things from Python, `flyte-temporal` the one from a shell.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # type checkers take it for typing's; `typing` itself takes longer to import than all of this
)

if TYPE_CHECKING:
    from typing import Any

    from flyte_temporal._version import __version__
    from flyte_temporal.errors import (
        FlyteNonRecoverableException,
        FlyteRecoverableException,
        FlyteTemporalError,
    )
    from flyte_temporal.sdk.answers import gate_answers
    from flyte_temporal.sdk.conditionals import conditional
    from flyte_temporal.sdk.context import ExecutionParameters, current_context
    from flyte_temporal.sdk.dynamics import dynamic
    from flyte_temporal.sdk.eager import eager
    from flyte_temporal.sdk.environment import Environment
    from flyte_temporal.sdk.gates import approve, sleep, wait_for_input
    from flyte_temporal.sdk.imperative import ImperativeWorkflow
    from flyte_temporal.sdk.imperative import ImperativeWorkflow as Workflow
    from flyte_temporal.sdk.launch_plans import LaunchPlan
    from flyte_temporal.sdk.maps import map_task
    from flyte_temporal.sdk.notifications import Email, PagerDuty, Slack
    from flyte_temporal.sdk.options import Options
    from flyte_temporal.sdk.policies import Cache, Resources
    from flyte_temporal.sdk.recording import create_node
    from flyte_temporal.sdk.references import reference_launch_plan, reference_task, reference_workflow
    from flyte_temporal.sdk.schedules import CronSchedule, FixedRate
    from flyte_temporal.sdk.tasks import PythonTask, task
    from flyte_temporal.sdk.types.engine import TypeEngine, TypeTransformer
    from flyte_temporal.sdk.types.error import FlyteError
    from flyte_temporal.sdk.types.file import FlyteFile
    from flyte_temporal.sdk.workflows import PythonFunctionWorkflow, workflow
    from flyte_temporal.spec.entities import FailurePolicy
    from flyte_temporal.spec.entities import FailurePolicy as WorkflowFailurePolicy
    from flyte_temporal.spec.execution import ExecutionPhase as WorkflowExecutionPhase

__all__ = [
    "Cache",
    "CronSchedule",
    "Email",
    "Environment",
    "ExecutionParameters",
    "FailurePolicy",
    "FixedRate",
    "FlyteError",
    "FlyteFile",
    "FlyteNonRecoverableException",
    "FlyteRecoverableException",
    "FlyteTemporalError",
    "ImperativeWorkflow",
    "LaunchPlan",
    "Options",
    "PagerDuty",
    "PythonFunctionWorkflow",
    "PythonTask",
    "Resources",
    "Slack",
    "TypeEngine",
    "TypeTransformer",
    "Workflow",
    "WorkflowExecutionPhase",
    "WorkflowFailurePolicy",
    "__version__",
    "approve",
    "conditional",
    "create_node",
    "current_context",
    "dynamic",
    "eager",
    "gate_answers",
    "map_task",
    "reference_launch_plan",
    "reference_task",
    "reference_workflow",
    "sleep",
    "task",
    "wait_for_input",
    "workflow",
]

_HOMES = {
    "Cache": "sdk.policies",
    "CronSchedule": "sdk.schedules",
    "Email": "sdk.notifications",
    "Environment": "sdk.environment",
    "ExecutionParameters": "sdk.context",
    "FailurePolicy": "spec.entities",
    "FixedRate": "sdk.schedules",
    "FlyteError": "sdk.types.error",
    "FlyteFile": "sdk.types.file",
    "FlyteNonRecoverableException": "errors",
    "FlyteRecoverableException": "errors",
    "FlyteTemporalError": "errors",
    "ImperativeWorkflow": "sdk.imperative",
    "LaunchPlan": "sdk.launch_plans",
    "Options": "sdk.options",
    "PagerDuty": "sdk.notifications",
    "PythonFunctionWorkflow": "sdk.workflows",
    "PythonTask": "sdk.tasks",
    "Resources": "sdk.policies",
    "Slack": "sdk.notifications",
    "TypeEngine": "sdk.types.engine",
    "TypeTransformer": "sdk.types.engine",
    "Workflow": "sdk.imperative",
    "WorkflowExecutionPhase": "spec.execution",
    "WorkflowFailurePolicy": "spec.entities",
    "__version__": "_version",
    "approve": "sdk.gates",
    "conditional": "sdk.conditionals",
    "create_node": "sdk.recording",
    "current_context": "sdk.context",
    "dynamic": "sdk.dynamics",
    "eager": "sdk.eager",
    "gate_answers": "sdk.answers",
    "map_task": "sdk.maps",
    "reference_launch_plan": "sdk.references",
    "reference_task": "sdk.references",
    "reference_workflow": "sdk.references",
    "sleep": "sdk.gates",
    "task": "sdk.tasks",
    "wait_for_input": "sdk.gates",
    "workflow": "sdk.workflows",
}
_RENAMED = {
    "Workflow": "ImperativeWorkflow",
    "WorkflowExecutionPhase": "ExecutionPhase",
    "WorkflowFailurePolicy": "FailurePolicy",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(f"{__name__}.{home}"), _RENAMED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
