"""What a client is given and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ExecutionRecord, NodeRecord
from flyte_temporal.spec.literals import LiteralValue


@dataclass(frozen=True)
class Submission:
    """Something to start that is compiled already.

    Args:
        closure: The compiled entity.
        inputs: Values for its inputs; what is left out comes from the defaults.
        source_root: Folder of the code, to be stored as a bundle; None if it needs none (installed packages, images).
        execution_id: The caller's own id, by which the request is idempotent; None = one is made up.
        launcher: What runs attempts: `pool` (warm processes) or `process` (a fresh one for each).
        project: None = the client's.
        domain: None = the client's.
        labels: For people and search.
        version: The caller's own version; None = digest of code and spec.
        overwrite_cache: Recompute and store anew.
        max_parallelism: Largest number of nodes at work at once; 0 = no limit.
        deadline_s: Seconds from its start after which it fails; 0 = none but that of its workflow.
    """

    closure: Closure
    inputs: Mapping[str, LiteralValue] = field(default_factory=dict)
    source_root: Path | None = None
    execution_id: str | None = None
    launcher: str = "pool"
    project: str | None = None
    domain: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    overwrite_cache: bool = False
    max_parallelism: int = 0
    deadline_s: float = 0.0


@dataclass(frozen=True)
class Update:
    """An execution and its nodes at one moment, the nodes in listing order."""

    execution: ExecutionRecord
    nodes: list[NodeRecord]


@dataclass(frozen=True)
class DeckCopy:
    """The deck of an attempt.

    Args:
        node: Path of the node.
        attempt: Number of the attempt.
        uri: Where it is stored.
        html: Its content, a whole document. It holds what user code wrote: show it as a page of its own only.
    """

    node: str
    attempt: int
    uri: str
    html: str
