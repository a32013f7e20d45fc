"""The nodes of a closure before they have run, so that a listing shows all of them from the first moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyte_temporal.control.nesting import nested
from flyte_temporal.errors import CompileError, LimitExceeded
from flyte_temporal.spec.entities import Closure, WorkflowSpec
from flyte_temporal.spec.execution import NodePhase, NodeRecord
from flyte_temporal.spec.nodes import (
    HANDLER,
    ArrayTarget,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    Node,
    Target,
    TaskTarget,
    WorkflowTarget,
)


def check_plan(closure: Closure, max_nodes: int) -> None:
    """Check that this build can run a closure.

    Args:
        closure: What is to run.
        max_nodes: Largest number of nodes, counted through sub-workflows.

    Raises:
        CompileError: If a workflow contains itself, something that is not in the closure, or something that is
            registered elsewhere.
        LimitExceeded: If it has too many nodes.
    """
    try:
        main = closure.main()
    except KeyError as error:
        raise CompileError(f"The closure does not hold {error}, which its root needs.") from error
    total = _Counter(closure).nodes_in(main)
    if total > max_nodes:
        raise LimitExceeded(
            f"{closure.root.name} has {total:,} nodes; at most {max_nodes:,} are allowed in one execution. Use a map "
            "over a list, or split it into several executions."
        )


class _Counter:
    """Counts nodes, each workflow only once: a closure of nested sub-workflows grows exponentially when unrolled.

    What a run adds as it goes (items of maps, nodes of dynamic tasks) is limited by the interpreter.
    """

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self._done: dict[str, int] = {}
        self._inside: list[str] = []

    def nodes_in(self, workflow: WorkflowSpec) -> int:
        if workflow.name in self._inside:
            circle = " -> ".join([*self._inside[self._inside.index(workflow.name) :], workflow.name])
            raise CompileError(f"A workflow cannot contain itself: {circle}.")
        if workflow.name not in self._done:
            self._inside.append(workflow.name)
            self._done[workflow.name] = sum(
                self._below(workflow, node, node.target) for node in workflow.nodes
            )
            if workflow.on_failure is not None:
                handler = Node(id=HANDLER, name="on_failure", target=workflow.on_failure)
                self._below(workflow, handler, handler.target)
            self._inside.pop()
        return self._done[workflow.name]

    def _below(self, workflow: WorkflowSpec, node: Node, target: Target) -> int:
        closure = self._closure
        if node.on_failure is not None and target is node.target:
            self._below(workflow, node, node.on_failure)
        match target:
            case TaskTarget() if target.task in closure.tasks:
                return 1
            case WorkflowTarget() if target.workflow in closure.workflows:
                return 1 + self.nodes_in(closure.workflows[target.workflow])
            case LaunchPlanTarget() if (plan := closure.launch_plans.get(target.launch_plan)) is not None:
                # Its nodes are another execution's; here they are only looked at.
                self.nodes_in(closure.workflows[plan.workflow])
                return 1
            case ArrayTarget():
                return 1 + self._below(workflow, node, target.item)
            case BranchTarget():
                bodies = [inner for body in target.bodies() for inner in body.nodes]
                return 1 + sum(self._below(workflow, inner, inner.target) for inner in bodies)
            case GateTarget():
                return 1
            case _:
                raise self._missing(workflow, node, target)

    def _missing(
        self, workflow: WorkflowSpec, node: Node, target: TaskTarget | WorkflowTarget | LaunchPlanTarget
    ) -> CompileError:
        name = next(v for k, v in target if k != "kind")
        reference = self._closure.references.get(name)
        if reference is None:
            return CompileError(f"Node {node.id} of {workflow.name} runs {name}, which the closure lacks.")
        return CompileError(
            f"Node {node.name or node.id} of {workflow.name} runs a {reference.kind} that is registered elsewhere "
            f"({reference.project}/{reference.domain}/{name}, version {reference.version}). References are resolved by "
            "a registry, and this installation has none; call the entity itself, or mock the reference in a plain run."
        )


def planned_nodes(closure: Closure) -> list[NodeRecord]:
    """Return all nodes that are known before a run as QUEUED, those of a sub-workflow or branch right behind it."""
    main = closure.main()
    return list(_walk(closure, main.nodes, ""))


def _walk(closure: Closure, nodes: Sequence[Node], prefix: str) -> Iterator[NodeRecord]:
    for node in nodes:
        target = node.target
        path = prefix + node.id
        yield NodeRecord(
            id=path,
            name=node.name or node.id,
            kind=_kind(closure, target),
            phase=NodePhase.QUEUED,
            task=target.task if isinstance(target, TaskTarget) else "",
        )
        if isinstance(target, WorkflowTarget):
            yield from _walk(closure, closure.workflows[target.workflow].nodes, f"{path}.")
        elif isinstance(target, BranchTarget):
            for body in target.bodies():
                yield from _walk(closure, body.nodes, f"{path}.")


def _kind(closure: Closure, target: Target) -> str:
    if isinstance(target, TaskTarget) and closure.tasks[target.task].type == "dynamic":
        return "dynamic"
    return target.kind


def merge_plan(plan: Sequence[NodeRecord], recorded: Sequence[NodeRecord], *, over: bool) -> list[NodeRecord]:
    """Return what to show: the plan, each node in the state that was recorded.

    Args:
        plan: From `planned_nodes`.
        recorded: From the metadata store.
        over: Whether the execution has ended: what was never reached then never will be.
    """
    known = {record.id: record for record in recorded}
    unreached = NodePhase.SKIPPED if over else NodePhase.QUEUED
    planned = {record.id for record in plan}
    shown = [known.get(node.id) or node.model_copy(update={"phase": unreached}) for node in plan]
    # What was made at run time (by a dynamic task, by a map) comes behind what was planned at the same place.
    shown += [record for record in recorded if record.id not in planned]
    return [
        node if node.order == order else node.model_copy(update={"order": order})
        for order, (_, node) in enumerate(nested(shown))
    ]
