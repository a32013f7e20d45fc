"""Random DAGs of everything that a run can hold, from a seed; integers everywhere."""

from __future__ import annotations

import random
from typing import Any

from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, ListOf, OutputBinding, OutputRef
from flyte_temporal.spec.entities import Closure, FailurePolicy, WorkflowSpec
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.nodes import ArrayTarget, GateTarget, Node, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import Backoff, RetryPolicy, TaskPolicy
from flyte_temporal.spec.types import INTEGER, Simple, SimpleType, optional
from flyte_temporal.testing import closures
from tests.workflow.conftest import plain
from tests.workflow.launched import Failed, arithmetic
from tests.workflow.test_structures import body, branch, emitted

BAD, FLAKY, HANDLER, DYNAMIC = "shapes.bad", "shapes.flaky", "shapes.handler", "shapes.dynamic"
INNER, SOUR = "shapes.inner", "shapes.sour"
RETRIES = RetryPolicy(count=2, backoff=Backoff(initial_s=0.05, factor=1.0, max_s=0.05))


async def work(order: AttemptOrder) -> Any:
    """Do what the tasks of these DAGs do."""
    value = await arithmetic(order)
    if order.task.name == BAD:
        raise Failed(_error("it is bad", ErrorKind.USER, recoverable=False))
    if order.task.name == FLAKY and order.attempt.number <= plain(order.inputs["x"]) % 3:
        raise Failed(_error("it is flaky", ErrorKind.USER, recoverable=True))
    return emitted(value % 5) if order.task.name == DYNAMIC else value


def _error(message: str, kind: ErrorKind, *, recoverable: bool) -> ErrorDocument:
    return ErrorDocument(kind=kind, code="UserCodeError", message=message, recoverable=recoverable)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes: list[Node] = []

    def value(self) -> Binding:
        """Return something earlier, or a number."""
        known = [node for node in self.nodes[-12:] if not _gives_nothing(node)]
        if known and self.random.random() < 0.85:
            return closures.out(self.random.choice(known).id)
        return Constant(value=self.random.randrange(10))

    def add(self, kind: str) -> None:
        name = f"n{len(self.nodes)}"
        made = getattr(self, kind)(name)
        self.nodes.append(made)

    def step(self, name: str) -> Node:
        return closures.step(name, self.value())

    def flaky(self, name: str) -> Node:
        return closures.step(name, self.value(), name=FLAKY)

    def bad(self, name: str) -> Node:
        made = closures.step(name, self.value(), name=BAD)
        handler = TaskTarget(task=HANDLER) if self.random.random() < 0.5 else None
        return made.model_copy(update={"on_failure": handler})

    def join(self, name: str) -> Node:
        inputs = {"x": self.value(), "y": self.value()}
        return Node(id=name, target=TaskTarget(task=closures.JOIN), inputs=inputs)

    def total(self, name: str) -> Node:
        values = ListOf(items=tuple(self.value() for _ in range(self.random.randrange(1, 6))))
        return Node(id=name, target=TaskTarget(task=closures.TOTAL), inputs={"values": values})

    def nested(self, name: str) -> Node:
        return closures.sub_workflow(name, INNER, self.value())

    def sour(self, name: str) -> Node:
        return closures.sub_workflow(name, SOUR, self.value())

    def dynamic(self, name: str) -> Node:
        return closures.step(name, self.value(), name=DYNAMIC)

    def mapped(self, name: str) -> Node:
        item = self.random.choice([TaskTarget(task=closures.STEP), WorkflowTarget(workflow=INNER)])
        values = ListOf(items=tuple(self.value() for _ in range(self.random.randrange(1, 7))))
        target = ArrayTarget(item=item, over=("x",), concurrency=self.random.choice([0, 2]))
        self.nodes.append(Node(id=f"{name}m", target=target, inputs={"x": values}))
        given = {"values": OutputRef(node=f"{name}m", name="o0")}
        return Node(id=name, target=TaskTarget(task=closures.TOTAL), inputs=given)

    def branched(self, name: str) -> Node:
        inner = closures.step(f"{name}a", self.value())
        made = branch((1, body(inner, closures.step(f"{name}b", closures.out(inner.id)))))
        otherwise = body(closures.step(f"{name}c", self.value()))
        target = made.target.model_copy(update={"otherwise": otherwise})
        inputs = {"c0": Constant(value=self.random.randrange(3))}
        return made.model_copy(update={"id": name, "target": target, "inputs": inputs})

    def sleeping(self, name: str) -> Node:
        waits = tuple(node.id for node in self.nodes[-1:])
        duration: dict[str, Binding] = {"duration": Constant(value="PT0.1S")}
        gate = Node(id=f"{name}s", target=GateTarget(gate="sleep"), inputs=duration, after=waits)
        self.nodes.append(gate)
        return closures.step(name, self.random.randrange(9), gate.id)


GOOD = {
    "step": 6,
    "join": 5,
    "total": 2,
    "nested": 2,
    "flaky": 2,
    "dynamic": 1,
    "mapped": 2,
    "branched": 2,
    "sleeping": 1,
}
WRONG = {"bad": 1, "sour": 1}


def _with_error(task: str) -> Any:
    spec = closures.task(task, "x")
    error = Variable(name="err", type=optional(SimpleType(simple=Simple.ERROR)))
    return spec.model_copy(
        update={"interface": spec.interface.model_copy(update={"inputs": (*spec.interface.inputs, error)})}
    )


def random_dag(seed: int, size: int, *, wrong: bool) -> Closure:
    """Return a closure of about `size` nodes at the outermost level.

    Args:
        seed: Equal seeds give equal closures.
        size: Number of nodes.
        wrong: Whether some of its nodes fail.
    """
    maker = _Maker(seed)
    weights = {**GOOD, **(WRONG if wrong else {})}
    maker.add("step")
    for kind in maker.random.choices(list(weights), list(weights.values()), k=size):
        maker.add(kind)
    sources = tuple(closures.out(node.id) for node in maker.nodes if not _gives_nothing(node))
    last = Node(id="last", target=TaskTarget(task=closures.TOTAL), inputs={"values": ListOf(items=sources)})
    main = closures.workflow("shapes.random", [*maker.nodes, last], closures.out("last"))
    policy = FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
    main = main.model_copy(
        update={"failure_policy": policy, "on_failure": TaskTarget(task=HANDLER) if seed % 2 else None}
    )
    dynamic = closures.task(DYNAMIC, "x").model_copy(update={"type": "dynamic"})
    flaky = closures.task(FLAKY, "x", policy=TaskPolicy(retries=RETRIES))
    return closures.closure(
        main, _inner(), _sour(), closures.task(BAD, "x"), flaky, _with_error(HANDLER), dynamic
    )


def _gives_nothing(node: Node) -> bool:
    return isinstance(node.target, GateTarget | ArrayTarget)


def _inner() -> WorkflowSpec:
    first = closures.step("a", InputRef(name="x"))
    second = closures.step("b", InputRef(name="x"))
    both = {"x": closures.out("a"), "y": closures.out("b")}
    join = Node(id="c", target=TaskTarget(task=closures.JOIN), inputs=both)
    return closures.workflow(INNER, [first, second, join], closures.out("c"))


def _sour() -> WorkflowSpec:
    """Return a workflow that fails, with a failure handler."""
    first = closures.step("a", InputRef(name="x"))
    bad = closures.step("b", closures.out("a"), name=BAD)
    made = closures.workflow(SOUR, [first, bad, closures.step("c", 1)], closures.out("b"))
    interface = Interface(inputs=made.interface.inputs, outputs=(Variable(name="o0", type=INTEGER),))
    return made.model_copy(
        update={
            "interface": interface,
            "on_failure": TaskTarget(task=HANDLER),
            "failure_policy": FailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE,
            "outputs": (OutputBinding(name="o0", binding=closures.out("b")),),
        }
    )
