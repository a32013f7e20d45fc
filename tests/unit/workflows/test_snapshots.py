"""Snapshots without Temporal: a run that is taken down and built anew after every step goes on as if it had not been."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from flyte_temporal.spec import calls
from flyte_temporal.spec.basis import Basis
from flyte_temporal.spec.cache import CacheOrder
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import digest
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import (
    CacheStatus,
    ErrorDocument,
    ErrorKind,
    FailedAttempt,
    GateReply,
    NodePhase,
    NodeRef,
    Repair,
    Verdict,
)
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.nodes import ArrayTarget, BranchTarget, GateTarget, TaskTarget, WorkflowTarget
from flyte_temporal.spec.policies import Resources, ResourceValues
from flyte_temporal.spec.runs import RunInput, Shard
from flyte_temporal.spec.snapshot import Snapshot
from flyte_temporal.testing import closures
from flyte_temporal.workflows.aborts import error_of
from flyte_temporal.workflows.arrays import Array, whole_map
from flyte_temporal.workflows.body import branch_body, workflow_body
from flyte_temporal.workflows.branches import choose
from flyte_temporal.workflows.gates import Gates
from flyte_temporal.workflows.inbox import Inbox
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.records import Records
from flyte_temporal.workflows.restoring import Restoring
from flyte_temporal.workflows.retries import Budget
from flyte_temporal.workflows.scope import NodeState, Stage
from flyte_temporal.workflows.snapshots import DERIVED, apply, row_of, take
from flyte_temporal.workflows.tree import Tree
from tests.workflow import dags
from tests.workflow.conftest import plain
from tests.workflow.test_structures import emitted, mapped

NOW = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)


class Simulation:
    """What `run` does with a tree, with ends that a random generator chooses instead of Temporal."""

    def __init__(self, given: RunInput, closure: Closure, seed: int) -> None:
        self.given = given
        self.random = random.Random(seed)
        self.programs = {given.request.spec: Program(closure, given.request.spec)}
        self.main = self.programs[given.request.spec]
        self.order: list[str] = []
        """Paths in the order in which they began."""
        self.empty()
        self.tree.open(workflow_body(self.main, self.main.main, dict(given.request.inputs), None))

    def empty(self) -> None:
        self.states: list[NodeState] = []
        self.records = Records(self.given, self.states, NOW)
        self.tree = Tree(self.given, self.records, self.states, lambda: NOW)
        self.gates = Gates(self.main, Inbox(), "e", list)
        self.running: list[NodeState] = []

    def taken(self) -> Snapshot:
        return take(self.tree, self.gates, self.records, self.tree.to_cancel, NOW, 1)

    def through_json(self) -> None:
        """Hand over to a successor, by the bytes that Temporal would keep."""
        before = self.taken()
        read = Snapshot.model_validate(from_json(to_json(before)))
        assert read == before
        self.empty()
        self.records.take_over(read.records)
        self.gates.take_over(read.gates)
        at_work = Restoring(read, self.tree, self.programs).restore()
        self.running = at_work
        assert self.taken() == before

    def end(self, rest: Callable[[Simulation], None]) -> None:
        """Run to the end; call `rest` between any two steps."""
        while self.tree.ready or self.tree.ready_free or self.running:
            queue = self.tree.ready_free or self.tree.ready
            if queue and (not self.running or self.random.random() < 0.6):
                self.begin(queue.popleft())
            else:
                self.running.sort(key=lambda state: state.order)
                self.finish(self.running.pop(self.random.randrange(len(self.running))))
            if self.tree.root and not self.tree.root.closed:
                rest(self)

    def begin(self, state: NodeState) -> None:
        self.order.append(state.path)
        self.tree.begin(state)
        inputs = state.scope.inputs_of(state)
        program = state.scope.program
        match state.node.target:
            case WorkflowTarget() as target:
                self.tree.open(
                    workflow_body(program, program.closure.workflows[target.workflow], inputs, state)
                )
            case BranchTarget() as target:
                chosen = choose(target, inputs, calls.ReadResult())
                for body in target.bodies():
                    if body is not chosen:
                        self.tree.pass_over(branch_body(body, state))
                assert chosen is not None
                self.tree.open(branch_body(chosen, state))
            case ArrayTarget():
                whole = whole_map(state, inputs, calls.ReadResult())
                self.tree.open(Array(state.scope.program, state, whole))
            case _:
                state.attempts += 1
                state.attempt_key = f"a/{state.path}/{state.attempts}-t"
                self.running.append(state)

    def finish(self, state: NodeState) -> None:
        target = state.node.target
        if isinstance(target, GateTarget):
            self.tree.succeed(state, {})
            return
        assert isinstance(target, TaskTarget)
        if target.task == dags.BAD or (target.task == dags.FLAKY and self.random.random() < 0.02):
            self.tree.fail(
                state, ErrorDocument(kind=ErrorKind.USER, code="Bad", message="bad", node=state.path)
            )
        elif target.task == dags.FLAKY and self.random.random() < 0.5:
            state.budget.user += 1
            self.tree.again(state, None)
        elif target.task == dags.DYNAMIC:
            made = emitted(3)
            state.spec = digest(made)
            self.programs.setdefault(state.spec, Program(made, state.spec))
            program = self.programs[state.spec]
            self.tree.open(workflow_body(program, program.main, {}, state))
        else:
            self.tree.succeed(state, {"o0": Inline(value=state.order)})

    def result(self) -> Any:
        tree = self.tree
        counts = {phase: number for phase, number in tree.board.over().items() if number}
        ends = {node.id: node for node in self.records.unsure()}
        return tree.result, tree.failure, counts, tree.made, self.order, ends


@pytest.mark.parametrize("seed", range(12))
def test_a_run_that_is_handed_over_after_every_step_goes_on_the_same(seed: int) -> None:
    closure = dags.random_dag(seed, 25, wrong=seed % 2 == 1)
    given = closures.run_input(closure, "e", 1)
    straight, handed = Simulation(given, closure, seed), Simulation(given, closure, seed)
    straight.end(lambda _: None)
    handed.end(Simulation.through_json)
    assert handed.result() == straight.result()


@pytest.mark.parametrize("handed_over", [False, True], ids=["straight", "handed-over"])
@pytest.mark.parametrize("item", [1, 2])
def test_an_item_that_is_aborted_while_it_waits_never_begins_and_leaves_the_others_their_places(
    item: int, *, handed_over: bool
) -> None:
    closure = mapped([0] * 4, concurrency=1, min_successes=2)
    simulation = Simulation(closures.run_input(closure, "e", 1), closure, 0)
    simulation.begin(simulation.tree.ready_free.popleft())
    simulation.begin(simulation.tree.ready.popleft())
    node = next(state for state in simulation.states if state.path == f"m[{item}]")
    simulation.tree.doom(node, error_of(calls.NodeAbort(node=node.path), node))
    assert (node.phase, node.attempts) == (NodePhase.FAILED, 0)
    assert not simulation.tree.ready, "another one took a place that the aborted one did not have"
    if handed_over:
        simulation.through_json()
    begun = [simulation.running[0].path]
    while simulation.running:
        (state,) = simulation.running
        simulation.running.clear()
        simulation.tree.succeed(state, {"o0": Inline(value=state.index)})
        while simulation.tree.ready:
            simulation.begin(simulation.tree.ready.popleft())
            begun.append(simulation.running[-1].path)
    assert begun == [f"m[{i}]" for i in range(4) if i != item]
    assert simulation.tree.result is not None
    assert plain(simulation.tree.result["o0"]) == [None if i == item else i for i in range(4)]


def test_every_field_of_a_nodes_state_is_carried() -> None:
    """A new field is carried by itself, if pydantic can write and read its type; or it is named as derived."""
    error = ErrorDocument(kind=ErrorKind.USER, code="Bad", message="bad")
    values: dict[str, Any] = {
        "doom": error,
        "failed": [FailedAttempt(number=1, verdict=Verdict.USER, code="Bad", attempt_key="a/1-t")],
        "phase": NodePhase.RUNNING,
        "budget": Budget(user=2, system=1),
        "error": error,
        "reply": GateReply(approved=True, by="ann", at=NOW),
        "tokens": ["0a1b"],
        "checkpoint_from": ("checkpoints/e/n0/",),
        "stage": Stage.WAITS,
        "cache": CacheStatus.MISS,
        "memo": CacheOrder(
            key="k", task="m.t", version="1", interface="i", inputs="d", token=3, lease_s=30.0
        ),
        "source": NodeRef(execution="e0", node="n1"),
        "basis": Basis(what="m.fit", inputs={"x": "1"}),
        "checkpoint": SavedCheckpoint(execution="e", generation=2, attempt=1, step=7, saved_at=NOW),
        "again_at": NOW,
        "repairs": [Repair(kind="retry", by="ann", at=NOW)],
        "resources": Resources(limits=ResourceValues(mem="2Gi")),
        "fresh_since": NOW,
        "whole": Shard(spec="0", node=closures.step("m", 1), path="m", inputs={}, offset=0, count=2, total=2),
    }
    fresh = NodeState(None, None, "p", 7)  # type: ignore[arg-type]
    made = NodeState(None, None, "p", 7)  # type: ignore[arg-type]
    carried = [field.name for field in dataclasses.fields(NodeState) if field.name not in DERIVED]
    for name in carried:
        old = getattr(made, name)
        other = values.get(name, NOW if old is None else not old if isinstance(old, bool) else None)
        if other is None:
            other = "text" if isinstance(old, str) else 3
        setattr(made, name, other)
        assert getattr(made, name) != getattr(fresh, name), f"give {name} a value in this test"
    row = row_of(made)
    assert row is not None
    apply(from_json(to_json(row)), fresh)
    assert fresh == made or vars(fresh) == vars(made)
    assert row_of(NodeState(None, None, "p", 7)) is None  # type: ignore[arg-type]


def test_what_is_over_leaves_only_a_letter() -> None:
    closure = closures.chain(2_000)
    simulation = Simulation(closures.run_input(closure, "e", 1), closure, 0)
    for _ in range(1_500):
        simulation.begin(simulation.tree.ready.popleft())
        simulation.finish(simulation.running.pop())
    taken = simulation.taken().model_copy(update={"records": ()})
    assert len(to_json(taken)) < 20_000
    assert list(taken.scopes[0].outputs) == ["n1499"]


def test_of_ten_thousand_nodes_only_open_ones_are_handed_over() -> None:
    """So the snapshot stays small, and is written and read within one activation (bench/scale.py tells how fast)."""
    closure = closures.fan_out(10_000)
    simulation = Simulation(closures.run_input(closure, "e", 1), closure, 0)
    for _ in range(9_000):
        simulation.begin(simulation.tree.ready.popleft())
    for state in list(simulation.running[:8_600]):
        simulation.finish(state)
    simulation.records.unsure = tuple  # type: ignore[method-assign]
    data = to_json(simulation.taken())
    assert len(data) < 512 * 1024
    simulation.empty()
    Restoring(Snapshot.model_validate(from_json(data)), simulation.tree, simulation.programs).restore()
    assert len(simulation.tree.states) == 10_001 - 8_600
