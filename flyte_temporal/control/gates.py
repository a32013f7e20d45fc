"""Answers to gates: whether a value is one that the gate waits for. The run itself knows whether it may be answered."""

from __future__ import annotations

from collections.abc import Sequence

from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.types.conform import conform
from flyte_temporal.spec.calls import GateAnswer, GateState


def check_value(answer: GateAnswer, gates: Sequence[GateState]) -> None:
    """Check the value of an answer against the type of its gate.

    Args:
        answer: The answer; one to a gate that is not there is left to the run to refuse.
        gates: The gates of the run.

    Raises:
        InvalidInputs: If the value does not fit; says what was expected and what was given.
        Conflict: If whoever answers had not seen the gate yet.
    """
    meant = [gate for gate in gates if answer.gate in {gate.node, gate.name}]
    if meant:
        answer.require_seen()
    for gate in meant:
        if gate.gate == "input" and gate.type is not None:
            try:
                conform(answer.reply.value, gate.type)
            except InvalidInputs as error:
                raise InvalidInputs(f"The gate {gate.name!r}: {error.message}") from error
