"""What Temporal's UI says of an execution, besides what the run itself shows: one line, and how to go on from there. Pure."""

from __future__ import annotations

from flyte_temporal.spec.execution import ExecutionRequest


def summary_of(request: ExecutionRequest) -> str:
    """Return the line that lists and timelines show; Temporal takes 400 bytes."""
    if request.parent is not None:
        return f"{request.parent.node} of {request.parent.execution}"[:200]
    who = f", started by {request.requested_by}" if request.requested_by else ""
    return f"{request.root.kind} {request.root.name} {request.version[:12]}{who}"[:200]


def details_of(request: ExecutionRequest) -> str:
    """Return Markdown for somebody who knows Temporal, but not us."""
    execution = request.id
    place = (
        "" if request.parent is None else f", node `{request.parent.node}` of `{request.parent.execution}`"
    )
    lines = [
        (
            f"Execution of the {request.root.kind} `{request.root.name}`, version `{request.version}`, "
            f"in {execution.project}/{execution.domain}{place}."
        ),
        "",
        "- What became of each node: **Current Details**.",
        (
            "- An activity is one attempt of a node: its type is the task, its id `node#attempt`, its failure is the user's own "
            "message and traceback."
        ),
        f"- What the tasks printed: `flyte-temporal logs {execution.name}`.",
    ]
    return "\n".join(lines)
