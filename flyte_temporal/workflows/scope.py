"""Scopes: one running instance of a workflow inside an execution, and the states of its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flyte_temporal.spec.bindings import Binding
from flyte_temporal.spec.entities import Closure, FailurePolicy, WorkflowSpec
from flyte_temporal.spec.execution import CacheStatus, ErrorDocument, NodePhase, NodeRecord
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import Node, TaskTarget
from flyte_temporal.spec.paths import MissingAttribute
from flyte_temporal.spec.types import LiteralType
from flyte_temporal.workflows.bindings import OutputMissing, resolve
from flyte_temporal.workflows.plan import Graph, Progress
from flyte_temporal.workflows.retries import Budget


@dataclass(eq=False)
class NodeState:
    """All that is known about one node of a running execution."""

    scope: Scope
    node: Node
    path: str
    order: int
    phase: NodePhase = NodePhase.QUEUED
    attempts: int = 0
    budget: Budget = field(default_factory=Budget)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt_key: str = ""
    error: ErrorDocument | None = None

    def record(self) -> NodeRecord:
        """Return what is stored and shown of this node."""
        target = self.node.target
        return NodeRecord(
            id=self.path,
            name=self.node.name or self.node.id,
            kind=target.kind,
            phase=self.phase,
            attempts=self.attempts,
            cache=CacheStatus.DISABLED,
            started_at=self.started_at,
            finished_at=self.finished_at,
            order=self.order,
            task=target.task if isinstance(target, TaskTarget) else "",
            attempt_key=self.attempt_key,
            error=self.error,
        )


class Scope:
    """One instance of a workflow: its inputs, how far it is, what its nodes gave.

    Args:
        spec: The workflow.
        graph: Its graph.
        closure: For the interfaces of what the nodes run.
        inputs: Its inputs.
        parent: The node that it is the body of; None for the execution itself.
    """

    def __init__(
        self,
        spec: WorkflowSpec,
        graph: Graph,
        closure: Closure,
        inputs: dict[str, LiteralValue],
        parent: NodeState | None,
    ) -> None:
        self.spec = spec
        self.progress = Progress(graph)
        self.closure = closure
        self.inputs = inputs
        self.parent = parent
        self.prefix = f"{parent.path}." if parent else ""
        self.states: dict[str, NodeState] = {}
        self.outputs: dict[str, dict[str, LiteralValue]] = {}
        self.errors: list[ErrorDocument] = []
        self.active = 0
        """Nodes that are ready, at work, or wait for their next attempt."""
        self.failing = False
        """Whether nothing new may start here."""
        self.closed = False
        """Whether its end has been passed on to its parent."""

    @property
    def fails_at_once(self) -> bool:
        """Return whether the first failure stops the rest."""
        return self.spec.failure_policy is FailurePolicy.FAIL_IMMEDIATELY

    def input(self, name: str) -> LiteralValue:
        """Return an input."""
        if name not in self.inputs:
            raise OutputMissing(f"The input {name!r} of {self.spec.name} was not given.")
        return self.inputs[name]

    def output(self, node: str, name: str) -> LiteralValue:
        """Return an output of a finished node."""
        given = self.outputs[node]
        if name not in given:
            raise OutputMissing(f"The node {self.prefix}{node} gave no output {name!r}.")
        return given[name]

    def input_type(self, name: str) -> LiteralType:
        """Return the declared type of an input."""
        variable = self.spec.interface.input(name)
        if variable is None:
            raise OutputMissing(f"{self.spec.name} has no input {name!r}.")
        return variable.type

    def output_type(self, node: str, name: str) -> LiteralType:
        """Return the declared type of an output of a node."""
        variable = self.closure.interface_of(self.states[node].node.target).output(name)
        if variable is None:
            raise OutputMissing(f"The node {self.prefix}{node} has no output {name!r}.")
        return variable.type

    def node_inputs(self, node: Node) -> dict[str, LiteralValue]:
        """Return the inputs of a node whose upstream has ended.

        Raises:
            UserCodeError: If a value has nothing at the end of an attribute path.
        """
        target = f"node {self.prefix}{node.id}"
        return {n: self._resolved(b, f"Input {n!r} of {target}") for n, b in node.inputs.items()}

    def results(self) -> dict[str, LiteralValue]:
        """Return the outputs of the whole scope, once all its nodes have ended well.

        Raises:
            UserCodeError: As for `node_inputs`.
        """
        target = f"the workflow {self.spec.name}"
        return {
            o.name: self._resolved(o.binding, f"Output {o.name!r} of {target}") for o in self.spec.outputs
        }

    def _resolved(self, binding: Binding, end: str) -> LiteralValue:
        try:
            return resolve(binding, self)
        except MissingAttribute as error:
            raise MissingAttribute(f"{end}, {error.message}") from error
