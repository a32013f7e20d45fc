"""Small closures without any user code, for tests of the interpreter and for the benchmark."""

from __future__ import annotations

from flyte_temporal.spec.bindings import Binding, Constant, InputRef, ListOf, OutputBinding, OutputRef
from flyte_temporal.spec.document import digest
from flyte_temporal.spec.entities import Closure, EntryPoint, Root, TaskSpec, WorkflowSpec
from flyte_temporal.spec.execution import Environment, ExecutionRequest
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import ArrayTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import TaskPolicy
from flyte_temporal.spec.runs import INTERPRETER, RunInput, RunLimits
from flyte_temporal.spec.types import INTEGER, ListType

STEP = "shapes.step"
"""Task of one integer to one integer."""
TOTAL = "shapes.total"
"""Task of a list of integers to one integer."""
JOIN = "shapes.join"
"""Task of two integers to one integer."""


def task(name: str, *inputs: str, policy: TaskPolicy | None = None) -> TaskSpec:
    """Return a task of integers to one integer.

    Args:
        name: Dotted name.
        inputs: Names of its inputs.
        policy: How to run it.
    """
    module, _, function = name.rpartition(".")
    interface = Interface(
        inputs=tuple(Variable(name=n, type=INTEGER) for n in inputs),
        outputs=(Variable(name="o0", type=INTEGER),),
    )
    entry = EntryPoint(module=module, name=function)
    return TaskSpec(name=name, interface=interface, entry=entry, policy=policy or TaskPolicy())


def _total() -> TaskSpec:
    spec = task(TOTAL)
    inputs = (Variable(name="values", type=ListType(element=INTEGER)),)
    return spec.model_copy(update={"interface": spec.interface.model_copy(update={"inputs": inputs})})


def step(node_id: str, x: Binding | int, *after: str, name: str = STEP) -> Node:
    """Return a node of the task of one integer."""
    binding = Constant(value=x) if isinstance(x, int) else x
    return Node(id=node_id, target=TaskTarget(task=name), inputs={"x": binding}, after=after)


def sub_workflow(node_id: str, workflow: str, x: Binding) -> Node:
    """Return a node that runs a workflow with the input `x`."""
    return Node(id=node_id, target=WorkflowTarget(workflow=workflow), inputs={"x": x})


def out(node_id: str) -> OutputRef:
    """Return a reference to a node's only output."""
    return OutputRef(node=node_id, name="o0")


def workflow(name: str, nodes: list[Node], result: Binding | None) -> WorkflowSpec:
    """Return a workflow of one integer input `x`, with the given nodes and one output."""
    outputs = (Variable(name="o0", type=INTEGER),) if result is not None else ()
    bound = (OutputBinding(name="o0", binding=result),) if result is not None else ()
    interface = Interface(inputs=(Variable(name="x", type=INTEGER),), outputs=outputs)
    return WorkflowSpec(name=name, interface=interface, nodes=tuple(nodes), outputs=bound)


def closure(main: WorkflowSpec, *others: WorkflowSpec | TaskSpec) -> Closure:
    """Return a closure of a workflow, with the tasks of this module and the given entities."""
    tasks = {t.name: t for t in (task(STEP, "x"), _total(), task(JOIN, "x", "y"))}
    workflows = {main.name: main}
    for other in others:
        if isinstance(other, TaskSpec):
            tasks[other.name] = other
        else:
            workflows[other.name] = other
    return Closure(root=Root(kind="workflow", name=main.name), tasks=tasks, workflows=workflows)


def chain(length: int) -> Closure:
    """Return a chain of steps; the result is the input plus `length` if a step adds 1."""
    nodes = [step("n0", InputRef(name="x"))]
    nodes += [step(f"n{i}", out(f"n{i - 1}")) for i in range(1, length)]
    return closure(workflow("shapes.chain", nodes, out(f"n{length - 1}")))


def fan_out(width: int) -> Closure:
    """Return `width` independent steps and a sum of their results."""
    nodes = [step(f"n{i}", InputRef(name="x")) for i in range(width)]
    values = ListOf(items=tuple(out(f"n{i}") for i in range(width)))
    total = Node(id="total", target=TaskTarget(task=TOTAL), inputs={"values": values})
    return closure(workflow("shapes.fan_out", [*nodes, total], out("total")))


def layers(depth: int, width: int) -> Closure:
    """Return layers of joins, each node with two parents of the layer before, and a sum of the last layer."""
    nodes = [step(f"n0_{i}", InputRef(name="x")) for i in range(width)]
    for d in range(1, depth):
        nodes += [
            Node(
                id=f"n{d}_{i}",
                target=TaskTarget(task=JOIN),
                inputs={"x": out(f"n{d - 1}_{i}"), "y": out(f"n{d - 1}_{(i + 1) % width}")},
            )
            for i in range(width)
        ]
    values = ListOf(items=tuple(out(f"n{depth - 1}_{i}") for i in range(width)))
    total = Node(id="total", target=TaskTarget(task=TOTAL), inputs={"values": values})
    return closure(workflow("shapes.layers", [*nodes, total], out("total")))


def mapped() -> Closure:
    """Return a map of a step over the list `xs`, and the sum of what it gives."""
    array = Node(
        id="m", target=ArrayTarget(item=TaskTarget(task=STEP), over=("x",)), inputs={"x": InputRef(name="xs")}
    )
    total = Node(id="total", target=TaskTarget(task=TOTAL), inputs={"values": out("m")})
    main = workflow("shapes.mapped", [array, total], out("total"))
    inputs = (Variable(name="xs", type=ListType(element=INTEGER)),)
    interface = main.interface.model_copy(update={"inputs": inputs})
    return closure(main.model_copy(update={"interface": interface}))


def run_input(
    of: Closure,
    execution: str,
    x: int = 0,
    limits: RunLimits | None = None,
    environment: Environment | None = None,
) -> RunInput:
    """Return the input of a run of one of these closures."""
    inputs: dict[str, LiteralValue] = {"x": Inline(value=x)}
    request = ExecutionRequest(
        id=ExecutionId(project="default", domain="development", name=execution),
        root=of.root,
        version="v1",
        spec=digest(of),
        inputs=inputs,
        environment=environment or Environment(),
    )
    return RunInput(request=request, limits=limits or RunLimits(), interpreter=INTERPRETER)
