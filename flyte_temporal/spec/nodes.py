"""Nodes: the places in a workflow. One model a kind, told apart by `target.kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from flyte_temporal.spec.bindings import Binding, OutputBinding, nodes_of
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.identifiers import EntityName, NodeName
from flyte_temporal.spec.interface import Variable
from flyte_temporal.spec.policies import Overrides
from flyte_temporal.spec.types import ListType, LiteralType, optional

HANDLER = "efn"
"""Id of the node that runs a failure handler (Flyte's)."""

ERROR_INPUT = "err"
"""Name of a failure handler's input that receives the error (flytekit's)."""


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
    """One side of a comparison: an input of the branch node, or a constant.

    Args:
        input: Name of the branch node's input; None for a constant.
        constant: The constant, as JSON of `type`.
        type: Type of the value.
    """

    input: str | None = None
    constant: JsonValue = None
    type: LiteralType


class Comparison(Document):
    """`left op right`; what the operators mean for which types is `spec.conditions`'s."""

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


class BranchBody(Document):
    """What a case runs.

    Its nodes are bound to inputs and nodes of the workflow around it, and to each other: their ids are unique in the
    whole workflow. In an execution they stand below the branch node (`n3.n1`).

    Args:
        nodes: The nodes.
        outputs: Where each output of the branch node comes from.
    """

    nodes: tuple[Node, ...] = ()
    outputs: tuple[OutputBinding, ...] = ()

    def sources(self) -> tuple[str, ...]:
        """Return the ids of the nodes outside of the body that it takes values of or waits for."""
        own = {node.id for node in self.nodes}
        found = [name for node in self.nodes for name in node.upstream()]
        found += [name for output in self.outputs for name in nodes_of(output.binding)]
        return tuple(name for name in dict.fromkeys(found) if name not in own)


class BranchCase(Document):
    """A condition, and what happens if it is the first that holds: a body runs, or the node fails with a message."""

    when: Condition
    body: BranchBody | None = None
    fail: str | None = None


class BranchTarget(Document):
    """Run the body of the first case that holds.

    Without a case that holds and without `otherwise`, the node is SKIPPED and its outputs are none.

    Args:
        cases: Tried in order. Conditions take values from the node's inputs.
        otherwise: Body of `else_()`.
        otherwise_fail: Message of `else_().fail()`.
        outputs: What the node gives, whichever case is taken.
    """

    kind: Literal["branch"] = "branch"
    cases: tuple[BranchCase, ...]
    otherwise: BranchBody | None = None
    otherwise_fail: str | None = None
    outputs: tuple[Variable, ...] = ()

    def bodies(self) -> tuple[BranchBody, ...]:
        """Return all bodies, in order."""
        found = [case.body for case in self.cases] + [self.otherwise]
        return tuple(body for body in found if body is not None)


class GateTarget(Document):
    """Wait: for a time, for a value, or for an approval.

    `sleep` takes the input `duration`. `approve` takes the input `value` and gives it as `o0` once approved. `input`
    gives the answer as `o0`.

    Args:
        gate: Which of the three.
        name: Name by which it is answered; unique in its workflow. Empty for `sleep`.
        type: Type of `o0`; None for `sleep`.
        timeout_s: After how many seconds without an answer the node fails; 0 = never.
    """

    kind: Literal["gate"] = "gate"
    gate: Literal["sleep", "input", "approve"]
    name: str = ""
    type: LiteralType | None = None
    timeout_s: float = 0.0


class ArrayTarget(Document):
    """Run a target once for each element of some list inputs.

    Its outputs are those of the item, each a list; of optional elements where items may fail.

    Args:
        item: What runs for an element. It takes the inputs of the array node, with one element of those in `over`.
        over: Names of the inputs that are lists; the others are the same for every element.
        concurrency: Largest number running at once; 0 = no limit of its own.
        min_successes: Smallest number of successes for the node to succeed.
        min_success_ratio: The same as a fraction of the elements; the larger of both counts.
    """

    kind: Literal["array"] = "array"
    item: Target
    over: tuple[str, ...]
    concurrency: int = 0
    min_successes: int | None = None
    min_success_ratio: float | None = None

    @property
    def tolerant(self) -> bool:
        """Return whether some items may fail; their outputs are none then."""
        ratio = self.min_success_ratio
        return self.min_successes is not None or (ratio is not None and ratio < 1)

    def outputs(self, item: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Return what the node gives, for an item that gives `item`."""
        return tuple(
            v.model_copy(update={"type": ListType(element=optional(v.type) if self.tolerant else v.type)})
            for v in item
        )


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
        on_failure: Task or workflow to run once when this node has failed for good. It takes those of the node's inputs
            that it declares, and the error as `err`.
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
        if isinstance(self.target, BranchTarget):
            found += [n for body in self.target.bodies() for n in body.sources()]
        return tuple(dict.fromkeys([*found, *self.after]))


for _model in (Logical, BranchBody, BranchCase, BranchTarget, ArrayTarget, Node):
    _model.model_rebuild()
