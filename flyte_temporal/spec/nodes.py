"""Nodes: the places in a workflow. One model a kind, told apart by `target.kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from flyte_temporal.spec.bindings import Binding, nodes_of
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.identifiers import EntityName, NodeName
from flyte_temporal.spec.policies import Overrides
from flyte_temporal.spec.types import LiteralType


class TaskTarget(Document):
    """Run a task of the same closure."""

    kind: Literal["task"] = "task"
    task: EntityName


class WorkflowTarget(Document):
    """Run a workflow of the same closure inside this execution."""

    kind: Literal["workflow"] = "workflow"
    workflow: EntityName


class LaunchPlanTarget(Document):
    """Start a launch plan as an execution of its own."""

    kind: Literal["launch_plan"] = "launch_plan"
    launch_plan: EntityName


class Operand(Document):
    """One side of a comparison: an input of the branch node, or a constant."""

    input: str | None = None
    constant: JsonValue = None
    type: LiteralType | None = None


class Comparison(Document):
    """`left op right` over values of one type."""

    kind: Literal["comparison"] = "comparison"
    op: Literal["==", "!=", "<", "<=", ">", ">="]
    left: Operand
    right: Operand


class Logical(Document):
    """`and`, `or` over several conditions, `not` over one."""

    kind: Literal["logical"] = "logical"
    op: Literal["and", "or", "not"]
    of: tuple[Condition, ...]


Condition = Annotated[Comparison | Logical, Field(discriminator="kind")]


class BranchCase(Document):
    """A condition and the node to run if it is the first that holds."""

    when: Condition
    then: Node | None = None
    fail: str | None = None


class BranchTarget(Document):
    """Run the node of the first case that holds."""

    kind: Literal["branch"] = "branch"
    cases: tuple[BranchCase, ...]
    otherwise: Node | None = None
    otherwise_fail: str | None = None


class GateTarget(Document):
    """Wait: for a time, for a value, or for an approval."""

    kind: Literal["gate"] = "gate"
    gate: Literal["sleep", "input", "approve"]
    name: str = ""
    type: LiteralType | None = None
    timeout_s: float = 0.0


class ArrayTarget(Document):
    """Run a target once for each element of some list inputs.

    Args:
        item: The node to run for an element; its inputs are named as the array node's.
        over: Names of the inputs that are lists; the others are the same for every element.
        concurrency: Largest number running at once; 0 = no limit of its own.
        min_successes: Smallest number of successes for the node to succeed.
        min_success_ratio: The same as a fraction; the larger of both counts.
    """

    kind: Literal["array"] = "array"
    item: Target
    over: tuple[str, ...]
    concurrency: int = 0
    min_successes: int | None = None
    min_success_ratio: float | None = None


Target = Annotated[
    TaskTarget | WorkflowTarget | LaunchPlanTarget | BranchTarget | GateTarget | ArrayTarget,
    Field(discriminator="kind"),
]


class Node(Document):
    """One place in a workflow.

    Args:
        id: Its id, unique in the workflow.
        name: What people see; by default the short name of the target.
        target: What runs there.
        inputs: A binding for each input.
        after: Ids of nodes that must end first though no value flows (`>>`).
        overrides: Parts of the task's policy set anew.
        aliases: Other names for outputs: `(output, alias)`.
        on_failure: Entity to run when this node fails, if any.
    """

    id: NodeName
    name: str = ""
    target: Target
    inputs: dict[str, Binding] = {}
    after: tuple[NodeName, ...] = ()
    overrides: Overrides | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    on_failure: Target | None = None

    def upstream(self) -> tuple[str, ...]:
        """Return the ids of the nodes that this one waits for, each once, in order of appearance."""
        found = [n for name in sorted(self.inputs) for n in nodes_of(self.inputs[name])]
        return tuple(dict.fromkeys([*found, *self.after]))


for _model in (Logical, BranchCase, BranchTarget, ArrayTarget, Node):
    _model.model_rebuild()
