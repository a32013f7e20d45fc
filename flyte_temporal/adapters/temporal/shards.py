"""Which workflow of an execution is to be asked: the run itself, or one of the shards of its maps. Pure; for `engine`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyte_temporal.errors import Conflict
from flyte_temporal.spec.calls import GateState, ShardState
from flyte_temporal.spec.identifiers import ExecutionId


def owner_of(gate: str, execution: ExecutionId, gates: Mapping[str, Sequence[GateState]]) -> str:
    """Return the workflow that has the gate of a name: the run itself, which refuses what is not there, or a shard.

    Args:
        gate: The name.
        execution: The execution.
        gates: What the workflows said.

    Raises:
        Conflict: If several have an open gate of the name.
    """
    named = {name: [g for g in found if gate in {g.name, g.node}] for name, found in gates.items()}
    owners = {name: found for name, found in named.items() if found}
    open_ = {name: found for name, found in owners.items() if any(g.reply is None for g in found)}
    if len(open_) > 1:
        paths = [g.node for found in open_.values() for g in found if g.reply is None]
        more = f" and {len(paths) - 20:,} more" if len(paths) > 20 else ""
        raise Conflict(
            f"Several gates are named {gate!r}: {', '.join(paths[:20])}{more}. Give the node id of one of them."
        )
    return next(iter(open_ or owners), execution.name)


def shard_with(path: str, shards: Sequence[ShardState]) -> ShardState | None:
    """Return the shard that has the item which a node is, or is in; None if none has it."""
    for shard in shards:
        position, bracket, _ = path.removeprefix(f"{shard.path}[").partition("]")
        inside = path.startswith(f"{shard.path}[") and bracket and position.isdigit()
        if inside and shard.offset <= int(position) < shard.offset + shard.count:
            return shard
    return None
