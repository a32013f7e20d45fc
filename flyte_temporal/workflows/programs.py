"""A closure in use: checked once, with a graph for each of its workflows and branch bodies.

Made by `run` for the closure that it was given, and for each that a dynamic task gives. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyte_temporal.errors import CompileError, UnsupportedSpec
from flyte_temporal.spec.entities import Closure, WorkflowSpec
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchBody,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    Node,
    Target,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.types import LiteralType
from flyte_temporal.workflows.plan import Graph


class Program:
    """What a run or a part of it executes.

    Args:
        closure: The closure.
        digest: Its digest, by which activities find it.

    Raises:
        UnsupportedSpec: If it names something that it does not hold, or that this build does not run.
        CompileError: If the nodes of a workflow do not form a graph without cycles.
    """

    def __init__(self, closure: Closure, digest: str) -> None:
        self.closure = closure
        self.digest = digest
        self._graphs: dict[str, Graph] = {}
        self._bodies: dict[int, Graph] = {}
        self._kept: list[BranchBody] = []
        """Bodies whose identity is a key of `_bodies`: they must not be freed."""
        try:
            self.main = closure.main()
            self._check_workflow(self.main)
        except KeyError as error:
            raise UnsupportedSpec(f"The closure of {closure.root.name} does not hold {error}.") from error

    def graph(self, workflow: WorkflowSpec) -> Graph:
        """Return the graph of one of the closure's workflows."""
        return self._graphs[workflow.name]

    def body(self, body: BranchBody) -> Graph:
        """Return the graph of a branch body."""
        return self._bodies[id(body)]

    def interface_of(self, target: Target) -> Interface:
        """Return what a node's target takes and gives."""
        return self.closure.interface_of(target)

    def output_type(self, target: Target, name: str) -> LiteralType | None:
        """Return the type of an output of a target, or None if it has no such output."""
        variable = self.interface_of(target).output(name)
        return None if variable is None else variable.type

    def is_dynamic(self, target: Target) -> bool:
        """Return whether a target is a task that gives a closure to run."""
        return isinstance(target, TaskTarget) and self.closure.tasks[target.task].type == "dynamic"

    def _check_workflow(self, spec: WorkflowSpec) -> None:
        if spec.name in self._graphs:
            return
        self._graphs[spec.name] = Graph(spec.nodes)
        self._check_nodes(spec, spec.nodes, frozenset())
        if spec.on_failure is not None:
            self._check_target(spec, spec.on_failure)

    def _check_nodes(self, spec: WorkflowSpec, nodes: Sequence[Node], outside: frozenset[str]) -> None:
        known = outside | {node.id for node in nodes}
        for node in nodes:
            try:
                self._check_target(spec, node.target, known)
                if node.on_failure is not None:
                    self._check_target(spec, node.on_failure)
            except KeyError as error:
                raise UnsupportedSpec(
                    f"Node {node.id} of {spec.name} runs {error}, which the closure does not hold; an entity that is "
                    "registered elsewhere must be resolved before it is run."
                ) from error

    def _check_target(self, spec: WorkflowSpec, target: Target, known: frozenset[str] = frozenset()) -> None:
        match target:
            case TaskTarget():
                _ = self.closure.tasks[target.task]
            case WorkflowTarget():
                self._check_workflow(self.closure.workflows[target.workflow])
            case LaunchPlanTarget():
                plan = self.closure.launch_plans[target.launch_plan]
                _ = self.closure.workflows[plan.workflow]
            case ArrayTarget():
                if isinstance(target.item, ArrayTarget | BranchTarget | GateTarget):
                    raise UnsupportedSpec(
                        f"{spec.name} has a map over a {target.item.kind}, which is not run. Map over a workflow that "
                        "holds it."
                    )
                self._check_target(spec, target.item)
            case BranchTarget():
                for body in target.bodies():
                    self._check_body(spec, body, known)
            case GateTarget():
                pass

    def _check_body(self, spec: WorkflowSpec, body: BranchBody, known: frozenset[str]) -> None:
        doubled = known & {node.id for node in body.nodes}
        if doubled:
            raise CompileError(f"{spec.name} has several nodes of the id {min(doubled)}.")
        self._bodies[id(body)] = Graph(body.nodes, outside=known)
        self._kept.append(body)
        self._check_nodes(spec, body.nodes, known)
