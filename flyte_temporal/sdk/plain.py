"""Run anything as plain Python in this process: no engine, no store, same results.

A workflow's body runs with promises here too, and its nodes then run one after the other along their edges. So what the
compiler refuses is refused here as well, `>>` is obeyed, and values pass between tasks by their declared types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flyte_temporal.errors import BadRequest, BranchFailed, CompileError, InvalidInputs
from flyte_temporal.sdk.arguments import arguments
from flyte_temporal.sdk.branch import Branch
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.context import activate, active_parameters, plain_parameters, process_scratch
from flyte_temporal.sdk.drafts import NodeDraft, in_order
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.failing import Failing
from flyte_temporal.sdk.recording import Recorded
from flyte_temporal.sdk.types.adapt import adapt
from flyte_temporal.sdk.types.converter import InProcess
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.spec.bindings import Binding, Constant, InputRef, ListOf, MapOf, OutputRef, source
from flyte_temporal.spec.conditions import holds
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.paths import MissingAttribute, type_at, value_at
from flyte_temporal.spec.types import (
    ANY,
    STRING,
    ListType,
    LiteralType,
    MapType,
    TupleType,
    UnionType,
    plain_optional,
)


def run_plain(entity: Entity, inputs: Mapping[str, Any], scratch: Path | None = None) -> dict[str, Any]:
    """Run a task or workflow in this process and return its outputs by name, as Python values.

    Args:
        entity: What to run.
        inputs: Python values; missing ones take their defaults.
        scratch: A folder for the tasks' working directories; by default a temporary one that is left behind, since
            files that the tasks return stay where they were written.

    Raises:
        CompileError: If the program is wrong, or an input is missing or unknown.
        InvalidInputs: If a value does not fit its type; names the input.
        InputNotReadable: If a value between two tasks does not fit.
        OutputInvalid: If a task returned something that it does not declare.
        Exception: What a task raised, unchanged.
    """
    return _run(entity, arguments(entity, (), inputs, ""), scratch or process_scratch(), "")


def call_plain(entity: Entity, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a call of an entity and return what its function would return; raises as `run_plain`."""
    where = call_site()
    outer = active_parameters()
    scratch = outer.working_directory if outer is not None else process_scratch()
    outputs = _run(entity, arguments(entity, args, kwargs, where), scratch, where)
    return entity.signature.assemble(outputs)


def _run(entity: Entity, given: Mapping[str, Any], scratch: Path, where: str) -> dict[str, Any]:
    engine = default_engine()
    context = InProcess(blobs=None, scratch=scratch)
    written = {}
    for variable in entity.interface.inputs:
        if variable.name not in given and variable.default is not None:
            written[variable.name] = variable.default.value
            continue
        annotation = entity.signature.parameters[variable.name].annotation
        try:
            written[variable.name] = engine.to_json(given[variable.name], annotation, context)
        except BadRequest as error:
            place = f"{where}: " if where else ""
            raise InvalidInputs(
                f"{place}Input {variable.name!r} of {entity.short_name}(): {error.message}"
            ) from error
    # One set of parameters for the whole run, so that all its tasks see one execution date.
    with activate(active_parameters() or plain_parameters(entity.short_name, scratch)):
        outputs = entity.evaluate(written, context)
    return {
        v.name: engine.to_python(outputs[v.name], v.type, entity.signature.outputs[v.name], context)
        for v in entity.interface.outputs
    }


def run_nodes(
    workflow: Entity, recorded: Recorded, inputs: Mapping[str, Any], context: ValueContext
) -> dict[str, Any]:
    """Run the nodes of a workflow's recorded body along their edges and return its outputs, as `Entity.evaluate`.

    Raises:
        MissingAttribute: If a value has nothing at the end of an attribute path; names both ends, as the engine does.
        Exception: What the first node that failed raised, once the workflow's failure policy and handlers are obeyed.
    """
    interface, name = workflow.interface, _name_of(workflow)
    scope = _Scope(interface, inputs, context)
    failing = Failing(interface, recorded.on_failure, inputs, context)
    scope.run(recorded.order, failing)
    found: dict[str, Any] = {}
    with failing.outputs():
        for v in interface.outputs:
            label = f"Output {v.name!r} of the workflow {name}"
            found[v.name] = scope.end(recorded.outputs[v.name], v.type, label)
    return found


def _name_of(workflow: Entity) -> str:
    try:
        return workflow.name
    except CompileError:  # in an interactive session, where plain runs are fine
        return workflow.short_name


class _Scope:
    """The values of one run of a body: its inputs, and the outputs of the nodes that have ended."""

    def __init__(self, interface: Interface, inputs: Mapping[str, Any], context: ValueContext) -> None:
        self._inputs = {v.name: (inputs[v.name], v.type) for v in interface.inputs}
        self._outputs: dict[tuple[str, str], tuple[Any, LiteralType]] = {}
        self._context = context

    def run(self, nodes: Iterable[NodeDraft], failing: Failing) -> None:
        """Run nodes, given so that each comes after those it waits for, except those that a failure stops."""
        for node in nodes:
            if failing.stops(node):
                continue
            with failing.node(node) as given:
                wanted = {v.name: v.type for v in node.entity.interface.inputs}
                for name, binding in node.inputs.items():
                    given[name] = self.end(binding, wanted[name], f"Input {name!r} of node {node.id}")
                if isinstance(node.entity, Branch):
                    outputs = self._branch(node.entity, given, failing)
                else:
                    outputs = node.entity.overridden(node.overrides).evaluate(given, self._context)
                self.keep(node.id, node.entity.interface, outputs)

    def _branch(self, branch: Branch, values: Mapping[str, Any], failing: Failing) -> Mapping[str, Any]:
        """Run the first case that holds and return what it gives; without one, None for each output."""
        case = next((c for c in branch.cases if c.when is None or holds(c.when, values)), None)
        if case is None:
            return dict.fromkeys((v.name for v in branch.interface.outputs), None)
        if case.given is None:
            raise BranchFailed(case.message or "")
        inside = failing.within(branch.interface)
        self.run(in_order(case.body.nodes), inside)
        types = {v.name: v.type for v in branch.interface.outputs}
        found: dict[str, Any] = {}
        with inside.outputs():
            for output in branch.bound(case.given):
                label = f"Output {output.name!r} of {branch.name}"
                found[output.name] = self.end(output.binding, types[output.name], label)
        return found

    def keep(self, node: str, interface: Interface, outputs: Mapping[str, Any]) -> None:
        for variable in interface.outputs:
            self._outputs[node, variable.name] = outputs[variable.name], variable.type

    def end(self, binding: Binding, type_: LiteralType, label: str) -> Any:
        """Return the value of an input or output; a missing part is reported with both ends."""
        try:
            return self.value(binding, type_)
        except MissingAttribute as error:
            # Its cause is an IndexError of ours, which says nothing more.
            raise MissingAttribute(f"{label}, {error.message}") from None

    def value(self, binding: Binding, type_: LiteralType) -> Any:
        """Return the value of a binding, written by the type of its target."""
        match binding:
            case Constant():
                return binding.value
            case InputRef():
                return _at(self._inputs[binding.name], binding, type_)
            case OutputRef():
                return _at(self._outputs[binding.node, binding.name], binding, type_)
            case ListOf():
                types = _element_types(type_, len(binding.items))
                return [self.value(item, types[i]) for i, item in enumerate(binding.items)]
            case MapOf():
                return self._map(binding, type_)

    def _map(self, binding: MapOf, type_: LiteralType) -> Any:
        inner = _present(type_)
        if isinstance(inner, MapType) and inner.key != STRING:
            return [[e.key, self.value(e.value, inner.value)] for e in binding.entries]
        value_type = inner.value if isinstance(inner, MapType) else ANY
        return {str(e.key): self.value(e.value, value_type) for e in binding.entries}


def _at(kept: tuple[Any, LiteralType], ref: InputRef | OutputRef, target: LiteralType) -> Any:
    value, type_ = kept
    try:
        found = value_at(value, type_, ref.path)
    except MissingAttribute as error:
        raise MissingAttribute(f"from {source(ref)}: {error.message}") from error
    return adapt(found, type_at(type_, ref.path), target)


def _present(type_: LiteralType) -> LiteralType:
    return (plain_optional(type_) or type_) if isinstance(type_, UnionType) else type_


def _element_types(type_: LiteralType, count: int) -> list[LiteralType]:
    match _present(type_):
        case ListType(element=element):
            return [element] * count
        case TupleType(elements=elements):
            return list(elements)
        case _:
            return [ANY] * count
