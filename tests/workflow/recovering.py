"""Executions that leave manifests and records, as real ones do, and their recoveries. Each is also foretold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from flyte_temporal.activities.closures import Closures
from flyte_temporal.config.settings import LimitSettings
from flyte_temporal.control.closures import Closures as ControlClosures
from flyte_temporal.control.documents import Fate, RecoverRequest, RecoveryPlan
from flyte_temporal.control.recovering import Recoveries
from flyte_temporal.ports.clock import SystemClock
from flyte_temporal.ports.engine import RunState
from flyte_temporal.spec import calls, keys
from flyte_temporal.spec.attempt import Manifest
from flyte_temporal.spec.basis import basis_of_task
from flyte_temporal.spec.calls import AttemptRequest, AttemptResult, GateAnswer
from flyte_temporal.spec.document import canonical_bytes
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import ErrorDocument, ExecutionRequest, NodePhase, NodeRecord
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.runs import RunInput, RunLimits
from flyte_temporal.testing import closures
from tests.workflow.conftest import Attempted, Behaviour, Stage, arithmetic


@dataclass
class Kept(Attempted):
    """Attempts that leave manifests, and records that reach the store."""

    stage: Stage | None = None
    inner: Behaviour = arithmetic
    old_release: bool = False

    def __post_init__(self) -> None:
        self.behaviour = self._kept

    async def _kept(self, request: AttemptRequest) -> Any:
        assert self.stage is not None
        task = await Closures(self.stage.blobs).task(request.spec, request.task)
        basis = basis_of_task(task.overridden(request.overrides), request.inputs)
        now = datetime.now(UTC)
        made = Manifest(
            attempt=request.attempt,
            started_at=now,
            finished_at=now,
            basis=None if self.old_release else basis,
        )
        try:
            value = await self.inner(request)
        except ApplicationError as error:
            document = ErrorDocument.model_validate(error.details[0])
            self._write(made.model_copy(update={"error": document}))
            raise
        if isinstance(value, AttemptResult):
            if value.closure is not None:
                self.stage.store_closure(value.closure)
            self._write(made.model_copy(update={"spec": value.spec, "outputs": value.outputs or None}))
        else:
            self._write(made.model_copy(update={"outputs": {"o0": Inline(value=value)}}))
        return value

    def _write(self, manifest: Manifest) -> None:
        assert self.stage is not None
        self.stage.blobs.put_new(keys.manifest(manifest.attempt), canonical_bytes(manifest))

    @activity.defn(name=calls.RECORD)
    async def record(self, request: calls.RecordRequest) -> None:
        assert self.stage is not None
        self.records.append(request)
        self.stage.store.record(request)

    @property
    def ran(self) -> list[str]:
        """Return the nodes of which attempts were made, in order."""
        return sorted(request.attempt.node for request in self.requests)


@dataclass
class Ended:
    """An execution that is over."""

    request: ExecutionRequest
    state: RunState
    seen: Kept
    stage: Stage
    plan: RecoveryPlan | None = None
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    limits: RunLimits | None = None

    def phases(self) -> dict[str, str]:
        """Return the phase of each node."""
        return {path: node.phase.value for path, node in self.nodes.items()}

    def reason(self, path: str) -> str:
        """Return why a node was planned to run."""
        assert self.plan is not None
        return next(node.reason for node in self.plan.nodes if node.id == path)


async def run(
    stage: Stage,
    closure: Closure,
    behaviour: Behaviour = arithmetic,
    *,
    x: int = 0,
    name: str = "first",
    answers: Sequence[GateAnswer] = (),
    kept: Kept | None = None,
    limits: RunLimits | None = None,
) -> Ended:
    """Run a closure to its end."""
    given = closures.run_input(closure, f"{name}-{stage.name}", x, limits)
    return await _to_end(stage, given, closure, kept or Kept(stage=stage, inner=behaviour), answers)


async def _to_end(
    stage: Stage,
    given: RunInput,
    closure: Closure,
    seen: Kept,
    answers: Sequence[GateAnswer],
    *,
    late: bool = False,
) -> Ended:
    stage.store_closure(closure)
    request = given.request
    stage.store.create_execution(request, datetime.now(UTC))
    async with stage.worker(seen):
        await stage.engine.start(given, closure)
        for answer in answers:
            if late:
                await _asked(stage, request, answer.gate)
            await stage.engine.answer(request.id, answer)
        state = await stage.engine.wait(request.id, 60)
    assert state is not None
    nodes = {node.id: node for node in stage.store.nodes(request.id)}
    return Ended(request, state, seen, stage, nodes=nodes, limits=given.limits)


async def _asked(stage: Stage, request: ExecutionRequest, gate: str) -> None:
    async with asyncio.timeout(30):
        while True:
            states = {state.name: state.phase for state in await stage.engine.gates(request.id)}
            if states.get(gate) is NodePhase.RUNNING:
                return
            await asyncio.sleep(0.02)


async def recover(
    before: Ended,
    closure: Closure | None = None,
    behaviour: Behaviour = arithmetic,
    *,
    name: str = "second",
    answers: Sequence[GateAnswer] = (),
    late: bool = False,
    **wish: Any,
) -> Ended:
    """Recover an execution; what was foretold must have come."""
    stage = before.stage
    limits = LimitSettings()
    control = ControlClosures(stage.blobs, stage.store, SystemClock(), limits)
    recoveries = Recoveries(stage.store, stage.blobs, control, limits)
    source = stage.store.execution(before.request.id)
    assert source is not None
    if "x" in wish:
        wish["inputs"] = {"x": Inline(value=wish.pop("x"))}
    wanted = RecoverRequest(source=before.request.id, closure=closure, **wish)
    start = recoveries.wish(wanted, source)
    plan = recoveries.plan(start, source)
    if closure is not None:
        stage.store_closure(closure)
    given = closures.run_input(start.closure, f"{name}-{stage.name}", limits=before.limits)
    request = given.request.model_copy(update={"inputs": start.inputs, "recover": start.recover})
    seen = Kept(stage=stage, inner=behaviour)
    given = given.model_copy(update={"request": request})
    ended = await _to_end(stage, given, start.closure, seen, answers, late=late)
    ended.plan = plan
    for node in plan.nodes:
        if node.fate is Fate.COPIED:
            assert ended.nodes[node.id].phase is NodePhase.RECOVERED, node
        elif node.fate is Fate.RUNS and node.id in ended.nodes:
            assert ended.nodes[node.id].phase is not NodePhase.RECOVERED, node
    return ended
