"""Runs a workflow's body once with promises and remembers the calls it makes.

Called by the compiler (which writes the recording as a spec) and by `workflows` (which runs it as plain Python), so that
both ways of running obey the same edges, types and orderings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from flyte_temporal.errors import CompileError, FlyteTemporalError, LimitExceeded
from flyte_temporal.sdk.arguments import arguments
from flyte_temporal.sdk.binding import Target, bind
from flyte_temporal.sdk.callsite import call_site, raise_site
from flyte_temporal.sdk.drafts import Body, NodeDraft, in_order, renamed
from flyte_temporal.sdk.entity import Entity, entities_behind
from flyte_temporal.sdk.handlers import FailureRules
from flyte_temporal.sdk.promises import NodeOutputs, Origin, Promise
from flyte_temporal.sdk.returned import by_output
from flyte_temporal.sdk.signature import Signature
from flyte_temporal.sdk.types.converter import ValueContext, shown
from flyte_temporal.spec.bindings import Binding, Constant
from flyte_temporal.spec.interface import Interface

MAX_NODES = 50_000
"""Largest number of nodes of one workflow; above it a spec takes too long to check, store and show."""

_ACTIVE: ContextVar[Recording | None] = ContextVar("flyte_temporal_recording", default=None)


@dataclass(frozen=True)
class Recorded:
    """What a body did: its nodes so that each comes after those it waits for, and where its outputs come from.

    Args:
        nodes: In call order; ids are final.
        order: The same, each after those that it waits for.
        outputs: A binding for each output.
        on_failure: What the workflow says about failures.
    """

    nodes: tuple[NodeDraft, ...]
    order: tuple[NodeDraft, ...]
    outputs: Mapping[str, Binding]
    on_failure: FailureRules = field(default_factory=FailureRules)


class Recording:
    """The calls that one body makes.

    Args:
        owner: How messages call the workflow or dynamic task.
        where: File and line of its definition.
        values: Where real values go that calls of a dynamic task are given; None while a workflow is compiled, when a
            spec has to say the same on every machine.

    Attributes:
        at_end: What to check when the body has run.
        gates: Where each name of a gate was given.
        by_calls: Whether it is made by calls of an `ImperativeWorkflow`, and never by a body that runs.
    """

    def __init__(self, owner: str, where: str, values: ValueContext | None = None) -> None:
        self._owner = f"{'workflow' if values is None else 'dynamic task'} {owner}"
        self._where = where
        self.values = values
        self.at_end: list[Callable[[], None]] = []
        self.gates: dict[str, str] = {}
        self.by_calls = False
        self._nodes: list[NodeDraft] = []
        self._body = self._root = Body(self._owner, where)

    @property
    def started(self) -> bool:
        """Return whether there is a node."""
        return bool(self._nodes)

    @property
    def body(self) -> Body:
        """Return the body that is being recorded: the workflow's, or that of a case of a conditional."""
        return self._body

    def begin(self, body: Body) -> None:
        """Let the nodes that follow belong to a case of a conditional."""
        self._body = body

    def end(self, body: Body) -> None:
        """Go back to the body around a case.

        Raises:
            CompileError: If a conditional inside of it has not been completed.
        """
        self._refuse_open(body)
        self._body = body.around or body

    def _refuse_open(self, expected: Body) -> None:
        if self._body is not expected:
            raise CompileError(
                f"The {self._body.label} has no end. Write .then(...) or .fail(...) behind it.",
                self._body.where,
            )

    def call(self, entity: Entity, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Add a node and return promises of its outputs, in the form in which the function returns them.

        Raises:
            CompileError: If an argument is missing, unknown, given twice, or does not fit.
            LimitExceeded: If the workflow has too many nodes.
        """
        outputs = self.node(entity, args, kwargs)
        return outputs[0] if entity.signature.form == "single" else outputs

    def node(self, entity: Entity, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NodeOutputs:
        """Add a node and return promises of all its outputs by name.

        Raises:
            CompileError: As for `call`.
            LimitExceeded: As for `call`.
        """
        where = call_site()
        draft = self.draft(entity, where)
        given = arguments(entity, args, kwargs, where)
        for variable in entity.interface.inputs:
            if variable.name in given:
                annotation = entity.signature.parameters[variable.name].annotation
                label = f"input {variable.name!r} of {draft.label}"
                target = Target(label, variable.type, annotation, self, where, self._body, self.values)
                draft.inputs[variable.name] = bind(given[variable.name], target)
            elif variable.default is not None:
                draft.inputs[variable.name] = Constant(
                    value=variable.default.value, hash=variable.default.hash
                )
        self.add(draft)
        return NodeOutputs(draft, self.promises(draft))

    def draft(self, entity: Entity, where: str) -> NodeDraft:
        """Return a new node of the body that is being recorded, which `add` then makes a part of it.

        Raises:
            LimitExceeded: If the workflow has too many nodes.
        """
        if len(self._nodes) >= MAX_NODES:
            raise LimitExceeded(
                f"{where}: the {self._owner} has more than {MAX_NODES:,} nodes. Split it into sub-workflows "
                "or let one task do more."
            )
        return NodeDraft(f"n{len(self._nodes)}", entity, {}, where, self._body)

    def add(self, draft: NodeDraft) -> None:
        """Make a node a part of the body that it was made for."""
        self._nodes.append(draft)
        draft.body.nodes.append(draft)

    def promises(self, draft: NodeDraft) -> dict[str, Promise]:
        """Return a promise for each output of a node."""
        return {
            v.name: Promise(Origin(self, draft, v.name, v.type, (), v.type))
            for v in draft.entity.interface.outputs
        }

    def finish(self, returned: Any, signature: Signature, interface: Interface) -> Recorded:
        """Bind what the body returned, give nodes their final ids, and put them in order.

        Raises:
            CompileError: If the body returned something else than declared, two nodes have one id, or nodes wait for
                each other.
        """
        values = by_output(returned, signature, interface, self._owner, self._where)
        return self.complete(values, signature, interface)

    def complete(self, values: Mapping[str, Any], signature: Signature, interface: Interface) -> Recorded:
        """Do as `finish` with values by output; may be called again when there are further nodes.

        Raises:
            CompileError: As for `finish`.
        """
        self._refuse_open(self._root)
        for check in self.at_end:
            check()
        outputs: dict[str, Binding] = {}
        for variable in interface.outputs:
            label = f"output {variable.name!r} of the {self._owner}"
            annotation = signature.outputs[variable.name]
            target = Target(label, variable.type, annotation, self, self._where, self._root, self.values)
            outputs[variable.name] = bind(values[variable.name], target)
        final = self._final_ids()
        if final:
            outputs = {name: renamed(binding, final) for name, binding in outputs.items()}
            for node in self._nodes:
                node.rename(final)
        return Recorded(tuple(self._root.nodes), tuple(in_order(self._root.nodes)), outputs)

    def _final_ids(self) -> dict[str, str]:
        taken: dict[str, NodeDraft] = {}
        for node in self._nodes:
            final = node.chosen_id or node.id
            if final in taken:
                raise CompileError(
                    f"Two nodes of the {self._owner} have the id {final!r}: one made here, one at "
                    f"{taken[final].where}. Give one of them another node_name.",
                    node.where,
                )
            taken[final] = node
        return {node.id: node.chosen_id for node in self._nodes if node.chosen_id}


def record(
    body: Callable[..., Any], owner: str, where: str, signature: Signature, interface: Interface
) -> Recorded:
    """Run a body once with a promise for each input.

    Args:
        body: The workflow's function.
        owner: How messages call the workflow.
        where: File and line of its definition.
        signature: Its Python side.
        interface: Its spec side.

    Raises:
        CompileError: If the program is wrong, or the body raised something, which is the cause then.
    """
    recording = Recording(owner, where)
    promises = {
        v.name: Promise(Origin(recording, None, v.name, v.type, (), v.type)) for v in interface.inputs
    }
    token = _ACTIVE.set(recording)
    try:
        returned = body(**promises)
    except FlyteTemporalError:
        raise
    except (Exception, SystemExit) as error:
        raise CompileError(
            f"The body of the workflow {owner} raised {type(error).__name__}: {error}. It runs when the workflow is "
            "compiled, where calls return promises; what needs values belongs into a task.",
            raise_site(error) or where,
        ) from error
    finally:
        _ACTIVE.reset(token)
    return recording.finish(returned, signature, interface)


def active() -> Recording | None:
    """Return the recording of the body that runs now, or None."""
    return _ACTIVE.get()


def record_values(
    body: Callable[..., Any], owner: str, where: str, values: Mapping[str, Any], context: ValueContext
) -> tuple[Any, Recording]:
    """Run a body once with real values; what it raises passes unchanged.

    Args:
        body: The function of a dynamic task.
        owner: How messages call it.
        where: File and line of its definition.
        values: Its arguments.
        context: Where values go that it gives to nodes.

    Returns:
        What it returned, and the recording, which is to be finished.
    """
    recording = Recording(owner, where, context)
    token = _ACTIVE.set(recording)
    try:
        return body(**values), recording
    finally:
        _ACTIVE.reset(token)


def create_node(entity: object, /, *args: Any, **kwargs: Any) -> NodeOutputs:
    """Call an entity in a workflow and return its node, of which outputs are taken by name: `node.o0`.

    Raises:
        CompileError: Outside of a workflow, for what is no entity, or as a call of the entity itself.
    """
    recording, found = active(), next(entities_behind(entity), None)
    if recording is None:
        raise CompileError(
            "create_node() makes a node of a workflow, but no workflow is being compiled. Call the task itself.",
            call_site(),
        )
    if found is None:
        raise CompileError(
            f"create_node() takes a task or workflow, not {shown(entity)}. Decorate it with @task.",
            call_site(),
        )
    return recording.node(found, args, kwargs)
