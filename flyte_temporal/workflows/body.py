"""`Body`: a running instance of a workflow, of a branch's case, or of a failure handler: nodes with edges between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from flyte_temporal.spec.bindings import Binding, InputRef, OutputBinding, nodes_of
from flyte_temporal.spec.entities import FailurePolicy, WorkflowSpec
from flyte_temporal.spec.execution import ErrorDocument
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.literals import ErrorValue, Inline, LiteralValue
from flyte_temporal.spec.nodes import ERROR_INPUT, HANDLER, BranchBody, BranchTarget, Node, Target
from flyte_temporal.spec.resolving import OutputMissing, named, partly
from flyte_temporal.spec.types import LiteralType, Simple, SimpleType
from flyte_temporal.workflows.plan import Graph, Progress
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.scope import ENDED_WELL_MARKS, Carried, Earlier, NodeState, Place, Scope


class Body(Scope):
    """Nodes with edges between them.

    Args:
        program: The closure.
        spec: The workflow; for a branch's case, one made of it.
        graph: Its graph.
        inputs: Its inputs.
        parent: The node that it is the body of; None for the execution itself.
        around: For a branch's case, the body that the branch stands in: its inputs and nodes are seen from here.
    """

    def __init__(
        self,
        program: Program,
        spec: WorkflowSpec,
        graph: Graph,
        inputs: dict[str, LiteralValue],
        parent: NodeState | None,
        around: Body | None = None,
    ) -> None:
        super().__init__(program, parent)
        self.spec = spec
        self.on_failure = spec.on_failure
        self.prefix = f"{parent.path}." if parent else ""
        self.inputs = inputs
        self._around = around
        self._progress = Progress(graph)
        self._by_id: dict[str, NodeState] = {}
        self._outputs: dict[str, dict[str, LiteralValue]] = {}
        self._marks: dict[str, str] = {}
        """How nodes had ended before this run (`ScopeSnapshot.marks`)."""
        self.case = 0
        """Which of a branch's bodies it is."""

    def places(self) -> Iterator[Place]:
        """Return its nodes."""
        return (Place(node, self.prefix + node.id) for node in self.spec.nodes)

    def first(self) -> list[NodeState]:
        """Return the nodes that wait for nothing."""
        self._by_id = {state.node.id: state for state in self.states}
        return [self._by_id[name] for name in self._progress.first()]

    def after(self, state: NodeState, outputs: dict[str, LiteralValue] | None) -> list[NodeState]:
        """Take in an end; what comes after a failed node never runs."""
        if outputs is None:
            return []
        self._outputs[state.node.id] = outputs
        return [self._by_id[name] for name in self._progress.finish(state.node.id)]

    def upstream(self, state: NodeState) -> list[Earlier]:
        """Return the nodes that a node comes after; those around a branch's case the branch itself comes after."""
        return [self._earlier(name) for name in state.node.upstream() if name in self._progress.graph.nodes]

    def _earlier(self, name: str) -> Earlier:
        state, path = self._by_id.get(name), self.prefix + name
        if state is not None:
            return Earlier(path, ran=state.ran, rerun=state.rerun)
        mark = self._marks.get(name, ".")
        return Earlier(path, ran=mark in "dw", rerun=mark == "w")

    def carried(self, marks: str) -> Carried:
        """Return the inputs, and those outputs that an open node or an output of the whole needs."""
        open_ = {node.id for node, mark in zip(self.spec.nodes, marks, strict=True) if mark == "."}
        wanted = {name for output in self.spec.outputs for name in nodes_of(output.binding)}
        downstream = self._progress.graph.downstream
        kept = {
            name: given
            for name, given in self._outputs.items()
            if not self.settled and (name in wanted or not open_.isdisjoint(downstream[name]))
        }
        return Carried(self.inputs, kept)

    def take_over(self, carried: Carried) -> None:
        """Go on; what was waited for follows from what has ended."""
        self._by_id = {state.node.id: state for state in self.states}
        self._marks = {node.id: mark for node, mark in zip(self.spec.nodes, self.marks, strict=True)}
        for node, mark in zip(self.spec.nodes, self.marks, strict=True):
            if mark in ENDED_WELL_MARKS:
                self._progress.finish(node.id)
        self._outputs = dict(carried.outputs)

    @property
    def gives_up(self) -> bool:
        """Return whether the first failure stops the rest."""
        return bool(self.errors) and self.spec.failure_policy is FailurePolicy.FAIL_IMMEDIATELY

    @property
    def failed(self) -> bool:
        """Return whether anything failed."""
        return bool(self.errors)

    def sort_errors(self) -> None:
        """Of nodes that failed independently, tell the first of the listing first: which was faster is chance.

        Where the first failure stops the rest, the order in time stays: that one is the cause.
        """
        if self.condemned or self.gives_up:
            return
        places = {node.id: place for place, node in enumerate(self.spec.nodes)}
        start = len(self.prefix)
        self.errors.sort(
            key=lambda error: places.get(re.split(r"[.\[]", error.node[start:], maxsplit=1)[0], len(places))
        )

    def input(self, name: str) -> LiteralValue:
        """Return an input of the workflow."""
        if self._around is not None:
            return self._around.input(name)
        if name not in self.inputs:
            raise OutputMissing(f"The input {name!r} of {self.spec.name} was not given.")
        return self.inputs[name]

    def input_type(self, name: str) -> LiteralType:
        """Return the declared type of an input of the workflow."""
        if self._around is not None:
            return self._around.input_type(name)
        variable = self.spec.interface.input(name)
        if variable is None:
            raise OutputMissing(f"{self.spec.name} has no input {name!r}.")
        return variable.type

    def output(self, node: str, name: str) -> LiteralValue:
        """Return an output of a finished node, here or around."""
        if node not in self._outputs and self._around is not None:
            return self._around.output(node, name)
        given = self._outputs[node]
        if name not in given:
            raise OutputMissing(f"The node {self.prefix}{node} gave no output {name!r}.")
        return given[name]

    def output_type(self, node: str, name: str) -> LiteralType:
        """Return the declared type of an output of a node, here or around."""
        nodes = self._progress.graph.nodes
        if node not in nodes and self._around is not None:
            return self._around.output_type(node, name)
        found = self.program.output_type(nodes[node].target, name)
        if found is None:
            raise OutputMissing(f"The node {self.prefix}{node} has no output {name!r}.")
        return found

    def inputs_of(self, state: NodeState) -> dict[str, LiteralValue]:
        """Return the inputs of a node whose upstream has ended."""
        bindings = state.node.inputs
        return {n: named(b, self, f"Input {n!r} of node {state.path}") for n, b in bindings.items()}

    def bound(
        self, state: NodeState, later: Collection[str]
    ) -> tuple[dict[str, LiteralValue], dict[str, Binding]]:
        """Return the inputs of a node, and what is left of those that are bound to nodes under way."""
        inputs: dict[str, LiteralValue] = {}
        bindings: dict[str, Binding] = {}
        for name, binding in state.node.inputs.items():
            if later and any(node in later for node in nodes_of(binding)):
                bindings[name] = partly(binding, self, later)
            else:
                inputs[name] = named(binding, self, f"Input {name!r} of node {state.path}")
        return inputs, bindings

    def fed_by(self, state: NodeState) -> list[NodeState]:
        """Return the nodes that wait for this one."""
        return [self._by_id[name] for name in self._progress.graph.downstream[state.node.id]]

    def left(self, state: NodeState) -> int:
        """Return for how many nodes that have not ended a node waits."""
        return self._progress.left[state.node.id]

    def bears(self, failures: int) -> bool:
        """Return whether failures stop nothing else."""
        del failures
        return self.spec.failure_policy is not FailurePolicy.FAIL_IMMEDIATELY

    def results(self) -> dict[str, LiteralValue]:
        """Return the outputs, once all nodes have ended well."""
        return {
            o.name: named(o.binding, self, f"Output {o.name!r} of the workflow {self.spec.name}")
            for o in self.spec.outputs
        }


def workflow_body(
    program: Program, spec: WorkflowSpec, inputs: dict[str, LiteralValue], parent: NodeState | None
) -> Body:
    """Return an instance of a workflow of the closure."""
    return Body(program, spec, program.graph(spec), inputs, parent)


def branch_body(body: BranchBody, parent: NodeState) -> Body:
    """Return an instance of a case of the branch node `parent`."""
    around = parent.scope
    if not isinstance(around, Body):  # pragma: no cover - `programs` refuses maps over branches
        raise TypeError(f"{parent.path} is a branch outside of a workflow")
    spec = WorkflowSpec(
        name=around.spec.name,
        nodes=body.nodes,
        outputs=body.outputs,
        failure_policy=around.spec.failure_policy,
    )
    made = Body(around.program, spec, around.program.body(body), {}, parent, around)
    target = parent.node.target
    bodies = target.bodies() if isinstance(target, BranchTarget) else ()
    made.case = next((i for i, each in enumerate(bodies) if each is body), 0)
    return made


def handler_body(
    handled: Scope | NodeState, handler: Target, inputs: dict[str, LiteralValue], error: ErrorDocument
) -> Body:
    """Return an instance of the failure handler of a workflow or of a node.

    Args:
        handled: What failed.
        handler: The task or workflow to run.
        inputs: What the failed workflow or node was given.
        error: Why it failed.
    """
    told = ErrorValue(message=error.message, failed_node_id=error.node).model_dump(mode="json")
    given = {
        **inputs,
        ERROR_INPUT: Inline(value=told, type=SimpleType(simple=Simple.ERROR)),
    }
    return handler_given(handled, handler, given)


def handler_given(handled: Scope | NodeState, handler: Target, given: dict[str, LiteralValue]) -> Body:
    """Return an instance of a failure handler whose inputs are put together already.

    Args:
        handled: What failed.
        handler: The task or workflow to run.
        given: What there is to give it.
    """
    scope = handled.scope if isinstance(handled, NodeState) else handled
    parent = handled if isinstance(handled, NodeState) else handled.parent
    interface: Interface = scope.program.interface_of(handler)
    wanted = {v.name: InputRef(name=v.name) for v in interface.inputs if v.name in given}
    node = Node(id=HANDLER, name="on_failure", target=handler, inputs=wanted)
    outputs: tuple[OutputBinding, ...] = ()
    name = scope.spec.name if isinstance(scope, Body) else handler.kind
    spec = WorkflowSpec(name=name, interface=interface, nodes=(node,), outputs=outputs)
    made = Body(scope.program, spec, Graph(spec.nodes), given, parent)
    made.outer = scope
    made.handles = handled
    return made
