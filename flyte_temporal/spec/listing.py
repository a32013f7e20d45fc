"""Which nodes of an execution are asked for: a map in shards has more than anybody wants to see at once."""

from __future__ import annotations

from pydantic import Field

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import NodePhase


class NodeFilter(Document):
    """Which records are wanted, in listing order.

    Args:
        below: Path of a node: only it and what stands below it; empty = all.
        phases: Only nodes in one of these; empty = all.
        in_shards: True = only nodes that shards of maps run; False = only others; None = both.
        offset: How many to leave out at the beginning.
        limit: How many at most; 0 = all.
    """

    below: str = ""
    phases: tuple[NodePhase, ...] = ()
    in_shards: bool | None = None
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=0, ge=0)


ALL = NodeFilter()
