"""What an earlier execution was asked for."""

from __future__ import annotations

from typing import Any

from flyte_temporal.client.submitting import Workshop
from flyte_temporal.compiler import compile_entity
from flyte_temporal.sdk.entities import Entity
from flyte_temporal.spec import keys
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.execution import Environment, ExecutionRequest
from flyte_temporal.testing.closures import run_input


def then(workshop: Workshop, entity: Entity, **environment: Any) -> ExecutionRequest:
    """Return what an execution was asked for, whose spec and code are in the store."""
    closure = compile_entity(entity)
    workshop.blobs.put_new(keys.closure(digest(closure)), canonical_bytes(closure))
    return run_input(closure, "before", environment=Environment(**environment)).request
