"""Commands that answer gates: approve, reject, set-input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.session import open_client

if TYPE_CHECKING:
    from flyte_temporal.cli.output import Output
    from flyte_temporal.cli.place import Place
    from flyte_temporal.spec.calls import GateState


def approve(output: Output, place: Place, id_: str, gate: str) -> int:
    """Approve a gate."""
    with open_client(output, place) as client:
        return _shown(output, id_, client.execution(id_).approve(gate), "approved")


def reject(output: Output, place: Place, id_: str, gate: str) -> int:
    """Reject a gate."""
    with open_client(output, place) as client:
        return _shown(output, id_, client.execution(id_).reject(gate), "rejected")


def set_input(output: Output, place: Place, id_: str, given: tuple[str, str]) -> int:
    """Give a gate a value; `given` is the gate and what was typed."""
    gate, text = given
    with open_client(output, place) as client:
        return _shown(output, id_, client.execution(id_).set_input_text(gate, text), "answered")


def _shown(output: Output, id_: str, gate: GateState, what: str) -> int:
    if output.json:
        output.document({"id": id_, **gate.model_dump(mode="json", exclude={"type"})})
    else:
        output.result(f"Gate {gate.name} (node {gate.node}) of {id_} is {what}.")
    return ExitCode.SUCCEEDED
