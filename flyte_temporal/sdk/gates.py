"""Gates: nodes that wait for a time, for a value, or for an approval, and occupy no process meanwhile.

`sleep`, `wait_for_input` and `approve` are called by authors inside a workflow's body. `gather` writes them as they are;
in a plain run the answers come from `answers`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeVar

from flyte_temporal.errors import CompileError, GateRejected, UnsupportedType
from flyte_temporal.sdk.answers import approved, input_of
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.deferred import Deferred
from flyte_temporal.sdk.entity import Entity
from flyte_temporal.sdk.promises import NodeOutputs, Promise, origin_of
from flyte_temporal.sdk.recording import Recording, active
from flyte_temporal.sdk.signature import Parameter, Signature
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext, default_engine
from flyte_temporal.sdk.types.times import parse_duration
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.types import Simple, SimpleType, describe, holds_opaque

T = TypeVar("T")
_DURATION = SimpleType(simple=Simple.DURATION)


def sleep(duration: timedelta) -> NodeOutputs:
    """Add a node that waits; order others after it by `>>`. No process is held, and there is no longest time.

    Args:
        duration: How long, or the promise of it.

    Raises:
        CompileError: If no workflow is being compiled, or it is no duration, or less than none.
    """
    where = call_site()
    recording = _recording("sleep()", where)
    given: object = duration
    if isinstance(given, timedelta) and given < timedelta(0):
        raise CompileError(
            f"sleep({shown(duration)}) is less than no time. Give a timedelta of 0 or more.", where
        )
    inputs = {"duration": (_DURATION, timedelta)}
    return recording.node(Gate(GateTarget(gate="sleep"), inputs, {}), (duration,), {})


def wait_for_input(
    name: str, timeout: timedelta | float | None = None, expected_type: type[T] | None = None
) -> T:
    """Add a node that waits until somebody gives it a value, and return the promise of that.

    Args:
        name: Name by which it is answered; unique in the workflow.
        timeout: After how long without an answer the node fails, in seconds or as timedelta; None = never.
        expected_type: Type of the value: any that a task's input may have.

    Raises:
        CompileError: If no workflow is being compiled, the name is taken, or an argument makes no sense.
    """
    where = call_site()
    recording = _recording("wait_for_input()", where)
    if expected_type is None:
        raise CompileError(
            f"wait_for_input({name!r}) does not say what it waits for. Write expected_type=int, for example.",
            where,
        )
    try:
        type_ = default_engine().literal_type(expected_type)
    except UnsupportedType as error:
        raise UnsupportedType(f"expected_type of wait_for_input({name!r}): {error.message}", where) from error
    if holds_opaque(type_):
        raise UnsupportedType(
            f"expected_type of wait_for_input({name!r}): a {describe(type_)} travels as a pickle, which only a task can "
            "make. Wait for data: a text, a number, a dataclass, a file.",
            where,
        )
    target = GateTarget(
        gate="input",
        name=_claimed(recording, name, where),
        type=type_,
        timeout_s=_seconds(timeout, name, where),
    )
    promised: T = recording.call(Gate(target, {}, {"o0": expected_type}), (), {})
    return promised


def approve(upstream_item: T, name: str, timeout: timedelta | float | None = None) -> T:
    """Add a node that waits until somebody approves a value, and return the promise of the approved value.

    If it is rejected, the node fails with the user error `GateRejected`.

    Args:
        upstream_item: The value: an input of the workflow, what a call returned, or a part of either.
        name: Name by which it is answered; unique in the workflow.
        timeout: After how long without an answer the node fails, in seconds or as timedelta; None = never.

    Raises:
        CompileError: If no workflow is being compiled, the name is taken, or an argument makes no sense.
    """
    where = call_site()
    recording = _recording("approve()", where)
    asked: object = upstream_item
    if isinstance(asked, NodeOutputs) and len(asked) == 1:
        asked = asked[0]
    if not isinstance(asked, Promise):
        hint = (
            "Approve one of them"
            if isinstance(asked, Deferred)
            else "Approve what a call returned, or an input"
        )
        raise CompileError(f"approve() takes one promised value, not {shown(asked)}. {hint}.", where)
    type_ = origin_of(asked).type
    target = GateTarget(
        gate="approve",
        name=_claimed(recording, name, where),
        type=type_,
        timeout_s=_seconds(timeout, name, where),
    )
    promised: T = recording.call(Gate(target, {"value": (type_, Any)}, {"o0": Any}), (asked,), {})
    return promised


class Gate(Entity):
    """What stands at the node of a gate.

    Args:
        target: The gate as the spec writes it.
        inputs: Type and annotation of each input.
        outputs: Annotation of each output.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "task"

    def __init__(
        self, target: GateTarget, inputs: Mapping[str, tuple[Any, Any]], outputs: Mapping[str, Any]
    ) -> None:
        self.target = target
        self._inputs = inputs
        self._outputs = outputs

    @property
    def what(self) -> str:
        """Return what its node is, for messages."""
        return "gate"

    @property
    def attempted(self) -> None:
        """Return None: nobody tries a gate."""

    @property
    def name(self) -> str:
        """Return its name, or `sleep`."""
        return self.target.name or self.target.gate

    @property
    def short_name(self) -> str:
        """Return its name, or `sleep`."""
        return self.name

    @property
    def signature(self) -> Signature:
        """Return what it takes and gives."""
        parameters = {name: Parameter(name, annotation) for name, (_, annotation) in self._inputs.items()}
        return Signature(parameters, self._outputs, "single" if self._outputs else "none")

    @property
    def interface(self) -> Interface:
        """Return what it takes and gives."""
        outputs = () if self.target.type is None else (Variable(name="o0", type=self.target.type),)
        return Interface(
            inputs=tuple(Variable(name=name, type=type_) for name, (type_, _) in self._inputs.items()),
            outputs=outputs,
        )

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Wait in this process; see `Entity.evaluate` and `answers`.

        Raises:
            GateRejected: If the value is not approved.
            GateTimedOut: If nobody answers in time.
            GateUnanswered: If there is nobody to ask.
            InvalidInputs: If an answer that was given beforehand does not fit.
        """
        match self.target.gate:
            case "sleep":
                time.sleep(max(0.0, parse_duration(inputs["duration"]).total_seconds()))
                return {}
            case "input":
                return {"o0": input_of(self.target, self._outputs["o0"], context)}
            case "approve":
                if not approved(self.target, inputs["value"]):
                    raise GateRejected(f"The gate {self.name!r} was rejected.")
                return {"o0": inputs["value"]}


def _recording(what: str, where: str) -> Recording:
    recording = active()
    if recording is None:
        raise CompileError(
            f"{what} makes a node of a workflow, but no workflow is being compiled. Call it in the body of a @workflow or "
            "@dynamic.",
            where,
        )
    return recording


def _claimed(recording: Recording, name: object, where: str) -> str:
    if type(name) is not str or not name.strip():
        raise CompileError(
            f"A gate has a name by which it is answered, not {shown(name)}. Give it one.", where
        )
    first = recording.gates.get(name)
    recording.gates[name] = where
    if first is not None:
        raise CompileError(
            f"Two gates of one workflow have the name {name!r}; the other one is at {first}. Give one of them another "
            "name, by which it is answered.",
            where,
        )
    return name


def _seconds(given: object, name: str, where: str) -> float:
    if given is None:
        return 0.0
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return float(seconds)
    raise CompileError(
        f"The timeout {shown(given)} of the gate {name!r} must be a timedelta, or seconds, of more than 0. None is for ever.",
        where,
    )
