"""What callers send and get: light documents, also imported by `client`, which must not load settings or adapters."""

from __future__ import annotations

import secrets
import string

from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment, ExecutionRecord, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionName, ProjectName, VersionName
from flyte_temporal.spec.literals import LiteralValue


class StartRequest(Document):
    """A person's or service's wish to start something, before it is checked and completed.

    Args:
        closure: The compiled entity.
        inputs: Values given; the rest comes from defaults.
        environment: Where it runs.
        project: Project; empty = the installation's default.
        domain: Domain; empty = likewise.
        execution_id: The caller's own id, which makes the request idempotent; empty = one is made up.
        version: The caller's own version; empty = digest of closure and code bundle.
        requested_by: Who asks; empty = the installation's owner.
        labels: For people and search.
        overwrite_cache: Recompute and store anew.
        max_parallelism: Largest number of nodes at work at once; 0 = no limit of its own.
        deadline_s: Seconds from its start after which it fails; 0 = none but that of its workflow.
    """

    closure: Closure
    inputs: dict[str, LiteralValue] = {}
    environment: Environment = Environment()
    project: ProjectName | None = None
    domain: ProjectName | None = None
    execution_id: ExecutionName | None = None
    version: VersionName | None = None
    requested_by: str = ""
    labels: dict[str, str] = {}
    overwrite_cache: bool = False
    max_parallelism: int = 0
    deadline_s: float = 0.0


class Update(Document):
    """An execution and its nodes at one moment.

    Args:
        execution: The execution.
        nodes: Its nodes, in listing order.
    """

    execution: ExecutionRecord
    nodes: tuple[NodeRecord, ...] = ()


class LogLine(Document):
    """One line that a task printed, without its line break."""

    node: str
    attempt: int
    text: str


def new_execution_id(entity: str) -> str:
    """Return a fresh id: the entity's short name and 8 random characters."""
    alphabet = string.ascii_lowercase + string.digits
    short = entity.rpartition(".")[2].strip("_-")[:100] or "run"
    return f"{short}-{''.join(secrets.choice(alphabet) for _ in range(8))}"
