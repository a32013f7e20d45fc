"""What is checked before a run is repaired, and which tasks of fixed code stand for which of a run."""

from __future__ import annotations

from flyte_temporal.control.repairing import match
from flyte_temporal.spec.entities import Closure, TaskSpec
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
