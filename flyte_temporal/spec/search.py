"""Search attributes of a run in Temporal: their names, and their values for a request. All are keywords.

Standard library only: the supervisor of the local stack starts Temporal with the names before it imports anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_temporal.spec.execution import ExecutionRequest

PHASE = "FtPhase"
SEARCH_ATTRIBUTES = ("FtProject", "FtDomain", "FtEntity", "FtVersion", "FtOwner", PHASE)
"""Names of the search attributes that a namespace must have. On SQL databases a namespace can have ten keywords, of 255
characters (temporal.md §1)."""


def search_values(request: ExecutionRequest) -> dict[str, str]:
    """Return the values with which a run starts."""
    values = (
        request.id.project,
        request.id.domain,
        request.root.name,
        request.version,
        request.requested_by,
        "RUNNING",
    )
    return {name: value[:255] for name, value in zip(SEARCH_ATTRIBUTES, values, strict=True)}
