"""Documents as rows and back."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from flyte_temporal.spec.document import canonical_bytes, canonical_json
from flyte_temporal.spec.execution import ErrorDocument, ExecutionRecord, ExecutionRequest, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import LiteralValue

_OUTPUTS: TypeAdapter[dict[str, LiteralValue]] = TypeAdapter(dict[str, LiteralValue])


_UNTOLD = "+"
"""Stands behind the id of a run that has still to tell its nodes: not worth a column that is false but for seconds."""


def execution_key(execution: ExecutionId) -> dict[str, str]:
    """Return the primary key of an execution."""
    return {"project": execution.project, "domain": execution.domain, "name": execution.name}


def new_execution_row(record: ExecutionRecord) -> dict[str, Any]:
    """Return the whole row of an execution."""
    request = record.request
    return {
        **execution_key(request.id),
        "fingerprint": request.fingerprint(),
        "root_kind": request.root.kind,
        "root_name": request.root.name,
        "version": request.version,
        "spec": request.spec,
        "requested_by": request.requested_by[:255],
        "created_at": record.created_at,
        "request": canonical_bytes(request).decode(),
        **execution_state(record),
    }


def execution_state(record: ExecutionRecord) -> dict[str, Any]:
    """Return the columns of an execution that change."""
    outputs = {name: json.loads(canonical_bytes(value)) for name, value in record.outputs.items()}
    return {
        "phase": record.phase.value,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "abort_reason": record.abort_reason,
        "aborted_by": record.aborted_by[:255],
        "run": f"{record.run}{_UNTOLD}" if record.untold else record.run,
        "outputs": canonical_json(outputs).decode(),
        "error": None if record.error is None else canonical_bytes(record.error).decode(),
    }


def read_execution(row: RowMapping) -> ExecutionRecord:
    """Return an execution from its row."""
    return ExecutionRecord(
        request=ExecutionRequest.model_validate_json(row["request"]),
        phase=row["phase"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        outputs=_OUTPUTS.validate_json(row["outputs"]),
        error=None if row["error"] is None else ErrorDocument.model_validate_json(row["error"]),
        abort_reason=row["abort_reason"],
        aborted_by=row["aborted_by"],
        run=row["run"].removesuffix(_UNTOLD),
        untold=row["run"].endswith(_UNTOLD),
    )


def node_row(execution: ExecutionId, node: NodeRecord) -> dict[str, Any]:
    """Return the row of a node."""
    return {
        "project": execution.project,
        "domain": execution.domain,
        "execution": execution.name,
        "node": node.id,
        "position": node.order,
        "phase": node.phase.value,
        "attempts": node.attempts,
        "document": canonical_bytes(node).decode(),
    }


def read_node(row: RowMapping) -> NodeRecord:
    """Return a node from its row."""
    return NodeRecord.model_validate_json(row["document"])
