"""What is checked before a run is repaired, and which tasks of fixed code stand for which of a run."""

from __future__ import annotations

import pytest

from flyte_temporal.control.repairing import _check_outputs, match
from flyte_temporal.errors import Conflict, InvalidInputs
from flyte_temporal.spec.entities import Closure, TaskSpec
from flyte_temporal.spec.execution import ExecutionPhase
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.repairs import HeldNode, NodeSkip, RepairState
from flyte_temporal.spec.types import INTEGER
from flyte_temporal.testing import closures


def code(*tasks: TaskSpec) -> Closure:
    return closures.closure(closures.workflow("m.w", [closures.step("n0", 1)], None), *tasks)


def test_tasks_stand_for_each_other_by_name_and_interface() -> None:
    known = [closures.task(f"m.{name}", "x") for name in ("same", "moved", "gone", "other", "kind")]
    new = code(
        closures.task("fixed.moved", "x"),
        closures.task("m.same", "x"),
        closures.task("fixed.other", "x", "y"),
        closures.task("fixed.kind", "x").model_copy(update={"type": "dynamic"}),
    )
    mended, kept = match(known, new, ("m", "fixed"))
    assert {old: task.name for old, task in mended.items() if old not in kept} == {
        "m.same": "m.same",
        "m.moved": "fixed.moved",
    }
    assert kept == {
        "m.gone": "it is not in the new code",
        "m.other": "it takes or gives something else in the new code",
        "m.kind": "it is of type dynamic in the new code",
    }


def test_given_outputs_are_checked_and_are_of_the_node_that_is_named() -> None:
    numbers = Interface(outputs=(Variable(name="o0", type=INTEGER),))
    held = HeldNode(node="n2.n0", name="count", outputs=numbers)
    state = RepairState(phase=ExecutionPhase.PAUSED, held=(held,))
    for name in ("n2.n0", "count"):
        _check_outputs(NodeSkip(node=name, outputs={"o0": Inline(value=1)}), state)
        with pytest.raises(InvalidInputs, match=r"Node n2\.n0: .*expected int, got str"):
            _check_outputs(NodeSkip(node=name, outputs={"o0": Inline(value="abc")}), state)
    with pytest.raises(Conflict, match=r"n2 is not held itself: what failed in it is n2\.n0 \(count\)"):
        _check_outputs(NodeSkip(node="n2", outputs={"o0": Inline(value="abc")}), state)
