"""Gathers all that an entity needs, each thing once, and writes it as one closure."""

from __future__ import annotations

from flyte_temporal.compiler.handlers import check_handler
from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.drafts import NodeDraft
from flyte_temporal.sdk.entities import Entity, PythonTask, Workflow
from flyte_temporal.spec.bindings import OutputBinding
from flyte_temporal.spec.entities import Closure, Root, TaskSpec, WorkflowSpec
from flyte_temporal.spec.identifiers import entity_name
from flyte_temporal.spec.nodes import Node, Target, TaskTarget, WorkflowTarget


def compile_entity(entity: Entity) -> Closure:
    """Return the closure of a task or workflow: itself, and every task and workflow that it uses.

    Every workflow's body runs once.

    Raises:
        CompileError: If the program is wrong; names file and line, what is wrong and what to write instead.
        LimitExceeded: If a workflow has too many nodes.
    """
    compilation = _Compilation()
    target = compilation.target(entity, "")
    return Closure(
        root=Root(kind=entity.kind, name=_name_of(target)),
        tasks=dict(sorted(compilation.tasks.items())),
        workflows=dict(sorted(compilation.workflows.items())),
    )


def _name_of(target: Target) -> str:
    return target.task if isinstance(target, TaskTarget) else target.workflow  # type: ignore[union-attr]


class _Compilation:
    """One closure in the making."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskSpec] = {}
        self.workflows: dict[str, WorkflowSpec] = {}
        self._owners: dict[str, Entity] = {}
        self._open: list[Workflow[..., object]] = []

    def target(self, entity: Entity, where: str) -> Target:
        """Compile what a node runs, unless it is there already, and return how the node refers to it."""
        match entity:
            case PythonTask():
                name = self._claim(entity)
                if name not in self.tasks:
                    self.tasks[name] = _task_spec(entity, name)
                return TaskTarget(task=name)
            case Workflow():
                self._refuse_recursion(entity, where)
                name = self._claim(entity)
                if name not in self.workflows:
                    self.workflows[name] = self._workflow_spec(entity, name)
                return WorkflowTarget(workflow=name)
            case _:
                raise CompileError(
                    f"{entity!r} is a {entity.kind}, which cannot stand in a workflow yet. Use a task or workflow.",
                    where,
                )

    def _claim(self, entity: PythonTask[..., object] | Workflow[..., object]) -> str:
        try:
            name = entity_name(entity.name)
        except InvalidIdentifier as error:
            raise CompileError(f"{error.message} Rename the module or the function.", entity.where) from error
        owner = self._owners.setdefault(name, entity)
        if owner is not entity:
            raise CompileError(
                f"Two entities have the name {name!r}: one at {entity.where}, one at "
                f"{getattr(owner, 'where', '')}. Rename one of them; if it is one file that was imported twice (as a "
                "script and as a module), import it in one way only.",
                entity.where,
            )
        return name

    def _refuse_recursion(self, workflow: Workflow[..., object], where: str) -> None:
        if workflow in self._open:
            ring = [w.short_name for w in self._open[self._open.index(workflow) :]] + [workflow.short_name]
            raise CompileError(
                f"The workflow {workflow.short_name} contains itself: {' -> '.join(ring)}. A workflow is known as a "
                "whole before it runs, so it cannot recurse; move the recursion into a task.",
                where,
            )

    def _workflow_spec(self, workflow: Workflow[..., object], name: str) -> WorkflowSpec:
        self._open.append(workflow)
        recorded = workflow.record()
        spec = WorkflowSpec(
            name=name,
            interface=workflow.interface,
            nodes=tuple(self._node(draft) for draft in recorded.nodes),
            outputs=tuple(OutputBinding(name=n, binding=b) for n, b in recorded.outputs.items()),
            failure_policy=workflow.failure_policy,
            on_failure=self._handler(workflow),
            interruptible=workflow.interruptible,
            description=workflow.description,
        )
        self._open.pop()
        return spec

    def _handler(self, workflow: Workflow[..., object]) -> Target | None:
        if workflow.on_failure is None:
            return None
        check_handler(workflow, workflow.on_failure)
        return self.target(workflow.on_failure, workflow.where)

    def _node(self, draft: NodeDraft) -> Node:
        return Node(
            id=draft.id,
            name=draft.name or draft.entity.short_name,
            target=self.target(draft.entity, draft.where),
            inputs=draft.inputs,
            after=tuple(earlier.id for earlier in draft.after),
            overrides=draft.overrides,
            aliases=draft.aliases,
        )


def _task_spec(task: PythonTask[..., object], name: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        type=task.task_type,
        interface=task.interface,
        entry=None if task.container is not None else task.entry,
        container=task.container,
        policy=task.policy,
        config=dict(task.config),
        description=task.description,
    )
