"""Results as JSON documents and as text: the shapes that architecture.md promises to scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.output import Output, visible
from flyte_temporal.errors import ExecutionAborted
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.execution import (
    ErrorDocument,
    ErrorKind,
    ExecutionPhase,
    ExecutionRecord,
    FailedAttempt,
    GateReply,
    NodePhase,
    NodeRecord,
    Repair,
)


def run_document(
    id_: str | None, phase: str | None, outputs: Mapping[str, Any], error: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the document that every command about one execution prints.

    Args:
        id_: The execution; None if none was made.
        phase: Its phase; None if nothing was started.
        outputs: Plain values by name.
        error: Its error, if it has one.
    """
    return {"id": id_, "phase": phase, "outputs": dict(outputs), "error": error and dict(error)}


def record_document(record: ExecutionRecord, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document for an execution."""
    error = error_of(record)
    return run_document(
        record.request.id.name, record.phase.value, outputs, error_fields(error) if error else None
    )


def error_fields(error: ErrorDocument) -> dict[str, Any]:
    """Return what scripts get to know of an error; `others` is there if more than one node failed."""
    fields: dict[str, Any] = {
        "kind": error.kind.value,
        "code": error.code,
        "message": error.message,
        "node": error.node,
    }
    if error.others:
        fields["others"] = [error_fields(other) for other in error.others]
    return fields


def error_of(record: ExecutionRecord) -> ErrorDocument | None:
    """Return why an execution did not succeed; an abort without an error of its own tells who and why."""
    if record.error is not None or record.phase is not ExecutionPhase.ABORTED:
        return record.error
    by = f" by {record.aborted_by}" if record.aborted_by else ""
    why = f": {record.abort_reason}" if record.abort_reason else ""
    return ErrorDocument(
        kind=ErrorKind.USER, code=ExecutionAborted.code, message=f"Aborted{by}{why}.", recoverable=False
    )


def print_result(
    output: Output,
    record: ExecutionRecord,
    outputs: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> ExitCode:
    """Print how an execution ended, and return the exit code for it; `more` are further members of the document."""
    if output.json:
        output.document({**record_document(record, outputs), **(more or {})})
    else:
        print_outputs(output, outputs)
        took = duration(record.started_at or record.created_at, record.finished_at)
        name = record.request.id.name
        output.note(f"Execution {name} {record.phase.value}{f' in {took}' if took else ''}.")
        if error := error_of(record):
            output.note(error_text(error))
            output.note(f"What its tasks printed: flyte-temporal logs {name}")
    return ExitCode.SUCCEEDED if record.phase is ExecutionPhase.SUCCEEDED else ExitCode.FAILED


def print_outputs(output: Output, outputs: Mapping[str, Any]) -> None:
    """Print outputs as `name: value` lines."""
    for name, value in outputs.items():
        output.result(f"{name}: {plain(value)}")


def error_text(error: ErrorDocument) -> str:
    """Return an error for a person: the node, the message, the user's own frames."""
    where = f" in node {error.node}" if error.node else ""
    text = f"Error ({error.kind.value}, {error.code}){where}: {error.message}"
    if error.traceback:
        text += f"\n{error.traceback.rstrip()}"
    for other in error.others:
        text += f"\nAlso failed: node {other.node}: {other.message}"
    return visible(text)


def plain(value: Any) -> str:
    """Return a plain value as text: a string as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def node_row(node: NodeRecord) -> dict[str, Any]:
    """Return the row of a node."""
    return {
        "id": node.id,
        "name": node.name,
        "kind": node.kind,
        "phase": node.phase.value,
        "attempts": node.attempts,
        "cache": node.cache.value,
        "started_at": instant(node.started_at),
        "finished_at": instant(node.finished_at),
        "reason": node.reason,
        "error": error_fields(node.error) if node.error else None,
        "child": node.child or None,
        "spec": node.spec or None,
        "source": f"{node.source.execution} {node.source.node}" if node.source else None,
        "anew": node.anew or None,
        "reply": None if node.reply is None else _reply(node.reply),
        "checkpoint": None if node.checkpoint is None else _checkpoint(node.checkpoint),
        "items": {phase.value: count for phase, count in node.item_phases.items()} if node.items else None,
        "failed": [_attempt(each) for each in node.failed],
        "repairs": [_repair(each) for each in node.repairs],
    }


def _repair(repair: Repair) -> dict[str, Any]:
    return {
        "kind": repair.kind,
        "by": repair.by,
        "at": instant(repair.at),
        "note": repair.note or None,
        "spec": repair.spec or None,
    }


def _checkpoint(saved: SavedCheckpoint) -> dict[str, Any]:
    return {
        "step": saved.step,
        "tag": saved.tag or None,
        "attempt": saved.attempt,
        "generation": saved.generation,
        "size": saved.size,
        "saved_at": instant(saved.saved_at),
    }


def _attempt(failed: FailedAttempt) -> dict[str, Any]:
    return {
        "attempt": failed.number,
        "verdict": failed.verdict.value,
        "code": failed.code,
        "message": failed.message,
        "asked_at": instant(failed.asked_at),
        "finished_at": instant(failed.finished_at),
        "memory": failed.memory or None,
        "next": failed.next,
    }


def taken_from(node: NodeRecord) -> str:
    """Return where the outputs of a node come from that were remembered or copied; empty for others."""
    if node.source is None:
        return ""
    child = f", execution {node.child}" if node.child else ""
    return f"from {node.source.execution} {node.source.node}{child}"


def items_text(node: NodeRecord) -> str:
    """Return how the items of a map in shards are, in words; empty for other nodes."""
    if not node.items:
        return ""
    found = [f"{node.item_phases[phase]:,} {phase}" for phase in NodePhase if phase in node.item_phases]
    return f"{node.items:,} items: {', '.join(found) or 'none has begun'}"


def _reply(reply: GateReply) -> dict[str, Any]:
    answer = {"value": reply.value} if reply.approved is None else {"approved": reply.approved}
    return {**answer, "by": reply.by, "at": instant(reply.at)}


def execution_row(record: ExecutionRecord) -> dict[str, Any]:
    """Return the row of an execution."""
    request = record.request
    return {
        "id": request.id.name,
        "phase": record.phase.value,
        "entity": request.root.name,
        "project": request.id.project,
        "domain": request.id.domain,
        "requested_by": request.requested_by,
        "created_at": instant(record.created_at),
        "started_at": instant(record.started_at),
        "finished_at": instant(record.finished_at),
        "parent": f"{request.parent.execution} {request.parent.node}" if request.parent else None,
        "recovered_from": record.recovered_from or None,
    }


def instant(at: datetime | None) -> str | None:
    """Return a time as ISO 8601, or None."""
    return at.isoformat() if at else None


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two instants for a person; empty if either is unknown."""
    if start is None or end is None:
        return ""
    seconds = max((end - start).total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    """Return rows as aligned lines of text, the column names first.

    Args:
        rows: The rows; all values are shown by `plain`, None as nothing.
        columns: Keys to show, in order.
    """
    cells = [[column.upper().replace("_", " ") for column in columns]]
    cells += [["" if row[column] is None else plain(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
