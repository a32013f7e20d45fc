"""Which recoveries are accepted, and what the new execution is asked to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.closures import Closures
from flyte_temporal.control.documents import RecoverRequest, StartRequest
from flyte_temporal.control.recovering import Recoveries
from flyte_temporal.errors import BadRequest, Conflict, InvalidInputs, NotFound
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.spec import keys
from flyte_temporal.spec.bindings import InputRef
from flyte_temporal.spec.calls import RecordRequest
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import BundleRef, Environment, ExecutionPhase
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

    def __init__(self, phase: ExecutionPhase = ExecutionPhase.FAILED) -> None:
        self.store, blobs = MemoryMetadataStore(), MemoryBlobStore()
        blobs.put_new(keys.closure(digest(CLOSURE)), canonical_bytes(CLOSURE))
        limits = LimitSettings()
        found = Closures(blobs, self.store, SystemClock(), limits)
        self.recoveries = Recoveries(self.store, blobs, found, limits)
        request = closures.run_input(CLOSURE, "before", 7, environment=THEN).request
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
        return self.recoveries.plan(self.wish(**changes), source)


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
