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
    from flyte_temporal.sdk.context import ExecutionParameters, current_context
    from flyte_temporal.sdk.policies import Cache, Resources
    from flyte_temporal.sdk.recording import create_node
    from flyte_temporal.sdk.tasks import PythonTask, task
    from flyte_temporal.sdk.types.annotations import BatchSize, FlyteAnnotation, HashMethod, kwtypes
    from flyte_temporal.sdk.types.datasets import (
        StructuredDataset,
        StructuredDatasetDecoder,
        StructuredDatasetEncoder,
        StructuredDatasetTransformerEngine,
    )
    from flyte_temporal.sdk.types.engine import TypeEngine, TypeTransformer
    from flyte_temporal.sdk.types.file import FlyteFile
    from flyte_temporal.sdk.types.iterators import JSON
    from flyte_temporal.sdk.types.pickles import FlytePickle, PickleWarning
    from flyte_temporal.sdk.workflows import Workflow, workflow
    from flyte_temporal.spec.entities import FailurePolicy
    from flyte_temporal.spec.entities import FailurePolicy as WorkflowFailurePolicy

__all__ = [
    "JSON",
    "BatchSize",
    "Cache",
    "ExecutionParameters",
    "FailurePolicy",
    "FlyteAnnotation",
    "FlyteFile",
    "FlyteNonRecoverableException",
    "FlytePickle",
    "FlyteRecoverableException",
    "FlyteTemporalError",
    "HashMethod",
    "PickleWarning",
    "PythonTask",
    "Resources",
    "StructuredDataset",
    "StructuredDatasetDecoder",
    "StructuredDatasetEncoder",
    "StructuredDatasetTransformerEngine",
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
    "BatchSize": "sdk.types.annotations",
    "Cache": "sdk.policies",
    "ExecutionParameters": "sdk.context",
    "FailurePolicy": "spec.entities",
    "FlyteAnnotation": "sdk.types.annotations",
    "FlyteFile": "sdk.types.file",
    "FlyteNonRecoverableException": "errors",
    "FlytePickle": "sdk.types.pickles",
    "FlyteRecoverableException": "errors",
    "FlyteTemporalError": "errors",
    "HashMethod": "sdk.types.annotations",
    "JSON": "sdk.types.iterators",
    "PickleWarning": "sdk.types.pickles",
    "PythonTask": "sdk.tasks",
    "Resources": "sdk.policies",
    "StructuredDataset": "sdk.types.datasets",
    "StructuredDatasetDecoder": "sdk.types.datasets",
    "StructuredDatasetEncoder": "sdk.types.datasets",
    "StructuredDatasetTransformerEngine": "sdk.types.datasets",
    "TypeEngine": "sdk.types.engine",
    "TypeTransformer": "sdk.types.engine",
    "Workflow": "sdk.workflows",
    "WorkflowFailurePolicy": "spec.entities",
    "__version__": "_version",
    "create_node": "sdk.recording",
    "current_context": "sdk.context",
    "kwtypes": "sdk.types.annotations",
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
