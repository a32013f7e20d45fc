"""Which of two states of the same thing stays: pure rules, shared by the SQL store and the fake.

Writers are several and late: activities of a worker that was thought lost, its successor, the interpreter's replay,
and reconciliation. So a state is replaced only by one that is further on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from flyte_temporal.errors import Conflict
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.execution import (
    ExecutionPhase,
    ExecutionRecord,
    ExecutionRequest,
    NodePhase,
    NodeRecord,
)
from flyte_temporal.spec.runs import SHARDED_ORDER


def check_same_request(found: ExecutionRecord, wanted: ExecutionRequest) -> None:
    """Refuse a request whose id belongs to another one.

    Args:
        found: What is stored under the name, in whatever project and domain: a name is unique in an installation.
        wanted: The request that has just come in.

    Raises:
        Conflict: If they are not the same request.
    """
    theirs, name = found.request.id, wanted.id.name
    if theirs != wanted.id:
        raise Conflict(
            f"The id {name!r} is taken by an execution of project {theirs.project}, domain {theirs.domain}; ids are "
            f"unique in an installation. Use another id for {wanted.id.project}/{wanted.id.domain}, for instance "
            "with the project's name in it."
        )
    if found.request.fingerprint() != wanted.fingerprint():
        raise Conflict(
            f"The id {name!r} belongs to another request in {theirs.project}/{theirs.domain} "
            f"({found.request.root.name}, made {found.created_at:%Y-%m-%d %H:%M:%S} UTC). Use another id, or send "
            "exactly the same request to attach to it."
        )


def _progress(phase: NodePhase | ExecutionPhase) -> int:
    if phase.terminal:
        return 2
    return 0 if phase in {NodePhase.QUEUED, ExecutionPhase.QUEUED} else 1


def merge_node(old: NodeRecord | None, new: NodeRecord, *, authoritative: bool = False) -> NodeRecord:
    """Return what is to be kept of a node.

    Args:
        old: What is stored, if anything.
        new: What arrived.
        authoritative: Whether it comes from the run itself, which may correct how an attempt ended; an activity, which
            may be a zombie, may not.
    """
    if old is None:
        return new
    return _with_newest_checkpoint(_merged(old, new, authoritative=authoritative), old, new)


def _with_newest_checkpoint(kept: NodeRecord, old: NodeRecord, new: NodeRecord) -> NodeRecord:
    """Keep the newest checkpoint that anyone has told of: an attempt that has saved none takes nothing back."""
    if new.checkpoint is None:
        newest = old.checkpoint
    else:
        newest = new.checkpoint if new.checkpoint.newer_than(old.checkpoint) else old.checkpoint
    return kept if kept.checkpoint == newest else kept.model_copy(update={"checkpoint": newest})


def _merged(old: NodeRecord, new: NodeRecord, *, authoritative: bool) -> NodeRecord:
    before, after = (old.attempts, _progress(old.phase)), (new.attempts, _progress(new.phase))
    woken = authoritative and old.phase is NodePhase.PAUSED and new.attempts == old.attempts
    if not authoritative and old.phase is NodePhase.PAUSED and after == before:
        # Only the run knows that a node is held; its attempt may write late.
        return _completed(old, new.started_at)
    if (after < before and not woken) or (after == before and new.phase.terminal and not authoritative):
        return _completed(old, new.started_at)
    update: dict[str, object] = {}
    if not new.attempt_key:
        update["attempt_key"] = old.attempt_key
    if not new.task:
        update["task"] = old.task
    if new.basis is None and old.basis is not None:
        update["basis"] = old.basis
    kept = new.model_copy(update=update) if update else new
    return _completed(kept, old.started_at)


def _completed(record: NodeRecord, other_start: datetime | None) -> NodeRecord:
    """Keep the earliest start that anyone has seen."""
    starts = [t for t in (record.started_at, other_start) if t is not None]
    earliest = min(starts, default=None)
    if earliest == record.started_at:
        return record
    return record.model_copy(update={"started_at": earliest})


def is_foreign(old: ExecutionRecord, change: RecordRequest) -> bool:
    """Return whether a change comes from another run than the one that the record follows.

    Which of the two is the newer one only Temporal knows (docs/decisions/0046).
    """
    return bool(change.run) and change.run != old.run and (bool(old.run) or old.phase.terminal)


def follow(old: ExecutionRecord, run: str, *, anew: bool) -> ExecutionRecord:
    """Return the record as it follows another run.

    Args:
        old: What is stored.
        run: The run.
        anew: Whether the run repeats what another has done (a reset), so that the end of that one counts no more.
    """
    if not anew:
        return old.model_copy(update={"run": run})
    return ExecutionRecord(
        request=old.request,
        phase=ExecutionPhase.RUNNING,
        created_at=old.created_at,
        started_at=old.started_at,
        run=run,
        untold=True,
    )


def is_undone(node: NodeRecord, anew: datetime, told: Mapping[str, NodeRecord] | None = None) -> bool:
    """Return whether a reset has made the state of a node undone.

    What had ended before the run that is repeated stays done: that run began with it, and the new one does too, without
    telling it. Items of maps in shards are told by no run; the new one tells their map.

    Args:
        node: What is stored of the node.
        anew: When the run had begun that is repeated.
        told: All nodes that the new run tells, by their paths; None while it has not: what hangs on that stays.
    """
    if node.finished_at is not None and node.finished_at < anew:
        return False
    if node.order < SHARDED_ORDER:
        return True
    if told is None:
        return False
    above, rest = _nearest(node.id, told)
    if above is None or not rest.startswith("[") or above.phase is NodePhase.QUEUED:
        return True
    # A map that is under way may start a shard again; a state that is not the last one might then hide those to come.
    return not above.phase.terminal and node.phase not in {NodePhase.SUCCEEDED, NodePhase.RECOVERED}


def _nearest(path: str, told: Mapping[str, NodeRecord]) -> tuple[NodeRecord | None, str]:
    """Return the nearest node above a path that is told, and what of the path is below it."""
    for end in range(len(path) - 1, 0, -1):
        if path[end] in ".[" and path[:end] in told:
            return told[path[:end]], path[end:]
    return None, path


def merge_execution(old: ExecutionRecord, change: RecordRequest) -> ExecutionRecord:
    """Return what is to be kept of an execution; the same object if nothing changes.

    The first terminal phase stays. PAUSED and RUNNING follow each other as the run says them, with a time; who writes for
    an attempt only knows that it has begun.
    """
    phase = change.phase
    if phase is ExecutionPhase.RUNNING and old.phase is ExecutionPhase.PAUSED and change.at is None:
        return old
    if phase is None or old.phase.terminal or _progress(phase) < _progress(old.phase):
        return old
    update: dict[str, object] = {"phase": phase, "run": change.run or old.run}
    first = _first_start(change) if phase is not ExecutionPhase.QUEUED else None
    if first is not None and (old.started_at is None or first < old.started_at):
        # Activities write first what they know; that the run began before, with a gate, the interpreter knows.
        update["started_at"] = first
    if phase.terminal:
        update["finished_at"] = change.at
        update["outputs"] = dict(change.outputs)
        update["error"] = change.error
    if phase is ExecutionPhase.ABORTED and not old.abort_reason and not old.aborted_by:
        update["abort_reason"] = change.reason
    return old.model_copy(update=update)


def _first_start(change: RecordRequest) -> datetime | None:
    starts = [node.started_at for node in change.nodes if node.started_at is not None]
    if change.phase is ExecutionPhase.RUNNING and change.at is not None:
        starts.append(change.at)
    return min(starts, default=None)
