"""Scopes: the running instances of workflows, branch bodies and maps inside an execution, and the states of their nodes.

`tree` opens and closes them; here is what each kind gives its nodes, which may run, and what it gives itself. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.bindings import Binding
from flyte_temporal.spec.cache import CacheOrder
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.execution import (
    CacheStatus,
    ErrorDocument,
    FailedAttempt,
    GateReply,
    NodePhase,
    NodeRecord,
    NodeRef,
    Repair,
)
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import GateTarget, LaunchPlanTarget, Node, Target, TaskTarget
from flyte_temporal.spec.policies import Overrides, Resources, TaskPolicy
from flyte_temporal.spec.runs import Shard
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.retries import Budget


class Stage(StrEnum):
    """Where a node is between ready and its attempt (`lookups`)."""

    NEW = "new"
    LOOKUP = "lookup"
    WAITS = "waits"
    LOOKED_UP = "looked_up"


@dataclass(eq=False)
class NodeState:
    """All that is known about one node, or one item of a map, of a running execution."""

    scope: Scope
    node: Node
    path: str
    order: int
    index: int | None = None
    """Position of an item of a map."""
    phase: NodePhase = NodePhase.QUEUED
    attempts: int = 0
    tokens: list[str] = field(default_factory=list)
    """Those of its attempts, oldest first."""
    budget: Budget = field(default_factory=Budget)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt_key: str = ""
    asked_at: datetime | None = None
    """When its last attempt was asked for."""
    memory: str = ""
    """Memory of its last attempt, if it was raised."""
    on_spot: bool = False
    """Whether its last attempt may run on a machine that can be taken away."""
    failed: list[FailedAttempt] = field(default_factory=list)
    """The last of its attempts that failed."""
    error: ErrorDocument | None = None
    doom: ErrorDocument | None = None
    """Why it fails as soon as what it runs has been stopped: a time-out, or an abort of it alone."""
    reason: str = ""
    child: str = ""
    child_started: bool = False
    """Whether Temporal has confirmed that the child was started."""
    spec: str = ""
    reply: GateReply | None = None
    token: str = ""
    """Token of the attempt that was asked for and has not ended; empty if there is none."""
    alone: bool = False
    """Whether its attempt travels by itself, because it turned out to be long."""
    ahead: bool = False
    """Whether it was asked for while what it waits for was under way, in the same activity."""
    basis: Basis | None = None
    """What its result rests on; of gates, and of what was copied."""
    rerun: bool = False
    """Whether it is run by wish, though an earlier result might stand for it (`recovering`)."""
    anew: str = ""
    """Why it was not copied from the execution that this one recovers."""
    checkpoint_from: tuple[str, ...] = ()
    """Folders of its checkpoints in executions that this one recovers, the nearest first."""
    ran: bool = False
    """Whether it, or something in it, was done here, instead of being copied or left out."""
    cache: CacheStatus = CacheStatus.DISABLED
    memo: CacheOrder | None = None
    """By what its outputs are remembered."""
    source: NodeRef | None = None
    """The node whose outputs it has, if they were not computed here."""
    stage: Stage = Stage.NEW
    told: int = 0
    """How often it was told that another node computes the same."""
    again_at: datetime | None = None
    """When it asks again."""
    checkpoint: SavedCheckpoint | None = None
    repairs: list[Repair] = field(default_factory=list)
    """What was done by hand while it was held."""
    fix: int = 0
    """Which of the run's fixes its attempts run with, counted from 1; 0 = the code of the execution."""
    resources: Resources | None = None
    """What its attempts get by hand instead of what was declared."""
    fresh_from: int = 0
    """Attempts that it had when its budget was made anew."""
    fresh_since: datetime | None = None
    """When that was."""
    items: int = 0
    """Number of items of a map in shards."""
    share: int = 0
    """For a shard, how many of its items may run at once, of those of the whole map; 0 = no limit of its own."""
    parallel: int = 0
    """For a shard, how many attempts and children it may have at once."""
    failed_items: int = 0
    """For a shard, how many of its items have failed for good."""
    whole: Shard | None = None
    """All items of a map in shards, until its lists have been cut."""
    due: datetime | None = None
    """When a pause before the next attempt, a sleep, or the patience of a gate ends."""

    @property
    def asked(self) -> bool:
        """Return whether an attempt, or a child, was asked for that may be under way; not while it is looked up."""
        return self.attempts > 0 and self.stage not in {Stage.LOOKUP, Stage.WAITS}

    @property
    def name(self) -> str:
        """Return what people see."""
        name = self.node.name or self.node.id
        return name if self.index is None or self.scope.holds_shards else f"{name}[{self.index}]"

    @property
    def bodiless(self) -> bool:
        """Return whether it ends by itself, not with a body that was opened for it."""
        return isinstance(self.node.target, TaskTarget | LaunchPlanTarget | GateTarget) and not self.spec

    @property
    def records_itself(self) -> bool:
        """Return whether an activity writes this node's records while it runs."""
        return isinstance(self.node.target, TaskTarget) and not self.spec

    @property
    def is_shard(self) -> bool:
        """Return whether this is no node of the execution but a shard of one, which the run alone knows."""
        return self.scope.holds_shards

    def policy(self) -> TaskPolicy:
        """Return how the attempts of a task node are run, its overrides applied."""
        target = self.node.target
        if not isinstance(target, TaskTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{self.path} is no task")
        policy = self.scope.program.closure.tasks[target.task].policy
        return policy if self.node.overrides is None else self.node.overrides.apply(policy)

    def overrides(self) -> Overrides | None:
        """Return what its attempts set anew of the task's policy: what the node says, and over it what was said by hand."""
        if self.resources is None:
            return self.node.overrides
        return (self.node.overrides or Overrides()).then(Overrides(resources=self.resources))

    def attempt(self, execution: ExecutionId) -> AttemptId:
        """Return its last attempt."""
        number, _, token = self.attempt_key.rpartition("/")[2].partition("-")
        return AttemptId(execution=execution, node=self.path, number=int(number), token=token)

    def record(self) -> NodeRecord:
        """Return what is stored and shown of this node."""
        target = self.node.target
        return NodeRecord(
            id=self.path,
            name=self.name,
            kind="dynamic" if self.scope.program.is_dynamic(target) else target.kind,
            phase=self.phase,
            attempts=self.attempts,
            cache=self.cache,
            started_at=self.started_at,
            finished_at=self.finished_at,
            order=self.order,
            task=target.task if isinstance(target, TaskTarget) else "",
            attempt_key=self.attempt_key,
            error=self.error,
            reason=self.reason if not self.phase.terminal else "",
            child=self.child,
            spec=self.spec,
            reply=self.reply,
            basis=self.basis,
            anew=self.anew,
            source=self.source,
            checkpoint=self.checkpoint,
            items=self.items,
            failed=tuple(self.failed),
            repairs=tuple(self.repairs),
        )


@dataclass(frozen=True)
class Carried:
    """What a scope takes into the next run beside its nodes and flags.

    Args:
        inputs: Its inputs.
        outputs: Outputs of ended nodes that are still needed, by node id or position.
        counts: What else only its kind knows.
        shard: For a map, its items.
        parts: For a map in shards, its lists in parts.
    """

    inputs: dict[str, LiteralValue]
    outputs: dict[str, dict[str, LiteralValue]]
    counts: dict[str, int] = field(default_factory=dict)
    shard: Shard | None = None
    parts: dict[str, tuple[LiteralValue, ...]] = field(default_factory=dict)


ENDED_WELL_MARKS = "dwc"
"""Marks of nodes that let those behind them run (`ScopeSnapshot.marks`)."""


class Earlier(NamedTuple):
    """A node that another one comes after; it may have ended in an earlier run of the execution."""

    path: str
    ran: bool
    rerun: bool


@dataclass(frozen=True)
class Place:
    """A node to be of a scope: what runs there, and its path."""

    node: Node
    path: str
    index: int | None = None


class Scope(ABC):
    """What is common to all kinds.

    Args:
        program: The closure that its nodes belong to.
        parent: The node whose body it is; None for the execution itself.
        outer: The scope that it is stopped with, if that is not the parent's.
    """

    holds_shards = False
    """Whether its states are shards of a map instead of nodes."""

    def __init__(self, program: Program, parent: NodeState | None, outer: Scope | None = None) -> None:
        self.program = program
        self.parent = parent
        self.outer = outer or (parent.scope if parent else None)
        self.inner: list[Scope] = []
        """Scopes opened below it."""
        self.states: list[NodeState] = []
        """Its nodes; in a run that was continued, those that had not ended before."""
        self.first_order = 0
        """Order number of its first node."""
        self.marks = ""
        """How its nodes had ended before this run, a letter each (`ScopeSnapshot.marks`); empty if it was opened here."""
        self.errors: list[ErrorDocument] = []
        """Failures of its nodes for good, in the order in which they happened."""
        self.handles: Scope | NodeState | None = None
        """What it is the failure handler of."""
        self.on_failure: Target | None = None
        self.opened_at: datetime | None = None
        self.condemned = False
        """Whether it fails whatever its nodes do: its deadline has passed, or its node was aborted."""
        self.active = 0
        """Nodes that are ready, at work, or wait for their next attempt."""
        self.failing = False
        """Whether nothing new may start here."""
        self.settled = False
        """Whether all its nodes have ended; only its failure handler may still run."""
        self.closed = False
        """Whether its end has been passed on."""
        self.given: dict[str, LiteralValue] = {}
        """Its outputs, once it is settled."""

    @abstractmethod
    def places(self) -> Iterator[Place]:
        """Return the nodes that it has, in listing order."""

    @abstractmethod
    def first(self) -> list[NodeState]:
        """Return the nodes that may run at once."""

    @abstractmethod
    def after(self, state: NodeState, outputs: dict[str, LiteralValue] | None) -> list[NodeState]:
        """Take in that a node has ended, with its outputs or (None) badly; return the nodes that may run now."""

    @abstractmethod
    def inputs_of(self, state: NodeState) -> dict[str, LiteralValue]:
        """Return the inputs of a node that may run.

        Raises:
            UserCodeError: If a value has nothing at the end of an attribute path.
        """

    def bound(
        self, state: NodeState, later: Collection[str]
    ) -> tuple[dict[str, LiteralValue], dict[str, Binding]]:
        """Return the inputs of a node: those that are there, and those that nodes which are under way will give.

        Args:
            state: The node.
            later: Ids of the nodes that are under way.

        Raises:
            UserCodeError: As for `inputs_of`.
        """
        del later
        return self.inputs_of(state), {}

    def fed_by(self, state: NodeState) -> list[NodeState]:
        """Return the nodes that wait for this one."""
        del state
        return []

    def left(self, state: NodeState) -> int:
        """Return for how many nodes that have not ended a node waits."""
        del state
        return 0

    @property
    def total(self) -> int:
        """Return how many nodes, or items of a map, it is one of the parts of."""
        return len(self.states)

    def bears(self, failures: int) -> bool:
        """Return whether the whole goes on as it is if so many of its nodes fail now."""
        del failures
        return False

    @abstractmethod
    def results(self) -> dict[str, LiteralValue]:
        """Return the outputs of the whole, once all has ended well.

        Raises:
            UserCodeError: As for `inputs_of`.
        """

    def upstream(self, state: NodeState) -> list[Earlier]:  # noqa: ARG002 - of the interface
        """Return the nodes that a node comes after, as far as they are of this scope."""
        return []

    @property
    def ran(self) -> bool:
        """Return whether anything of it was done here, instead of being copied or left out."""
        return any(state.ran for state in self.states) or any(mark in "dwx" for mark in self.marks)

    @abstractmethod
    def carried(self, marks: str) -> Carried:
        """Return what is to be handed over.

        Args:
            marks: How each of its nodes has ended (`ScopeSnapshot.marks`).
        """

    @abstractmethod
    def take_over(self, carried: Carried) -> None:
        """Go on from what was handed over; `states` and `marks` are set already."""

    @property
    @abstractmethod
    def gives_up(self) -> bool:
        """Return whether, after the failures so far, nothing more should start."""

    @property
    def tolerates(self) -> bool:
        """Return whether one more failure does not make the whole fail."""
        return False

    @property
    @abstractmethod
    def failed(self) -> bool:
        """Return whether the failures so far make the whole fail."""

    def tree(self) -> Iterator[Scope]:
        """Return this scope and all that are open below it."""
        todo: list[Scope] = [self]
        while todo:
            scope = todo.pop()
            if not scope.closed:
                yield scope
                todo.extend(scope.inner)


def around(state: NodeState) -> Iterator[NodeState]:
    """Yield the nodes that a node is in, the nearest first."""
    parent = state.scope.parent
    while parent is not None:
        yield parent
        parent = parent.scope.parent
