"""What callers send and get: light documents, also imported by `client`, which must not load settings or adapters."""

from __future__ import annotations

import secrets
import string
from enum import StrEnum

from flyte_temporal.spec.cache import CacheEntry
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment, ExecutionRecord, NodeRecord, NodeRef, Recovery
from flyte_temporal.spec.identifiers import (
    ExecutionId,
    ExecutionName,
    ImageName,
    NodePath,
    ProjectName,
    VersionName,
)
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.policies import Resources


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
        no_cache: Neither look up nor store anything.
        max_parallelism: Largest number of nodes at work at once; 0 = no limit of its own.
        recover: What of an earlier execution is taken over.
        deadline_s: Seconds from its start after which it fails; 0 = none but that of its workflow.
        pause_on_failure: Whether nodes that would fail for good are held instead, for somebody to repair them.
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
    no_cache: bool = False
    max_parallelism: int = 0
    deadline_s: float = 0.0
    pause_on_failure: bool = False
    recover: Recovery | None = None


class RecoverRequest(Document):
    """A wish to start an execution that takes over what an earlier one has done.

    Args:
        source: The earlier execution; it is over.
        closure: What is run; None = the same as then.
        environment: Where it runs; None = as then.
        inputs: Values given anew; the others are those of then.
        launcher: What runs the attempts; empty = as then.
        image: Image of tasks that name none; empty = as then.
        images: Images by the names that tasks use in templates, besides those of then.
        execution_id: As in `StartRequest`.
        requested_by: As in `StartRequest`.
        trust_code: Whether results of code that has changed since are taken over too.
        overwrite_cache: What is run is computed and stored anew, also if it was not so then.
        no_cache: What is run is neither looked up nor stored, also if it was not so then.
        rerun: Nodes, by path or name, that are run again with all that comes after them.
    """

    source: ExecutionId
    closure: Closure | None = None
    environment: Environment | None = None
    inputs: dict[str, LiteralValue] = {}
    launcher: str = ""
    image: ImageName = ""
    images: dict[str, ImageName] = {}
    execution_id: ExecutionName | None = None
    requested_by: str = ""
    trust_code: bool = False
    overwrite_cache: bool = False
    no_cache: bool = False
    rerun: tuple[str, ...] = ()


class RetryRequest(Document):
    """A wish to try held nodes of a run once more.

    Args:
        node: As in `NodeRetry`.
        closure: Fixed code, compiled; None = the code of before.
        environment: Where it runs.
        only_these: As in `NodeRetry`.
        resources: As in `NodeRetry`.
        by: Who asks; empty = the installation's owner.
    """

    node: str = ""
    closure: Closure | None = None
    environment: Environment | None = None
    only_these: bool = False
    resources: Resources | None = None
    by: str = ""


class Fate(StrEnum):
    """What will become of a node when an execution is recovered."""

    COPIED = "copied"
    RUNS = "runs"
    OPEN = "open"
    """Copied if what it depends on, which runs, gives the same as before."""


class PlannedNode(Document):
    """A node of a recovery that has not begun.

    Args:
        id: Its path.
        name: Name for people.
        kind: As in `NodeRecord`.
        fate: What will become of it.
        reason: Why it is not copied, in words.
        source: The node whose result is copied.
    """

    id: NodePath
    name: str
    kind: str
    fate: Fate
    reason: str = ""
    source: NodeRef | None = None


class RecoveryPlan(Document):
    """What recovering an execution will copy and run, as far as it is known beforehand.

    Args:
        source: The execution that is recovered.
        nodes: The nodes, each before those that it holds.
        notes: What else is to be known, in sentences.
    """

    source: str
    nodes: tuple[PlannedNode, ...] = ()
    notes: tuple[str, ...] = ()


class Update(Document):
    """An execution and its nodes at one moment.

    Args:
        execution: The execution.
        nodes: Its nodes, in listing order.
    """

    execution: ExecutionRecord
    nodes: tuple[NodeRecord, ...] = ()


class CacheSweep(Document):
    """What was removed of the cache, or would be.

    Args:
        removed: Number of entries.
        removed_bytes: Size of their outputs, which stay where they are.
        left: Number of entries that stay, if that was looked at.
        left_bytes: Size of their outputs.
        entries: The first of those that were removed.
        dry_run: Whether nothing was done.
    """

    removed: int = 0
    removed_bytes: int = 0
    left: int = 0
    left_bytes: int = 0
    entries: tuple[CacheEntry, ...] = ()
    dry_run: bool = False


class LogLine(Document):
    """One line that a task printed, without its line break."""

    node: str
    attempt: int
    text: str


class LogNews(Document):
    """What comes while a log is followed.

    Args:
        lines: Lines, in order.
        waits: What is waited for because there is none of it yet, in a sentence; then there are no lines.
    """

    lines: tuple[LogLine, ...] = ()
    waits: str = ""


def new_execution_id(entity: str) -> str:
    """Return a fresh id: the entity's short name and 8 random characters."""
    alphabet = string.ascii_lowercase + string.digits
    short = entity.rpartition(".")[2].strip("_-")[:100] or "run"
    return f"{short}-{''.join(secrets.choice(alphabet) for _ in range(8))}"
