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
    from flyte_temporal.adapters.databases.sqlalchemy_task import SQLAlchemyConfig, SQLAlchemyTask
    from flyte_temporal.errors import (
        FlyteNonRecoverableException,
        FlyteRecoverableException,
        FlyteTemporalError,
    )
    from flyte_temporal.sdk.artifacts import Artifact, Inputs
    from flyte_temporal.sdk.containers import ContainerTask
    from flyte_temporal.sdk.context import ExecutionParameters, current_context
    from flyte_temporal.sdk.deck_renderers import MarkdownRenderer, TopFrameRenderer
    from flyte_temporal.sdk.decks import Deck, DeckField
    from flyte_temporal.sdk.images import ImageSpec
    from flyte_temporal.sdk.instances import PythonInstanceTask, TaskMetadata
    from flyte_temporal.sdk.kwtypes import kwtypes
    from flyte_temporal.sdk.pods import PodTemplate
    from flyte_temporal.sdk.policies import Cache, Resources
    from flyte_temporal.sdk.recording import create_node
    from flyte_temporal.sdk.secrets import Secret
    from flyte_temporal.sdk.shell import OutputLocation, ShellTask
    from flyte_temporal.sdk.sql import SQLite3Config, SQLite3Task, SQLTask
    from flyte_temporal.sdk.tasks import PythonTask, task
    from flyte_temporal.sdk.types.engine import TypeEngine, TypeTransformer
    from flyte_temporal.sdk.types.file import FlyteFile
    from flyte_temporal.sdk.workflows import Workflow, workflow
    from flyte_temporal.spec.entities import FailurePolicy
    from flyte_temporal.spec.entities import FailurePolicy as WorkflowFailurePolicy

__all__ = [
    "Artifact",
    "Cache",
    "ContainerTask",
    "Deck",
    "DeckField",
    "ExecutionParameters",
    "FailurePolicy",
    "FlyteFile",
    "FlyteNonRecoverableException",
    "FlyteRecoverableException",
    "FlyteTemporalError",
    "ImageSpec",
    "Inputs",
    "MarkdownRenderer",
    "OutputLocation",
    "PodTemplate",
    "PythonInstanceTask",
    "PythonTask",
    "Resources",
    "SQLAlchemyConfig",
    "SQLAlchemyTask",
    "SQLTask",
    "SQLite3Config",
    "SQLite3Task",
    "Secret",
    "ShellTask",
    "TaskMetadata",
    "TopFrameRenderer",
    "TypeEngine",
    "TypeTransformer",
    "Workflow",
    "WorkflowFailurePolicy",
    "__version__",
    "create_node",
    "current_context",
    "kwtypes",
    "task",
    "workflow",
]

_HOMES = {
    "Artifact": "sdk.artifacts",
    "Cache": "sdk.policies",
    "ContainerTask": "sdk.containers",
    "Deck": "sdk.decks",
    "DeckField": "sdk.decks",
    "ExecutionParameters": "sdk.context",
    "FailurePolicy": "spec.entities",
    "FlyteFile": "sdk.types.file",
    "FlyteNonRecoverableException": "errors",
    "FlyteRecoverableException": "errors",
    "FlyteTemporalError": "errors",
    "ImageSpec": "sdk.images",
    "Inputs": "sdk.artifacts",
    "MarkdownRenderer": "sdk.deck_renderers",
    "OutputLocation": "sdk.shell",
    "PodTemplate": "sdk.pods",
    "PythonInstanceTask": "sdk.instances",
    "PythonTask": "sdk.tasks",
    "Resources": "sdk.policies",
    "SQLAlchemyConfig": "adapters.databases.sqlalchemy_task",
    "SQLAlchemyTask": "adapters.databases.sqlalchemy_task",
    "SQLTask": "sdk.sql",
    "SQLite3Config": "sdk.sql",
    "SQLite3Task": "sdk.sql",
    "Secret": "sdk.secrets",
    "ShellTask": "sdk.shell",
    "TaskMetadata": "sdk.instances",
    "TopFrameRenderer": "sdk.deck_renderers",
    "TypeEngine": "sdk.types.engine",
    "TypeTransformer": "sdk.types.engine",
    "Workflow": "sdk.workflows",
    "WorkflowFailurePolicy": "spec.entities",
    "__version__": "_version",
    "create_node": "sdk.recording",
    "current_context": "sdk.context",
    "kwtypes": "sdk.kwtypes",
    "task": "sdk.tasks",
    "workflow": "sdk.workflows",
}
_RENAMED = {"WorkflowFailurePolicy": "FailurePolicy"}


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
