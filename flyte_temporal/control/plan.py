"""The nodes of a closure before they have run, so that a listing shows all of them from the first moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyte_temporal.errors import CompileError, LimitExceeded, UnsupportedSpec
from flyte_temporal.spec.entities import Closure, WorkflowSpec
from flyte_temporal.spec.execution import NodePhase, NodeRecord
from flyte_temporal.spec.nodes import Node, TaskTarget, WorkflowTarget


def check_plan(closure: Closure, max_nodes: int) -> None:
    """Check that this build can run a closure.

    Args:
        closure: What is to run.
        max_nodes: Largest number of nodes, counted through sub-workflows.

    Raises:
        UnsupportedSpec: If it has a kind of node that is not run yet.
        CompileError: If a workflow contains itself, or something that is not in the closure, or that is only referred to.
        LimitExceeded: If it has too many nodes.
    """
    for reference in closure.references.values():
        raise CompileError(
            f"{closure.root.name} uses a reference to the {reference.kind.replace('_', ' ')} {reference.name} of "
            f"{reference.project}/{reference.domain}, version {reference.version}, which is not registered here. Import "
            "that code instead of referring to it, or run plainly with a mock (docs/references.md)."
        )
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
    """Counts nodes, each workflow only once: a closure of nested sub-workflows grows exponentially when unrolled."""

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
            self._done[workflow.name] = sum(self._below(workflow, node) for node in workflow.nodes)
            self._inside.pop()
        return self._done[workflow.name]

    def _below(self, workflow: WorkflowSpec, node: Node) -> int:
        match node.target:
            case TaskTarget() if node.target.task in self._closure.tasks:
                return 1
            case WorkflowTarget() if node.target.workflow in self._closure.workflows:
                return 1 + self.nodes_in(self._closure.workflows[node.target.workflow])
            case TaskTarget() | WorkflowTarget():
                raise CompileError(
                    f"Node {node.id} of {workflow.name} runs something that the closure lacks."
                )
            case target:
                raise UnsupportedSpec(
                    f"Node {node.name or node.id} of {workflow.name} is of kind {target.kind!r}, which this release "
                    "does not run yet."
                )


def planned_nodes(closure: Closure) -> list[NodeRecord]:
    """Return all nodes as QUEUED, a sub-workflow's nodes right behind its own."""
    return list(_walk(closure, closure.main(), ""))


def _walk(closure: Closure, workflow: WorkflowSpec, prefix: str) -> Iterator[NodeRecord]:
    for node in workflow.nodes:
        target = node.target
        path = prefix + node.id
        yield NodeRecord(
            id=path,
            name=node.name or node.id,
            kind=target.kind,
            phase=NodePhase.QUEUED,
            task=target.task if isinstance(target, TaskTarget) else "",
        )
        if isinstance(target, WorkflowTarget):
            yield from _walk(closure, closure.workflows[target.workflow], f"{path}.")


def merge_plan(plan: Sequence[NodeRecord], recorded: Sequence[NodeRecord], *, over: bool) -> list[NodeRecord]:
    """Return what to show: the plan, each node in the state that was recorded.

    Args:
        plan: From `planned_nodes`.
        recorded: From the metadata store.
        over: Whether the execution has ended: what was never reached then never will be.
    """
    known = {record.id: record for record in recorded}
    unreached = NodePhase.SKIPPED if over else NodePhase.QUEUED
    extra: dict[str, list[NodeRecord]] = {}
    planned = {record.id for record in plan}
    for record in recorded:
        if record.id not in planned:
            extra.setdefault(_nearest(record.id, planned), []).append(record)
    shown = list(extra.get("", []))
    for node in plan:
        shown.append(known.get(node.id) or node.model_copy(update={"phase": unreached}))
        shown.extend(extra.get(node.id, []))
    return [
        node if node.order == order else node.model_copy(update={"order": order})
        for order, node in enumerate(shown)
    ]


def _nearest(path: str, planned: set[str]) -> str:
    """Return the planned node that a node made at run time (of a dynamic, of a map) belongs to."""
    while path and path not in planned:
        path = path.rpartition(".")[0]
    return path
