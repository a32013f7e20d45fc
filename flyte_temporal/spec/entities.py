"""Tasks, workflows and launch plans as the compiler writes them, and the closure that holds all a run needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from flyte_temporal.spec.bindings import InputRef, OutputBinding, OutputRef
from flyte_temporal.spec.document import Document, Stored
from flyte_temporal.spec.identifiers import ContainerFolder, EntityName, ImageName
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline, LiteralValue
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
from flyte_temporal.spec.policies import Overrides, TaskPolicy


class EntryPoint(Document):
    """Where a task's code is: a module of the code bundle, and the task's dotted name in it."""

    module: str
    name: str


class ContainerSpec(Document):
    """A container without our runtime: command and arguments may hold `{{.inputs.x}}` templates.

    Args:
        image: The image.
        command: Its command.
        args: Further arguments.
        input_dir: Folder in the container in which inputs are files; empty = there are none.
        output_dir: Folder in which the command leaves a file for each output.
        metadata_format: How inputs that are no files are written.
        download: When files of inputs are fetched: before the command starts, as it reads them, or not at all.
        upload: When files of outputs are stored: after the command, as they appear, or not at all.
    """

    image: ImageName
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    input_dir: ContainerFolder = ""
    output_dir: ContainerFolder = ""
    metadata_format: Literal["json", "yaml", "proto"] = "json"
    download: Literal["eager", "stream", "none"] = "eager"
    upload: Literal["on_exit", "eager", "none"] = "on_exit"


class TaskSpec(Document):
    """A task.

    Args:
        name: Dotted name.
        type: What runs it: `python`, `container`, `shell`, `sql` or a plug-in's name; `dynamic` for a Python task whose
            attempt gives a closure to run instead of outputs.
        interface: What it takes and gives.
        entry: Its code; None for tasks without Python of the user's own.
        container: For `container` tasks.
        policy: Resources, retries, cache and so on.
        config: Configuration of the task type, as JSON.
        description: From the docstring.
        code: Digest of its function and of the code that it uses, by which equal code is known across bundles.
    """

    kind: Literal["task"] = "task"
    name: EntityName
    type: str = "python"
    interface: Interface = Interface()
    entry: EntryPoint | None = None
    container: ContainerSpec | None = None
    policy: TaskPolicy = TaskPolicy()
    config: dict[str, JsonValue] = {}
    description: str = ""
    code: str = ""

    def overridden(self, overrides: Overrides | None) -> TaskSpec:
        """Return the task as a node runs it that sets parts of it anew."""
        if overrides is None:
            return self
        config = {**self.config, **(overrides.config or {})}
        return self.model_copy(update={"policy": overrides.apply(self.policy), "config": config})


class FailurePolicy(StrEnum):
    """What happens to the rest when a node has failed for good."""

    FAIL_IMMEDIATELY = "fail_immediately"
    FAIL_AFTER_EXECUTABLE_NODES_COMPLETE = "fail_after_executable_nodes_complete"


class WorkflowSpec(Document):
    """A workflow: nodes in the order in which the body made them, and what its outputs are bound to."""

    kind: Literal["workflow"] = "workflow"
    name: EntityName
    interface: Interface = Interface()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[OutputBinding, ...] = ()
    failure_policy: FailurePolicy = FailurePolicy.FAIL_IMMEDIATELY
    on_failure: Target | None = None
    interruptible: bool | None = None
    timeout_s: float = 0.0
    max_parallelism: int = 0
    description: str = ""


class Schedule(Document):
    """When a launch plan starts by itself: a cron expression or a fixed rate."""

    cron: str = ""
    every_s: float = 0.0
    time_zone: str = "UTC"
    kickoff_time_input: str = ""


class LaunchPlanSpec(Document):
    """A named way to start a workflow."""

    kind: Literal["launch_plan"] = "launch_plan"
    name: EntityName
    workflow: EntityName
    interface: Interface = Interface()
    fixed_inputs: dict[str, LiteralValue] = {}
    schedule: Schedule | None = None
    notifications: tuple[dict[str, JsonValue], ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    max_parallelism: int = 0
    overwrite_cache: bool = False
    pause_on_failure: bool = False
    description: str = ""

    def complete(self, given: dict[str, LiteralValue]) -> dict[str, LiteralValue]:
        """Return the inputs of an execution that a node starts: with its defaults, and with what it has fixed."""
        defaults: dict[str, LiteralValue] = {
            v.name: Inline(value=v.default.value, hash=v.default.hash)
            for v in self.interface.inputs
            if v.default is not None
        }
        return {**defaults, **given, **self.fixed_inputs}


class Reference(Document):
    """An entity registered elsewhere, resolved by the control plane."""

    kind: Literal["task", "workflow", "launch_plan"]
    project: str
    domain: str
    name: EntityName
    version: str
    interface: Interface = Interface()


class Root(Document):
    """The entity that a closure was compiled for."""

    kind: Literal["task", "workflow", "launch_plan"]
    name: EntityName


class Closure(Stored):
    """A compiled entity with all it needs, nothing about machines or versions: equal code gives equal bytes.

    A single task is compiled to a closure whose root is that task; it runs as one node named `n0`.
    """

    root: Root
    tasks: dict[str, TaskSpec] = {}
    workflows: dict[str, WorkflowSpec] = {}
    launch_plans: dict[str, LaunchPlanSpec] = {}
    references: dict[str, Reference] = {}

    @property
    def interface(self) -> Interface:
        """Return the interface of the root entity."""
        return self.entity().interface

    def entity(self) -> TaskSpec | WorkflowSpec | LaunchPlanSpec:
        """Return the root entity."""
        match self.root.kind:
            case "task":
                return self.tasks[self.root.name]
            case "workflow":
                return self.workflows[self.root.name]
            case "launch_plan":
                return self.launch_plans[self.root.name]

    def main(self) -> WorkflowSpec:
        """Return the workflow that a run of the root executes; a single task runs as the one node `n0`."""
        entity = self.entity()
        if isinstance(entity, WorkflowSpec):
            return entity
        if isinstance(entity, LaunchPlanSpec):
            return self.workflows[entity.workflow]
        names = [v.name for v in entity.interface.inputs]
        node = Node(
            id="n0",
            name=entity.name.rpartition(".")[2],
            target=TaskTarget(task=entity.name),
            inputs={name: InputRef(name=name) for name in names},
        )
        outputs = tuple(
            OutputBinding(name=v.name, binding=OutputRef(node="n0", name=v.name))
            for v in entity.interface.outputs
        )
        return WorkflowSpec(name=entity.name, interface=entity.interface, nodes=(node,), outputs=outputs)

    def interface_of(self, target: Target) -> Interface:
        """Return the interface of what a node runs; of branches, gates and arrays only the outputs are in it.

        Raises:
            KeyError: If the closure lacks the entity.
        """
        match target:
            case TaskTarget():
                return (self.tasks.get(target.task) or self.references[target.task]).interface
            case WorkflowTarget():
                return (self.workflows.get(target.workflow) or self.references[target.workflow]).interface
            case LaunchPlanTarget():
                return (
                    self.launch_plans.get(target.launch_plan) or self.references[target.launch_plan]
                ).interface
            case ArrayTarget():
                return Interface(outputs=target.outputs(self.interface_of(target.item).outputs))
            case BranchTarget():
                return Interface(outputs=target.outputs)
            case GateTarget():
                given = () if target.type is None else (Variable(name="o0", type=target.type),)
                return Interface(outputs=given)
