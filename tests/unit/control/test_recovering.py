"""Which recoveries are accepted, and what the new execution is asked to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.closures import Closures
from flyte_temporal.control.documents import Fate, PlannedNode, RecoverRequest, RecoveryPlan, StartRequest
from flyte_temporal.control.recovering import Recoveries
from flyte_temporal.control.repairing import match
from flyte_temporal.errors import BadRequest, Conflict, InvalidInputs, NotFound
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.spec import keys
from flyte_temporal.spec.basis import Basis, difference
from flyte_temporal.spec.bindings import InputRef
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    BundleRef,
    Environment,
    ExecutionPhase,
    Fix,
    NodePhase,
    NodeRecord,
    Repair,
)
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import STRING
from flyte_temporal.testing import closures
from flyte_temporal.testing.blobs import MemoryBlobStore
from flyte_temporal.testing.metadata import MemoryMetadataStore

NODES = [
    closures.step("a", InputRef(name="x")),
    closures.step("twin", 1),
    closures.step("b", closures.out("a")),
]
CLOSURE = closures.closure(
    closures.workflow(
        "train.flow",
        [node.model_copy(update={"name": "step" if node.id != "b" else "report"}) for node in NODES],
        closures.out("b"),
    )
)
BUNDLE = BundleRef(sha256="0" * 64, key="k", size=1)
THEN = Environment(
    launcher="process", env={"A": "1"}, interpreter="python-of-then", bundle=BUNDLE, cluster="gpu"
)


class House:
    """An execution of `train.flow`, and what can be made of it."""

    def __init__(
        self,
        phase: ExecutionPhase = ExecutionPhase.FAILED,
        mended: Closure | None = None,
        environment: Environment = THEN,
    ) -> None:
        self.store, blobs = MemoryMetadataStore(), MemoryBlobStore()
        blobs.put_new(keys.closure(digest(CLOSURE)), canonical_bytes(CLOSURE))
        limits = LimitSettings()
        found = Closures(blobs, self.store, SystemClock(), limits)
        self.recoveries = Recoveries(self.store, blobs, found, limits)
        request = closures.run_input(CLOSURE, "before", 7, environment=environment).request
        if mended is not None:
            blobs.put_new(keys.closure(digest(mended)), canonical_bytes(mended))
            tasks, _ = match(CLOSURE.tasks.values(), mended, ())
            fix = Fix(spec=digest(mended), environment=THEN, tasks=tasks)
            request = request.model_copy(update={"fixes": (fix,)})
        self.store.create_execution(request, datetime.now(UTC))
        self.store.record(RecordRequest(execution=request.id, phase=phase, at=datetime.now(UTC)))
        self.key = request.id

    def wish(self, **changes: Any) -> StartRequest:
        source = self.store.execution(self.key)
        assert source is not None
        return self.recoveries.wish(RecoverRequest(source=self.key, **changes), source)

    def plan(self, **changes: Any) -> Any:
        source = self.store.execution(self.key)
        assert source is not None
        return self.recoveries.preview(RecoverRequest(source=self.key, **changes), source)

    def checked(self, **changes: Any) -> StartRequest:
        source = self.store.execution(self.key)
        assert source is not None
        return self.recoveries.checked(RecoverRequest(source=self.key, **changes), source)

    def ran(self, node: str, **changes: Any) -> None:
        """Note a node of the execution."""
        record = NodeRecord(id=node, name=node, kind="task", phase=NodePhase.SUCCEEDED, attempts=1, **changes)
        self.store.record(RecordRequest(execution=self.key, nodes=(record,), at=datetime.now(UTC)))


def test_all_is_as_it_was_unless_it_is_said_otherwise() -> None:
    start = House().wish()
    assert (start.closure, start.inputs, start.environment) == (CLOSURE, {"x": Inline(value=7)}, THEN)
    assert start.recover is not None
    assert (start.recover.execution, start.recover.module) == ("before", ())
    assert House().wish(inputs={"x": Inline(value=8)}).inputs == {"x": Inline(value=8)}


def test_fixed_code_runs_where_it_is_but_as_it_did() -> None:
    fixed = Closure.model_validate_json(CLOSURE.model_dump_json().replace("train.flow", "fixed.flow"))
    now = Environment(interpreter="python-of-now")
    start = House().wish(closure=fixed, environment=now)
    assert start.environment == now.model_copy(
        update={"launcher": "process", "cluster": "gpu", "env": {"A": "1"}}
    )
    assert start.recover is not None
    assert start.recover.module == ("train", "fixed")
    assert House().wish(launcher="pool").environment.launcher == "pool"


def test_images_can_be_others_than_then() -> None:
    then = THEN.model_copy(update={"image": "all:1", "images": {"a": "a:1", "b": "b:1"}})
    same = House(environment=then).wish().environment
    assert (same.image, same.images) == ("all:1", then.images)
    other = (
        House(environment=then)
        .wish(image="all:2", images={"b": "b:2"}, environment=Environment())
        .environment
    )
    assert (other.image, other.images) == ("all:2", {"a": "a:1", "b": "b:2"})


@pytest.mark.parametrize("phase", [ExecutionPhase.RUNNING, ExecutionPhase.PAUSED])
def test_what_is_not_over_is_refused_with_advice(phase: ExecutionPhase) -> None:
    with pytest.raises(Conflict, match=f"before is {phase}.*flyte-temporal abort before"):
        House(phase).wish()


def test_nodes_are_named_by_id_or_by_a_name_that_only_one_has() -> None:
    start = House().wish(rerun=("a", "report"))
    assert start.recover is not None
    assert start.recover.rerun == ("a", "b")
    with pytest.raises(BadRequest, match="several nodes have this name: a, twin"):
        House().wish(rerun=("step",))
    with pytest.raises(NotFound, match=r"no such node. Did you mean report\? Nodes: a \(step\)"):
        House().wish(rerun=("reprot",))


def test_inputs_that_no_longer_fit_are_told_before_anything_starts() -> None:
    main = CLOSURE.main()
    variable = main.interface.inputs[0]

    def with_inputs(*inputs: Any) -> Closure:
        interface = main.interface.model_copy(update={"inputs": inputs})
        flow = main.model_copy(update={"interface": interface, "nodes": (closures.step("b", 1),)})
        return CLOSURE.model_copy(update={"workflows": {main.name: flow}})

    plan = House().plan(closure=with_inputs())
    assert plan.notes == ("The input x is no longer taken; the value of before is left out.",)
    with pytest.raises(InvalidInputs, match="Input 'x': expected str, got int 7"):
        House().plan(closure=with_inputs(variable.model_copy(update={"type": STRING})))
    with pytest.raises(InvalidInputs, match="Missing: y"):
        House().plan(closure=with_inputs(variable, variable.model_copy(update={"name": "y"})))


FIXED = (Repair(kind="retry", spec="f" * 64),)


def test_code_that_was_fixed_in_place_is_not_left_out_silently() -> None:
    house = House()
    assert house.checked() == house.wish()
    house.ran("twin", repairs=(Repair(kind="retry"),))
    assert house.plan().notes == ()
    house.ran("a", repairs=FIXED)
    assert house.plan().notes == (
        "Nodes ran with fixed code of `retry`, which `recover` does not take over: a. Give it with --file.",
    )
    with pytest.raises(Conflict, match=r"does not take over: a\. Without it they would run again .* --file"):
        house.checked()
    assert house.plan(closure=CLOSURE).notes == ()
    assert house.checked(closure=CLOSURE).closure == CLOSURE


def test_fixed_nodes_that_are_copied_or_not_there_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.ran("gone", repairs=FIXED)
    assert house.checked() == house.wish()
    house.ran("a", repairs=FIXED)
    copied = RecoveryPlan(
        source="before", nodes=(PlannedNode(id="a", name="a", kind="task", fate=Fate.COPIED),)
    )
    monkeypatch.setattr(house.recoveries, "plan", lambda *_: copied)
    assert house.checked() == house.wish()


def test_items_that_were_not_looked_at_count_as_the_map_that_holds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    house.ran("m[3].n0", repairs=FIXED)
    open_map = RecoveryPlan(
        source="before", nodes=(PlannedNode(id="m", name="m", kind="array", fate=Fate.OPEN),)
    )
    monkeypatch.setattr(house.recoveries, "plan", lambda *_: open_map)
    with pytest.raises(Conflict, match=r"m\[3\].n0"):
        house.checked()


def test_nodes_that_started_with_a_fix_count_though_nothing_was_done_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node that was held is copied. The code is that of before, so whatever ran with other code ran with the fix."""
    house = House()
    house.ran("a", repairs=FIXED)
    house.ran("b")
    skipped = NodeRecord(id="twin", name="twin", kind="task", phase=NodePhase.SKIPPED)
    house.store.record(RecordRequest(execution=house.key, nodes=(skipped,), at=datetime.now(UTC)))
    changed = difference(Basis(what="step", code="1"), Basis(what="step", code="2"))
    copied = PlannedNode(id="a", name="a", kind="task", fate=Fate.COPIED)
    runs = [PlannedNode(id=n, name=n, kind="task", fate=Fate.RUNS, reason=changed) for n in ("b", "twin")]
    plan = RecoveryPlan(source="before", nodes=(copied, *runs))
    monkeypatch.setattr(house.recoveries, "plan", lambda *_: plan)
    with pytest.raises(Conflict, match=r"take over: b\."):
        house.checked()
    assert house.plan().notes[0].count("a, b") == 1


def test_fixed_code_that_came_with_the_parent_counts_where_it_differs() -> None:
    task = next(iter(CLOSURE.tasks.values()))
    mended = CLOSURE.model_copy(
        update={"tasks": {**CLOSURE.tasks, task.name: task.model_copy(update={"code": "9" * 64})}}
    )
    house = House(mended=mended)
    house.ran("a", task=task.name)
    with pytest.raises(Conflict, match="take over: a"):
        house.checked()
    same = House(mended=CLOSURE)
    same.ran("a", task=task.name)
    assert same.checked() == same.wish()


def test_a_launch_plans_execution_that_was_fixed_counts_for_its_node() -> None:
    house = House()
    child = closures.run_input(CLOSURE, "before.a", 7, environment=THEN).request
    house.store.create_execution(child, datetime.now(UTC))
    inner = NodeRecord(id="x", name="x", kind="task", phase=NodePhase.FAILED, repairs=FIXED)
    house.store.record(RecordRequest(execution=child.id, nodes=(inner,), at=datetime.now(UTC)))
    house.ran("a", child="before.a")
    assert house.checked() == house.wish()
    failed = NodeRecord(id="b", name="b", kind="launch_plan", phase=NodePhase.FAILED, child="before.a")
    house.store.record(RecordRequest(execution=house.key, nodes=(failed,), at=datetime.now(UTC)))
    with pytest.raises(Conflict, match="take over: b"):
        house.checked()


@pytest.mark.parametrize(
    ("repairs", "reason"),
    [
        (
            (Repair(kind="retry"), Repair(kind="skip")),
            "it was skipped by hand with given outputs, which are not copied",
        ),
        ((Repair(kind="retry"),), "it was not reached before"),
        ((), "it was not reached before"),
    ],
    ids=["by hand", "tried again, then not reached", "not reached"],
)
def test_the_plan_tells_a_node_that_was_skipped_by_hand(repairs: tuple[Repair, ...], reason: str) -> None:
    house = House()
    nodes = [
        NodeRecord(id=path, name=path, kind="task", phase=NodePhase.SKIPPED, attempts=1, repairs=repairs)
        for path in ("a", "b")
    ]
    house.store.record(RecordRequest(execution=house.key, nodes=tuple(nodes), at=datetime.now(UTC)))
    told = {node.id: node.reason for node in house.plan().nodes}
    assert told["a"] == reason
    assert told["b"] == f"{reason}; it comes after a"
