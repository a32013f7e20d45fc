"""Gathers all that an entity needs, each thing once, and writes it as one closure."""

from __future__ import annotations

from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.branch import Branch, Given
from flyte_temporal.sdk.code_digest import code_digest
from flyte_temporal.sdk.drafts import Body, NodeDraft
from flyte_temporal.sdk.dynamics import DynamicTask
from flyte_temporal.sdk.entities import (
    EagerTask,
    Entity,
    LaunchPlan,
    PythonTask,
    ReferenceEntity,
    WorkflowBase,
)
from flyte_temporal.sdk.gates import Gate
from flyte_temporal.sdk.literal_secrets import declared_in, warn_of_secrets
from flyte_temporal.sdk.map_node import MapNode
from flyte_temporal.sdk.maps import MapTask
from flyte_temporal.sdk.recording import Recorded
from flyte_temporal.spec.bindings import OutputBinding
from flyte_temporal.spec.entities import Closure, LaunchPlanSpec, Reference, Root, TaskSpec, WorkflowSpec
from flyte_temporal.spec.identifiers import entity_name
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.nodes import (
    BranchBody,
    BranchCase,
    BranchTarget,
    LaunchPlanTarget,
    Node,
    Target,
    TaskTarget,
    WorkflowTarget,
)


def compile_entity(entity: Entity, *, plain: bool = False) -> Closure:
    """Return the closure of a task, workflow or launch plan: itself, and everything that it uses.

    Every workflow's body runs once.

    Args:
        entity: What is to run.
        plain: Whether it is to run plainly: an eager function can run in no other way.

    Raises:
        CompileError: If the program is wrong; names file and line, what is wrong and what to write instead.
        LimitExceeded: If a workflow has too many nodes.
    """
    if isinstance(entity, ReferenceEntity):
        raise CompileError(
            f"{entity.short_name} is a reference to something that is registered elsewhere. Run the workflow that uses it.",
            entity.where,
        )
    compilation = _Compilation(plain=plain)
    target = compilation.target(entity, "")
    return compilation.closure(Root(kind=entity.kind, name=_name_of(target)))


def gather_body(task: DynamicTask[..., object], name: str, recorded: Recorded) -> Closure:
    """Return the closure of what a dynamic task made: a workflow of its name, and everything that its nodes use.

    The workflow gives the task's outputs and takes nothing, since the values are in it. The task itself may stand in it as
    a node, which expands when it runs.

    Args:
        task: The task.
        name: Its dotted name.
        recorded: What it made.

    Raises:
        CompileError: As for `compile_entity`.
    """
    compilation = _Compilation()
    spec = WorkflowSpec(
        name=name,
        interface=Interface(outputs=task.interface.outputs),
        nodes=compilation.nodes(recorded),
        outputs=tuple(OutputBinding(name=n, binding=b) for n, b in recorded.outputs.items()),
        description=task.description,
    )
    compilation.workflows[name] = spec
    return compilation.closure(Root(kind="workflow", name=name))


def _name_of(target: Target) -> str:
    match target:
        case TaskTarget():
            return target.task
        case WorkflowTarget():
            return target.workflow
        case LaunchPlanTarget():
            return target.launch_plan
        case _:
            raise CompileError(f"A {target.kind} is a part of a workflow and runs only there.")


class _Compilation:
    """One closure in the making."""

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self.tasks: dict[str, TaskSpec] = {}
        self.workflows: dict[str, WorkflowSpec] = {}
        self.launch_plans: dict[str, LaunchPlanSpec] = {}
        self.references: dict[str, Reference] = {}
        self._owners: dict[tuple[bool, str], Entity] = {}
        self._open: list[WorkflowBase] = []

    def closure(self, root: Root) -> Closure:
        """Return all that was compiled."""
        return Closure(
            root=root,
            tasks=dict(sorted(self.tasks.items())),
            workflows=dict(sorted(self.workflows.items())),
            launch_plans=dict(sorted(self.launch_plans.items())),
            references=dict(sorted(self.references.items())),
        )

    def nodes(self, recorded: Recorded) -> tuple[Node, ...]:
        """Compile the nodes of a recorded body."""
        return tuple(self._node(draft) for draft in recorded.nodes)

    def target(self, entity: Entity, where: str) -> Target:
        """Compile what a node runs, unless it is there already, and return how the node refers to it."""
        match entity:
            case ReferenceEntity():
                self._refer(entity, where)
                return entity.target
            case PythonTask():
                return self._task(entity, where)
            case WorkflowBase():
                self._refuse_recursion(entity, where)
                name = self._claim(entity)
                if name not in self.workflows:
                    self.workflows[name] = self._workflow_spec(entity, name)
                return WorkflowTarget(workflow=name)
            case LaunchPlan():
                return self._launch_plan(entity, where)
            case Branch():
                return self._branch(entity)
            case Gate():
                return entity.target
            case MapTask():
                return self._map(entity)
            case MapNode():
                item = self.target(entity.item, where)
                return entity.settings.model_copy(update={"item": item, "over": entity.over})
            case _:
                raise CompileError(
                    f"{entity!r} is a {entity.kind}, which cannot stand in a workflow yet. Use a task or workflow.",
                    where,
                )

    def _map(self, entity: MapTask) -> WorkflowTarget:
        """Compile a map that is run by itself as a workflow of one node."""
        name, recorded = entity.name, entity.record()
        self.workflows[name] = WorkflowSpec(
            name=name,
            interface=entity.interface,
            nodes=self.nodes(recorded),
            outputs=tuple(OutputBinding(name=n, binding=b) for n, b in recorded.outputs.items()),
            description=entity.description,
        )
        return WorkflowTarget(workflow=name)

    def _task(self, entity: PythonTask[..., object], where: str) -> TaskTarget:
        if isinstance(entity, EagerTask) and not self._plain:
            entity.refuse_durably(where)
        name = self._claim(entity)
        if name not in self.tasks:
            if isinstance(entity, DynamicTask):
                entity.check()
            self.tasks[name] = made = _task_spec(entity, name)
            warn_of_secrets(declared_in(made.policy), f"task {name}", entity.where)
        return TaskTarget(task=name)

    def _launch_plan(self, entity: LaunchPlan[..., object], where: str) -> LaunchPlanTarget:
        name = self._claim(entity)
        if name not in self.launch_plans:
            workflow = _name_of(self.target(entity.workflow, where))
            self.launch_plans[name] = entity.spec(workflow)
        return LaunchPlanTarget(launch_plan=name)

    def _refer(self, entity: ReferenceEntity[..., object], where: str) -> None:
        known = self.references.setdefault(entity.name, entity.reference)
        if known != entity.reference:
            raise CompileError(
                f"Two references have the name {entity.name!r} and differ in project, domain, version or interface. One "
                "execution can use one of them.",
                where,
            )

    def _branch(self, branch: Branch) -> BranchTarget:
        cases, otherwise, message = [], None, None
        for case in branch.cases:
            body = None if case.given is None else self._body(branch, case.body, case.given)
            if case.when is None:
                otherwise, message = body, case.message
            else:
                cases.append(BranchCase(when=case.when, body=body, fail=case.message))
        return BranchTarget(
            cases=tuple(cases), otherwise=otherwise, otherwise_fail=message, outputs=branch.interface.outputs
        )

    def _body(self, branch: Branch, body: Body, given: Given) -> BranchBody:
        return BranchBody(nodes=tuple(self._node(draft) for draft in body.nodes), outputs=branch.bound(given))

    def _claim(self, entity: PythonTask[..., object] | WorkflowBase | LaunchPlan[..., object]) -> str:
        try:
            name = entity_name(entity.name)
        except InvalidIdentifier as error:
            raise CompileError(f"{error.message} Rename the module or the function.", entity.where) from error
        # A workflow and its default launch plan have one name.
        owner = self._owners.setdefault((isinstance(entity, LaunchPlan), name), entity)
        if owner is not entity:
            raise CompileError(
                f"Two entities have the name {name!r}: one at {entity.where}, one at "
                f"{getattr(owner, 'where', '')}. Rename one of them; if it is one file that was imported twice (as a "
                "script and as a module), import it in one way only.",
                entity.where,
            )
        return name

    def _refuse_recursion(self, workflow: WorkflowBase, where: str) -> None:
        if workflow in self._open:
            ring = [w.short_name for w in self._open[self._open.index(workflow) :]] + [workflow.short_name]
            raise CompileError(
                f"The workflow {workflow.short_name} contains itself: {' -> '.join(ring)}. A workflow is known as a "
                "whole before it runs, so it cannot recurse; move the recursion into a task.",
                where,
            )

    def _workflow_spec(self, workflow: WorkflowBase, name: str) -> WorkflowSpec:
        self._open.append(workflow)
        recorded = workflow.record()
        spec = WorkflowSpec(
            name=name,
            interface=workflow.interface,
            nodes=self.nodes(recorded),
            outputs=tuple(OutputBinding(name=n, binding=b) for n, b in recorded.outputs.items()),
            failure_policy=workflow.failure_policy,
            on_failure=self._handler(workflow.on_failure, workflow.where),
            interruptible=workflow.interruptible,
            timeout_s=workflow.deadline_s,
            max_parallelism=workflow.default_options.max_parallelism,
            description=workflow.description,
        )
        self._open.pop()
        return spec

    def _handler(self, handler: Entity | None, where: str) -> Target | None:
        return None if handler is None else self.target(handler, where)

    def _node(self, draft: NodeDraft) -> Node:
        if draft.overrides is not None:
            warn_of_secrets(declared_in(draft.overrides), f"node {draft.id}", draft.where)
        return Node(
            id=draft.id,
            name=draft.name or draft.entity.short_name,
            target=self.target(draft.entity, draft.where),
            inputs=draft.inputs,
            after=tuple(earlier.id for earlier in draft.after),
            overrides=draft.overrides,
            aliases=draft.aliases,
            on_failure=self._handler(draft.on_failure, draft.where),
        )


def _task_spec(task: PythonTask[..., object], name: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        type=task.task_type,
        interface=task.interface,
        entry=None if task.container is not None else task.entry,
        container=task.container,
        policy=task.settled_policy(),
        config=dict(task.config),
        description=task.description,
        code="" if task.container is not None else code_digest(task.function),
    )
