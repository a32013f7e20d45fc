"""Names of the activities that the interpreter asks for, with one request and one response model each.

The interpreter knows activities only by these; a unit test checks that each has a registered activity of that
signature. An attempt's activity has the task's own name as its type (it is served by one dynamic activity), so that
histories read in the user's words.
"""

from __future__ import annotations

from datetime import datetime

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.execution import Environment, ErrorDocument, ExecutionPhase, NodeRecord
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.policies import Overrides

RECORD = "flyte_temporal.record"
"""Local activity: write records of an execution and its nodes. Request `RecordRequest`, no response."""


class AttemptRequest(Document):
    """Run one attempt and return when it has ended; the activity type is the task's name.

    Args:
        attempt: Which attempt.
        spec: Digest of the closure that holds the task.
        task: Name of the task.
        inputs: Its inputs.
        environment: Where it runs.
        overrides: The node's own settings.
        order: Position of the node in listings.
        name: Name of the node for people.
        inline_bytes: Outputs larger than this travel by reference.
        created_at: When the execution started, UTC.
        first_started_at: When the node's first attempt was asked for, UTC.
    """

    attempt: AttemptId
    spec: str
    task: str
    inputs: dict[str, LiteralValue] = {}
    environment: Environment = Environment()
    overrides: Overrides | None = None
    order: int = 0
    name: str = ""
    inline_bytes: int = 64 * 1024
    created_at: datetime | None = None
    first_started_at: datetime | None = None


class AttemptResult(Document):
    """A successful attempt. A failed one fails the activity, with the `ErrorDocument` as the failure's detail.

    Args:
        outputs: Its outputs; empty if `spec` is set.
        spec: Digest of the closure to run for its outputs (dynamic tasks).
        started_at: When user code was about to be loaded, UTC.
        finished_at: When the manifest was written, UTC.
        peak_rss_bytes: Largest resident memory of its process.
    """

    outputs: dict[str, LiteralValue] = {}
    spec: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    peak_rss_bytes: int = 0


class RecordRequest(Document):
    """Records to write; idempotent.

    Args:
        execution: The execution.
        nodes: Final or current states of nodes.
        phase: New phase of the execution, if it changed.
        outputs: Its outputs, when it succeeded.
        error: Its error, when it failed.
        reason: Why it was aborted.
        at: Time of the change by the workflow's clock, UTC.
    """

    execution: ExecutionId
    nodes: tuple[NodeRecord, ...] = ()
    phase: ExecutionPhase | None = None
    outputs: dict[str, LiteralValue] = {}
    error: ErrorDocument | None = None
    reason: str = ""
    at: datetime | None = None
