"""The part of a closure that one of its entities needs, and whether two such parts do the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flyte_temporal.spec.basis import identity
from flyte_temporal.spec.document import digest
from flyte_temporal.spec.entities import Closure, Root, TaskSpec
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    Node,
    Target,
    TaskTarget,
    WorkflowTarget,
)


def pruned(closure: Closure, root: Root) -> Closure:
    """Return a closure of another root, with nothing in it that the root does not need."""
    part = _Part(closure)
    match root.kind:
        case "task":
            part.add(TaskTarget(task=root.name))
        case "workflow":
            part.add(WorkflowTarget(workflow=root.name))
        case "launch_plan":
            part.add(LaunchPlanTarget(launch_plan=root.name))
    return Closure(
        root=root,
        tasks={name: task for name, task in closure.tasks.items() if name in part.names},
        workflows={name: flow for name, flow in closure.workflows.items() if name in part.names},
        launch_plans={name: plan for name, plan in closure.launch_plans.items() if name in part.names},
    )


def same_work(one: Closure, other: Closure, *, trust_code: bool) -> bool:
    """Return whether two closures of equal roots do the same, as far as that can be known without running them."""
    if one.root != other.root:
        return False
    return _essence(one, trust_code=trust_code) == _essence(other, trust_code=trust_code)


def _essence(closure: Closure, *, trust_code: bool) -> str:
    part = pruned(closure, closure.root)
    tasks = {name: _known(task, trust_code=trust_code) for name, task in part.tasks.items()}
    return digest(part.model_copy(update={"tasks": tasks}))


def _known(task: TaskSpec, *, trust_code: bool) -> TaskSpec:
    return task.model_copy(update={"code": "" if trust_code else identity(task), "description": ""})


class _Part:
    """Collects the names of all that something needs."""

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self.names: set[str] = set()

    def add(self, target: Target) -> None:
        todo: list[Target] = [target]
        while todo:
            todo.extend(self._below(todo.pop()))

    def _below(self, target: Target) -> Iterator[Target]:
        match target:
            case TaskTarget():
                self.names.add(target.task)
            case LaunchPlanTarget() if target.launch_plan in self._closure.launch_plans:
                self.names.add(target.launch_plan)
                yield WorkflowTarget(workflow=self._closure.launch_plans[target.launch_plan].workflow)
            case WorkflowTarget() if target.workflow in self._closure.workflows:
                flow = self._closure.workflows[target.workflow]
                self.names.add(target.workflow)
                yield from self._of_nodes(flow.nodes)
                if flow.on_failure is not None:
                    yield flow.on_failure
            case ArrayTarget():
                yield target.item
            case BranchTarget():
                for body in target.bodies():
                    yield from self._of_nodes(body.nodes)
            case GateTarget() | LaunchPlanTarget() | WorkflowTarget():
                pass

    @staticmethod
    def _of_nodes(nodes: tuple[Node, ...]) -> Iterator[Target]:
        for node in nodes:
            yield node.target
            if node.on_failure is not None:
                yield node.on_failure
