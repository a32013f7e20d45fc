"""What recovering an execution will copy, run, or decide on the way: the run rehearsed, without running anything.

Values go from node to node as in a run, by the same functions, as far as they are known: until something would run. Apart
from `recovering`, which gathers what it needs. Pure: what was before is asked of `Past`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flyte_temporal.control.documents import Fate, PlannedNode
from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.spec import calls, lookup_calls
from flyte_temporal.spec.basis import Basis, basis_of_gate, basis_of_task
from flyte_temporal.spec.bindings import OutputBinding
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import NodePhase, NodeRecord, Recovery
from flyte_temporal.spec.lists import length
from flyte_temporal.spec.literals import Composite, Inline, LiteralValue
from flyte_temporal.spec.nodes import (
    ArrayTarget,
    BranchBody,
    BranchTarget,
    GateTarget,
    LaunchPlanTarget,
    Node,
    Target,
    TaskTarget,
    WorkflowTarget,
)
from flyte_temporal.spec.resolving import OutputMissing, at, resolve
from flyte_temporal.spec.types import ANY, NONE, ListType, LiteralType
from flyte_temporal.storage.recall import why_nothing
from flyte_temporal.workflows.branches import choose, operands
from flyte_temporal.workflows.plan import Graph, Progress
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.recovering import BY_WISH, gate_outputs

Values = dict[str, LiteralValue]


class Past(Protocol):
    """What was before."""

    def record(self, path: str) -> NodeRecord | None:
        """Return the record of a node."""

    def recall(self, path: str, basis: Basis) -> lookup_calls.Recalled:
        """Return what a node gave, if that stands for a result that rests on `basis`; else why not."""

    def child(self, path: str, closure: Closure, launch_plan: str, inputs: Values) -> lookup_calls.Recalled:
        """Return what the execution gave that a node started, if a new one would do the same; else why not."""

    def closure(self, digest: str) -> Closure:
        """Return a closure that a dynamic task gave."""


class _Unknown(Exception):
    """A value is known only when something has run.

    Args:
        path: The node that gives it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass
class _Known:
    """What is known of a node: its outputs if they are; whether something in it runs; None if that is open."""

    path: str
    outputs: Values | None = None
    runs: bool | None = True
    touched: bool = False


@dataclass
class _Flow:
    """A body that is rehearsed: where its references lead.

    Args:
        program: The closure.
        prefix: What the paths of its nodes begin with.
        inputs: Its inputs; None if they are not known.
        types: Their types.
        rerun: Whether all in it is run again by wish.
        around: For a branch's case, the body around it.
        waits_for: Where unknown inputs come from.
    """

    program: Program
    prefix: str
    inputs: Values | None
    types: dict[str, LiteralType]
    rerun: bool
    around: _Flow | None = None
    waits_for: str = ""
    known: dict[str, _Known] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)

    def input(self, name: str) -> LiteralValue:
        if self.around is not None:
            return self.around.input(name)
        if self.inputs is None:
            raise _Unknown(self.waits_for)
        if name not in self.inputs:
            raise OutputMissing(f"The input {name!r} was not given.")
        return self.inputs[name]

    def input_type(self, name: str) -> LiteralType:
        return self.around.input_type(name) if self.around is not None else self.types.get(name, ANY)

    def output(self, node: str, name: str) -> LiteralValue:
        if node not in self.known and self.around is not None:
            return self.around.output(node, name)
        found = self.known[node]
        if found.outputs is None:
            raise _Unknown(found.path)
        if name not in found.outputs:
            raise OutputMissing(f"The node {found.path} gave no output {name!r}.")
        return found.outputs[name]

    def output_type(self, node: str, name: str) -> LiteralType:
        if node not in self.targets and self.around is not None:
            return self.around.output_type(node, name)
        return self.program.output_type(self.targets[node], name) or ANY

    def upstream(self, node: Node) -> list[_Known]:
        return [self.known[name] for name in node.upstream() if name in self.known]

    def results(self, outputs: Iterable[OutputBinding]) -> Values | None:
        try:
            return {each.name: resolve(each.binding, self) for each in outputs}
        except (_Unknown, FlyteTemporalError):
            return None


class Rehearsal:
    """Rehearses one recovery.

    Args:
        recovery: How the earlier execution is recovered.
        past: The earlier execution.
        most: Nodes and items of maps that are looked at; what is beyond is left open.
    """

    def __init__(self, recovery: Recovery, past: Past, most: int = 10_000) -> None:
        self._recovery = recovery
        self._past = past
        self._most = most
        self._found: list[PlannedNode] = []

    def of(self, closure: Closure, inputs: Values) -> list[PlannedNode]:
        """Return what will become of each node that is known beforehand, holders before what they hold.

        Args:
            closure: What will run.
            inputs: Its inputs.
        """
        program = Program(closure, "")
        flow = _Flow(program, "", inputs, _types(program.main.interface.inputs), rerun=False)
        self._body(flow, program.main.nodes, program.graph(program.main))
        return self._found

    def _body(self, flow: _Flow, nodes: Sequence[Node], graph: Graph) -> list[_Known]:
        flow.targets = {node.id: node.target for node in nodes}
        by_id = {node.id: node for node in nodes}
        progress = Progress(graph)
        todo = progress.first()
        while todo:
            node = by_id[todo.pop(0)]
            flow.known[node.id] = self._node(flow, node, flow.prefix + node.id)
            todo += progress.finish(node.id)
        return list(flow.known.values())

    def _node(self, flow: _Flow, node: Node, path: str) -> _Known:
        rerun = (
            flow.rerun
            or self._recovery.asks_for(path)
            or any(earlier.touched for earlier in flow.upstream(node))
        )
        waits_for, inputs = "", None
        try:
            inputs = {name: resolve(binding, flow) for name, binding in node.inputs.items()}
        except _Unknown as unknown:
            waits_for = unknown.path
        except FlyteTemporalError as error:
            return self._say(flow, node, path, Fate.RUNS, error.message)
        place = _Place(flow, node, path, inputs, waits_for, rerun, node.target)
        known = self._kind(place)
        known.touched = rerun or self._recovery.asks_within(path)
        return known

    def _kind(self, here: _Place) -> _Known:
        target, program = here.target, here.flow.program
        try:
            match target:
                case WorkflowTarget():
                    spec = program.closure.workflows[target.workflow]
                    flow = here.inside(_types(spec.interface.inputs))
                    return self._holder(here, flow, spec.nodes, program.graph(spec), spec.outputs)
                case ArrayTarget():
                    return self._array(here, target)
                case BranchTarget():
                    return self._branch(here, target)
                case GateTarget():
                    return self._gate(here, target)
                case TaskTarget():
                    return self._task(here, target)
                case LaunchPlanTarget():
                    return self._child(here, target)
        except FlyteTemporalError as error:
            return self._say(here.flow, here.node, here.path, Fate.RUNS, error.message)

    def _task(self, here: _Place, target: TaskTarget) -> _Known:
        if (known := self._undecided(here)) is not None or here.inputs is None:
            return known or _Known(here.path)
        task = here.flow.program.closure.tasks[target.task].overridden(here.node.overrides)
        found = self._past.recall(here.path, basis_of_task(task, here.inputs))
        if not found.done or not found.spec:
            return self._say_found(here, found, found.outputs)
        program = Program(self._past.closure(found.spec), found.spec)
        main = program.main
        flow = _Flow(program, f"{here.path}.", {}, {}, rerun=False)
        return self._holder(here, flow, main.nodes, program.graph(main), main.outputs)

    def _gate(self, here: _Place, target: GateTarget) -> _Known:
        if (known := self._undecided(here)) is not None or here.inputs is None:
            return known or _Known(here.path)
        before = here.flow.upstream(here.node)
        if runs := [each.path for each in before if each.runs]:
            return self._runs(here, f"{runs[0]}, which it comes after, runs anew")
        if unsure := [each.path for each in before if each.runs is None]:
            return self._open(here, unsure[0])
        found = self._past.recall(here.path, basis_of_gate(target, here.inputs))
        return self._say_found(here, found, gate_outputs(target, here.inputs, found.reply))

    def _child(self, here: _Place, target: LaunchPlanTarget) -> _Known:
        if (known := self._undecided(here)) is not None or here.inputs is None:
            return known or _Known(here.path)
        found = self._past.child(here.path, here.flow.program.closure, target.launch_plan, here.inputs)
        return self._say_found(here, found, found.outputs)

    def _undecided(self, here: _Place, *, holds: bool = False) -> _Known | None:
        """Return what is known of a node that is run by wish, or of which the inputs are not known; else None."""
        if here.rerun:
            return self._runs(here, BY_WISH)
        if here.inputs is not None:
            return None
        record = self._past.record(here.path)
        if record is None or not (holds or _may_have_result(record)):
            return self._runs(here, f"{_before(record)}; it comes after {here.waits_for}")
        return self._open(here, here.waits_for)

    def _branch(self, here: _Place, target: BranchTarget) -> _Known:
        if here.inputs is None or operands(target, here.inputs) is not None:
            return self._open(here, here.waits_for or "the value that it decides by")
        chosen = choose(target, here.inputs, calls.ReadResult())
        if chosen is None:
            none: Values = {v.name: Inline(value=None, type=NONE) for v in target.outputs}
            return _Known(here.path, none, runs=False)
        flow = here.inside({}, around=here.flow)
        return self._holder(here, flow, chosen.nodes, _graph(here.flow.program, chosen), chosen.outputs)

    def _array(self, here: _Place, target: ArrayTarget) -> _Known:
        if here.inputs is None:
            return self._undecided(here, holds=True) or _Known(here.path)
        count = length(here.inputs[target.over[0]])
        if count is None:
            return self._open(here, "the length of its lists")
        if len(self._found) + count > self._most:
            return self._open(here, f"each of its {count:,} items, which are too many to look at beforehand")
        row = self._announce(here)
        types = _types(here.flow.program.closure.interface_of(target.item).inputs)
        items = []
        for index in range(count):
            inputs = {
                name: at(literal, ListType(element=types.get(name, ANY)), (index,))
                if name in target.over
                else literal
                for name, literal in here.inputs.items()
            }
            items.append(self._item(here, target.item, f"{here.path}[{index}]", inputs))
        outputs: Values | None = None
        if all(item.outputs is not None for item in items):
            names = [v.name for v in here.flow.program.closure.interface_of(target.item).outputs]
            outputs = {
                name: Composite(items=tuple((item.outputs or {})[name] for item in items)) for name in names
            }
        return self._held(here, row, items, outputs)

    def _item(self, here: _Place, target: Target, path: str, inputs: Values) -> _Known:
        rerun = here.rerun or self._recovery.asks_for(path)
        return self._kind(_Place(here.flow, here.node, path, inputs, "", rerun, target))

    def _holder(
        self, here: _Place, flow: _Flow, nodes: Sequence[Node], graph: Graph, outputs: Iterable[OutputBinding]
    ) -> _Known:
        row = self._announce(here)
        inside = self._body(flow, nodes, graph)
        return self._held(here, row, inside, flow.results(outputs))

    def _announce(self, here: _Place) -> int:
        """Keep the place of a node that holds others, before them."""
        self._found.append(_planned(here.flow, here.node, here.path, Fate.COPIED, ""))
        return len(self._found) - 1

    def _held(self, here: _Place, row: int, inside: Sequence[_Known], outputs: Values | None) -> _Known:
        """Say of a node what has come of those that it holds."""
        if not inside:
            # Nothing of it is copied or run; it is gone through again.
            del self._found[row]
            return _Known(here.path, outputs, runs=False)
        running = sum(each.runs is True for each in inside)
        unsure = sum(each.runs is None for each in inside)
        runs = True if running else None if unsure else False
        fate = Fate.RUNS if running else Fate.OPEN if unsure else Fate.COPIED
        if fate is not Fate.COPIED:
            reason = f"{running or unsure} of the {len(inside)} in it {'run' if running else 'are open'}"
            self._found[row] = _planned(here.flow, here.node, here.path, fate, reason)
        return _Known(here.path, outputs, runs)

    def _say_found(self, here: _Place, found: lookup_calls.Recalled, outputs: Values) -> _Known:
        if not found.done:
            return self._runs(here, found.reason)
        planned = _planned(here.flow, here.node, here.path, Fate.COPIED, "")
        self._found.append(planned.model_copy(update={"source": found.source}))
        return _Known(here.path, outputs, runs=False)

    def _runs(self, here: _Place, reason: str) -> _Known:
        return self._say(here.flow, here.node, here.path, Fate.RUNS, reason)

    def _open(self, here: _Place, on: str) -> _Known:
        return self._say(here.flow, here.node, here.path, Fate.OPEN, f"it depends on {on}")

    def _say(self, flow: _Flow, node: Node, path: str, fate: Fate, reason: str) -> _Known:
        self._found.append(_planned(flow, node, path, fate, reason))
        return _Known(path, None, runs=True if fate is Fate.RUNS else None)


@dataclass
class _Place:
    """A node, or an item of a map, that is looked at."""

    flow: _Flow
    node: Node
    path: str
    inputs: Values | None
    waits_for: str
    rerun: bool
    target: Target

    def inside(self, types: dict[str, LiteralType], around: _Flow | None = None) -> _Flow:
        """Return the body that it holds."""
        return _Flow(
            self.flow.program, f"{self.path}.", self.inputs, types, self.rerun, around, self.waits_for
        )


def _graph(program: Program, body: BranchBody) -> Graph:
    return program.body(body)


def _types(variables: Iterable[object]) -> dict[str, LiteralType]:
    return {v.name: v.type for v in variables}  # type: ignore[attr-defined]


def _planned(flow: _Flow, node: Node, path: str, fate: Fate, reason: str) -> PlannedNode:
    item = path.endswith("]")
    name = node.name or node.id
    kind = "dynamic" if flow.program.is_dynamic(node.target) else node.target.kind
    if item and isinstance(node.target, ArrayTarget):
        name, kind = name + path[path.rindex("[") :], node.target.item.kind
    return PlannedNode(id=path, name=name, kind=kind, fate=fate, reason=reason)


def _may_have_result(record: NodeRecord) -> bool:
    if record.spec or record.child or record.kind == "gate":
        return True
    return record.phase not in {NodePhase.FAILED, NodePhase.SKIPPED} and bool(record.attempt_key)


def _before(record: NodeRecord | None) -> str:
    return "it is new" if record is None else why_nothing(record)
