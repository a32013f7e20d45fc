"""What a client is given and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

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
        launcher: What runs attempts: `pool` (warm processes), `process` (a fresh one for each), `podman`, `docker` or
            `kubernetes` (a container for each); empty = as the settings say for the project and domain.
        image: Image of tasks that name none; empty = as the settings say.
        images: Images by the names that tasks use in templates (`{{.image.NAME.fqn}}`).
        project: None = the client's.
        domain: None = the client's.
        labels: For people and search.
        version: The caller's own version; None = digest of code and spec.
        overwrite_cache: Recompute and store anew.
        no_cache: Neither look up nor store anything.
        max_parallelism: Largest number of nodes at work at once; 0 = no limit.
        deadline_s: Seconds from its start after which it fails; 0 = none but that of its workflow.
        pause_on_failure: Whether nodes that would fail for good are held, for somebody to repair them.
    """

    closure: Closure
    inputs: Mapping[str, LiteralValue] = field(default_factory=dict)
    source_root: Path | None = None
    execution_id: str | None = None
    launcher: str = ""
    image: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    project: str | None = None
    domain: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    overwrite_cache: bool = False
    no_cache: bool = False
    max_parallelism: int = 0
    deadline_s: float = 0.0
    pause_on_failure: bool = False


class StartOptions(TypedDict, total=False):
    """What may be said of an execution beside its inputs; all of it may be left out.

    Args:
        execution_id: The caller's own id: the same id and request attach to the same execution.
        overwrite_cache: Recompute what is remembered, and remember it anew.
        no_cache: Neither look up nor remember anything.
        deadline: Seconds, or a timedelta, from its start after which it fails; 0 = none but that of its workflow.
        pause_on_failure: Hold nodes that would fail for good, for somebody to repair them; see docs/repair.md.
        launcher: What runs attempts, such as `podman`; without it, what the settings say.
        image: Image of tasks that name none.
        images: Images by the names that tasks use in templates (`{{.image.NAME.fqn}}`).
    """

    execution_id: str | None
    overwrite_cache: bool
    no_cache: bool
    deadline: float | timedelta
    pause_on_failure: bool
    launcher: str
    image: str
    images: Mapping[str, str]


def with_options(submission: Submission, options: StartOptions) -> Submission:
    """Return a submission with what else is said of it.

    Raises:
        TypeError: If there is no such option.
    """
    changes: dict[str, Any] = dict(options)
    unknown = set(changes) - set(StartOptions.__annotations__)
    if unknown:
        raise TypeError(
            f"There is no option {min(unknown)!r}. Options: {', '.join(StartOptions.__annotations__)}. Inputs stand in the "
            "mapping."
        )
    deadline = changes.pop("deadline", 0)
    limit_s = deadline.total_seconds() if isinstance(deadline, timedelta) else float(deadline)
    return replace(submission, deadline_s=limit_s, **changes)


@dataclass(frozen=True)
class RecoverySubmission:
    """An execution to recover, with what is to be otherwise than it was.

    Args:
        source: Id of the earlier execution.
        closure: What is run; None = the same as then, with the same code.
        source_root: Folder of the code, if `closure` is given and needs one.
        inputs: Values given anew; the others are those of then.
        execution_id: The caller's own id for the new execution; None = one is made up.
        launcher: What runs attempts; empty = as then.
        image: Image of tasks that name none; empty = as then.
        images: Images by the names that tasks use in templates, besides those of then.
        trust_code: Whether results of code that has changed since are taken over too.
        overwrite_cache: What is run is computed and stored anew, also if it was not so then.
        no_cache: What is run is neither looked up nor stored, also if it was not so then.
        rerun: Nodes, by path or name, that are run again with all that comes after them.
    """

    source: str
    closure: Closure | None = None
    source_root: Path | None = None
    inputs: Mapping[str, LiteralValue] = field(default_factory=dict)
    execution_id: str | None = None
    launcher: str = ""
    image: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    trust_code: bool = False
    overwrite_cache: bool = False
    no_cache: bool = False
    rerun: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecoverOptions:
    """How an execution is recovered, besides its code and inputs.

    Args:
        execution_id: The caller's own id for the new execution: the same id and request attach to the same execution.
        rerun: Nodes, by path or name, that are run again with all that comes after them, though nothing has changed.
        trust_code: Whether results of code that has changed since are taken over too.
        overwrite_cache: What is run is computed and stored anew, also if it was not so then.
        no_cache: What is run is neither looked up nor stored, also if it was not so then.
        launcher: What runs attempts; None = as then.
        image: Image of tasks that name none; None = as then.
        images: Images by the names that tasks use in templates (`{{.image.NAME.fqn}}`), besides those of then.
    """

    execution_id: str | None = None
    rerun: Sequence[str] = ()
    trust_code: bool = False
    overwrite_cache: bool = False
    no_cache: bool = False
    launcher: str | None = None
    image: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)

    def applied(self, submission: RecoverySubmission) -> RecoverySubmission:
        """Return a submission with these options."""
        return replace(
            submission,
            execution_id=self.execution_id,
            rerun=tuple(self.rerun),
            trust_code=self.trust_code,
            overwrite_cache=self.overwrite_cache,
            no_cache=self.no_cache,
            launcher=self.launcher or "",
            image=self.image or "",
            images=self.images,
        )


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
