"""The things that users declare, for those who only need to know them: client, CLI, compiler."""

from __future__ import annotations

from flyte_temporal.sdk.eager import EagerTask
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.launch_plans import LaunchPlan
from flyte_temporal.sdk.references import ReferenceEntity
from flyte_temporal.sdk.tasks import PythonTask
from flyte_temporal.sdk.workflow_base import WorkflowBase
from flyte_temporal.sdk.workflows import PythonFunctionWorkflow

__all__ = [
    "EagerTask",
    "Entity",
    "LaunchPlan",
    "PythonFunctionWorkflow",
    "PythonTask",
    "ReferenceEntity",
    "WorkflowBase",
]
