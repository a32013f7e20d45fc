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
    from flyte_temporal.adapters.databases.sqlalchemy_task import (
        SQLAlchemyConfig,
        SQLAlchemyTask,
    )
    from flyte_temporal.errors import (
        FlyteNonRecoverableException,
        FlyteRecoverableException,
        FlyteTemporalError,
    )
    from flyte_temporal.sdk.answers import gate_answers
    from flyte_temporal.sdk.artifacts import (
        Artifact,
        Inputs,
    )
    from flyte_temporal.sdk.cache import (
        Cache,
        CachePolicy,
        VersionParameters,
    )
    from flyte_temporal.sdk.checkpoints import Checkpoint
    from flyte_temporal.sdk.conditionals import conditional
    from flyte_temporal.sdk.containers import ContainerTask, DataStrategy
    from flyte_temporal.sdk.context import (
        ExecutionParameters,
        current_context,
    )
    from flyte_temporal.sdk.deck_renderers import (
        MarkdownRenderer,
        TopFrameRenderer,
    )
    from flyte_temporal.sdk.decks import (
        Deck,
        DeckField,
    )
    from flyte_temporal.sdk.dynamics import dynamic
    from flyte_temporal.sdk.eager import eager
    from flyte_temporal.sdk.environment import Environment
    from flyte_temporal.sdk.gates import (
        approve,
        sleep,
        wait_for_input,
    )
    from flyte_temporal.sdk.images import ImageSpec
    from flyte_temporal.sdk.imperative import ImperativeWorkflow
    from flyte_temporal.sdk.imperative import ImperativeWorkflow as Workflow
    from flyte_temporal.sdk.instances import (
        PythonInstanceTask,
        TaskMetadata,
    )
    from flyte_temporal.sdk.launch_plans import LaunchPlan
    from flyte_temporal.sdk.literal_secrets import SecretWarning
    from flyte_temporal.sdk.maps import map_task
    from flyte_temporal.sdk.notifications import (
        Email,
        PagerDuty,
        Slack,
    )
    from flyte_temporal.sdk.options import Options
    from flyte_temporal.sdk.pods import PodTemplate
    from flyte_temporal.sdk.policies import Resources
    from flyte_temporal.sdk.recording import create_node
    from flyte_temporal.sdk.references import (
        reference_launch_plan,
        reference_task,
        reference_workflow,
    )
    from flyte_temporal.sdk.retrying import (
        Backoff,
        OnOom,
        RetryPolicy,
        Timeouts,
    )
    from flyte_temporal.sdk.schedules import (
        CronSchedule,
        FixedRate,
    )
    from flyte_temporal.sdk.secrets import Secret
    from flyte_temporal.sdk.shell import (
        OutputLocation,
        ShellTask,
    )
    from flyte_temporal.sdk.sql import (
        SQLite3Config,
        SQLite3Task,
        SQLTask,
    )
    from flyte_temporal.sdk.tasks import (
        PythonTask,
        task,
    )
    from flyte_temporal.sdk.types.annotations import (
        FlyteAnnotation,
        HashMethod,
        kwtypes,
    )
    from flyte_temporal.sdk.types.batches import BatchSize
    from flyte_temporal.sdk.types.datasets import (
        StructuredDataset,
        StructuredDatasetDecoder,
        StructuredDatasetEncoder,
        StructuredDatasetTransformerEngine,
    )
    from flyte_temporal.sdk.types.directory import FlyteDirectory
    from flyte_temporal.sdk.types.engine import (
        TypeEngine,
        TypeTransformer,
    )
    from flyte_temporal.sdk.types.error import FlyteError
    from flyte_temporal.sdk.types.file import FlyteFile
    from flyte_temporal.sdk.types.formats import (
        CSVFile,
        FileExt,
        HDF5EncodedFile,
        HTMLPage,
        JoblibSerializedFile,
        JPEGImageFile,
        JSONLFile,
        ONNXFile,
        PDFFile,
        PNGImageFile,
        PythonNotebook,
        PythonPickledFile,
        SVGImageFile,
        TensorboardLogs,
        TFRecordFile,
        TFRecordsDirectory,
    )
    from flyte_temporal.sdk.types.iterators import JSON
    from flyte_temporal.sdk.types.pickles import (
        FlytePickle,
        PickleWarning,
    )
    from flyte_temporal.sdk.workflows import (
        PythonFunctionWorkflow,
        workflow,
    )
    from flyte_temporal.spec.entities import FailurePolicy
    from flyte_temporal.spec.entities import FailurePolicy as WorkflowFailurePolicy
    from flyte_temporal.spec.execution import ExecutionPhase as WorkflowExecutionPhase

__all__ = [
    "JSON",
    "Artifact",
    "Backoff",
    "BatchSize",
    "CSVFile",
    "Cache",
    "CachePolicy",
    "Checkpoint",
    "ContainerTask",
    "CronSchedule",
    "DataStrategy",
    "Deck",
    "DeckField",
    "Email",
    "Environment",
    "ExecutionParameters",
    "FailurePolicy",
    "FileExt",
    "FixedRate",
    "FlyteAnnotation",
    "FlyteDirectory",
    "FlyteError",
    "FlyteFile",
    "FlyteNonRecoverableException",
    "FlytePickle",
    "FlyteRecoverableException",
    "FlyteTemporalError",
    "HDF5EncodedFile",
    "HTMLPage",
    "HashMethod",
    "ImageSpec",
    "ImperativeWorkflow",
    "Inputs",
    "JPEGImageFile",
    "JSONLFile",
    "JoblibSerializedFile",
    "LaunchPlan",
    "MarkdownRenderer",
    "ONNXFile",
    "OnOom",
    "Options",
    "OutputLocation",
    "PDFFile",
    "PNGImageFile",
    "PagerDuty",
    "PickleWarning",
    "PodTemplate",
    "PythonFunctionWorkflow",
    "PythonInstanceTask",
    "PythonNotebook",
    "PythonPickledFile",
    "PythonTask",
    "Resources",
    "RetryPolicy",
    "SQLAlchemyConfig",
    "SQLAlchemyTask",
    "SQLTask",
    "SQLite3Config",
    "SQLite3Task",
    "SVGImageFile",
    "Secret",
    "SecretWarning",
    "ShellTask",
    "Slack",
    "StructuredDataset",
    "StructuredDatasetDecoder",
    "StructuredDatasetEncoder",
    "StructuredDatasetTransformerEngine",
    "TFRecordFile",
    "TFRecordsDirectory",
    "TaskMetadata",
    "TensorboardLogs",
    "Timeouts",
    "TopFrameRenderer",
    "TypeEngine",
    "TypeTransformer",
    "VersionParameters",
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
    "kwtypes",
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
    "Artifact": "sdk.artifacts",
    "Backoff": "sdk.retrying",
    "BatchSize": "sdk.types.batches",
    "CSVFile": "sdk.types.formats",
    "Cache": "sdk.cache",
    "CachePolicy": "sdk.cache",
    "Checkpoint": "sdk.checkpoints",
    "ContainerTask": "sdk.containers",
    "CronSchedule": "sdk.schedules",
    "DataStrategy": "sdk.containers",
    "Deck": "sdk.decks",
    "DeckField": "sdk.decks",
    "Email": "sdk.notifications",
    "Environment": "sdk.environment",
    "ExecutionParameters": "sdk.context",
    "FailurePolicy": "spec.entities",
    "FileExt": "sdk.types.formats",
    "FixedRate": "sdk.schedules",
    "FlyteAnnotation": "sdk.types.annotations",
    "FlyteDirectory": "sdk.types.directory",
    "FlyteError": "sdk.types.error",
    "FlyteFile": "sdk.types.file",
    "FlyteNonRecoverableException": "errors",
    "FlytePickle": "sdk.types.pickles",
    "FlyteRecoverableException": "errors",
    "FlyteTemporalError": "errors",
    "HDF5EncodedFile": "sdk.types.formats",
    "HTMLPage": "sdk.types.formats",
    "HashMethod": "sdk.types.annotations",
    "ImageSpec": "sdk.images",
    "ImperativeWorkflow": "sdk.imperative",
    "Inputs": "sdk.artifacts",
    "JPEGImageFile": "sdk.types.formats",
    "JSON": "sdk.types.iterators",
    "JSONLFile": "sdk.types.formats",
    "JoblibSerializedFile": "sdk.types.formats",
    "LaunchPlan": "sdk.launch_plans",
    "MarkdownRenderer": "sdk.deck_renderers",
    "ONNXFile": "sdk.types.formats",
    "OnOom": "sdk.retrying",
    "Options": "sdk.options",
    "OutputLocation": "sdk.shell",
    "PDFFile": "sdk.types.formats",
    "PNGImageFile": "sdk.types.formats",
    "PagerDuty": "sdk.notifications",
    "PickleWarning": "sdk.types.pickles",
    "PodTemplate": "sdk.pods",
    "PythonFunctionWorkflow": "sdk.workflows",
    "PythonInstanceTask": "sdk.instances",
    "PythonNotebook": "sdk.types.formats",
    "PythonPickledFile": "sdk.types.formats",
    "PythonTask": "sdk.tasks",
    "Resources": "sdk.policies",
    "RetryPolicy": "sdk.retrying",
    "SQLAlchemyConfig": "adapters.databases.sqlalchemy_task",
    "SQLAlchemyTask": "adapters.databases.sqlalchemy_task",
    "SQLTask": "sdk.sql",
    "SQLite3Config": "sdk.sql",
    "SQLite3Task": "sdk.sql",
    "SVGImageFile": "sdk.types.formats",
    "Secret": "sdk.secrets",
    "SecretWarning": "sdk.literal_secrets",
    "ShellTask": "sdk.shell",
    "Slack": "sdk.notifications",
    "StructuredDataset": "sdk.types.datasets",
    "StructuredDatasetDecoder": "sdk.types.datasets",
    "StructuredDatasetEncoder": "sdk.types.datasets",
    "StructuredDatasetTransformerEngine": "sdk.types.datasets",
    "TFRecordFile": "sdk.types.formats",
    "TFRecordsDirectory": "sdk.types.formats",
    "TaskMetadata": "sdk.instances",
    "TensorboardLogs": "sdk.types.formats",
    "Timeouts": "sdk.retrying",
    "TopFrameRenderer": "sdk.deck_renderers",
    "TypeEngine": "sdk.types.engine",
    "TypeTransformer": "sdk.types.engine",
    "VersionParameters": "sdk.cache",
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
    "kwtypes": "sdk.types.annotations",
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
