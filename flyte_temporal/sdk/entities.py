"""The things that users declare, for those who only need to know them: client, CLI, compiler."""

from __future__ import annotations

from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.tasks import PythonTask
from flyte_temporal.sdk.workflows import Workflow

__all__ = ["Entity", "PythonTask", "Workflow"]
