"""`FakeEngine`: runs that do what a test tells them, under the contract of the `Engine` port."""

from __future__ import annotations

import asyncio

from flyte_temporal.errors import Conflict, NotFound, PlatformUnavailable
from flyte_temporal.ports.engine import RunState, Started
from flyte_temporal.spec.calls import GateAnswer, GateState, NodeAbort
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment, ExecutionPhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.repairs import GiveUp, NodeRetry, NodeSkip, Pause, RepairState
from flyte_temporal.spec.runs import RunInput


class FakeEngine:
    """Knows runs by id. A run ends when the test calls `finish`, or by an abort."""

    def __init__(self) -> None:
        self.started: list[tuple[RunInput, Closure]] = []
        """Every run that was really started, in order."""
        self.available = True
        """Whether calls are answered."""
        self.node_aborts: list[NodeAbort] = []
        self.repair_states: dict[ExecutionId, RepairState] = {}
        self.wishes: list[NodeRetry | NodeSkip | GiveUp | Pause] = []
        """Nodes that were to be aborted, in order."""
        self.forgotten: list[ExecutionId] = []
        """Runs whose worker was to be forgotten, in order."""
        self.swept: list[tuple[ExecutionId, str]] = []
        """Ended runs whose children were to be stopped, in order."""
        self.waits = 0
        """Number of calls of `wait` so far."""
        self.node_records: dict[ExecutionId, list[NodeRecord]] = {}
        """What runs tell of their nodes."""
        self.gate_states: dict[ExecutionId, list[GateState]] = {}
        """What runs tell of their gates."""
        self.unserved: set[str] = set()
        """Clusters that no worker serves."""
        self.waiting_nodes: set[str] = set()
        """Nodes whose attempts no worker has."""
        self._states: dict[ExecutionId, RunState] = {}
        self._changed = asyncio.Condition()

    async def finish(self, execution: ExecutionId, final: RunState) -> None:
        """Let a run end."""
        async with self._changed:
            self._states[execution] = final
            self._changed.notify_all()

    def forget(self, execution: ExecutionId) -> None:
        """Lose a run, as a power cut can."""
        del self._states[execution]

    async def start(self, run: RunInput, closure: Closure) -> Started:
        """Start a run; see `Engine.start`."""
        self._answer()
        if run.request.id in self._states:
            return Started.EXISTS
        self.started.append((run, closure))
        await self.finish(
            run.request.id, RunState(phase=ExecutionPhase.RUNNING, run=f"run-{len(self.started)}")
        )
        return Started.NEW

    async def state(self, execution: ExecutionId) -> RunState | None:
        """Return a run's state; see `Engine.state`."""
        self._answer()
        return self._states.get(execution)

    async def open_runs(self) -> dict[str, str]:
        """Return the runs that go on; see `Engine.open_runs`."""
        self._answer()
        return {e.name: state.run for e, state in self._states.items() if not state.phase.terminal}

    async def wait(self, execution: ExecutionId, timeout_s: float) -> RunState | None:
        """Wait for a run's end; see `Engine.wait`."""
        self._answer()
        self.waits += 1
        self._known(execution)
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._known(execution).phase.terminal)
        except TimeoutError:
            return None
        return self._known(execution)

    async def served(self, environment: Environment) -> bool:
        """Return whether a cluster is served; see `Engine.served`."""
        self._answer()
        return environment.cluster not in self.unserved

    async def waiting(self, execution: ExecutionId) -> set[str]:
        """Return what a test has set; see `Engine.waiting`."""
        self._answer()
        self._known(execution)
        return self.waiting_nodes

    async def nodes(self, execution: ExecutionId) -> list[NodeRecord]:
        """Return the nodes of a run; see `Engine.nodes`."""
        self._answer()
        self._known(execution)
        if execution not in self.node_records:
            raise PlatformUnavailable("No worker answers the query.")
        return self.node_records[execution]

    async def gates(self, execution: ExecutionId) -> list[GateState]:
        """Return the gates of a run; see `Engine.gates`."""
        self._answer()
        self._known(execution)
        return self.gate_states.get(execution, [])

    async def answer(self, execution: ExecutionId, answer: GateAnswer) -> GateState:
        """Keep an answer; see `Engine.answer`."""
        for gate in await self.gates(execution):
            if answer.gate in {gate.node, gate.name}:
                answer.require_seen()
                if gate.reply is not None:
                    raise Conflict(f"The gate {answer.gate!r} was answered by {gate.reply.by}.")
                done = gate.model_copy(update={"reply": answer.reply})
                self.gate_states[execution] = [
                    done if g.node == gate.node else g for g in self.gate_states[execution]
                ]
                return done
        raise NotFound(f"The execution has no gate {answer.gate!r}.")

    async def abort_node(self, execution: ExecutionId, request: NodeAbort) -> NodeRecord:
        """Note the wish; see `Engine.abort_node`."""
        for node in await self.nodes(execution):
            if request.node in {node.id, node.name}:
                if node.phase.terminal:
                    raise Conflict(f"The node {node.id} has ended: it is {node.phase}.")
                self.node_aborts.append(request)
                return node
        raise NotFound(f"The execution has reached no node {request.node!r}.")

    async def repairs(self, execution: ExecutionId) -> RepairState:
        """Return what a test has set; see `Engine.repairs`."""
        self._answer()
        self._known(execution)
        return self.repair_states.get(execution, RepairState(phase=ExecutionPhase.RUNNING))

    async def repair(
        self, execution: ExecutionId, wish: NodeRetry | NodeSkip | GiveUp | Pause
    ) -> RepairState:
        """Note the wish; see `Engine.repair`."""
        found = await self.repairs(execution)
        if isinstance(wish, NodeRetry | NodeSkip) and wish.node not in {"", *(h.node for h in found.held)}:
            raise NotFound(f"The execution has reached no node {wish.node!r}.")
        self.wishes.append(wish)
        return found

    async def forget_worker(self, execution: ExecutionId) -> None:
        """Note the call; see `Engine.forget_worker`."""
        self._answer()
        self.forgotten.append(execution)

    async def abort_left(self, execution: ExecutionId, reason: str) -> int:
        """Note the call; see `Engine.abort_left`."""
        self._answer()
        self.swept.append((execution, reason))
        return 0

    async def abort(self, execution: ExecutionId, reason: str) -> None:
        """Stop a run; see `Engine.abort`."""
        self._answer()
        if self._known(execution).phase.terminal:
            raise NotFound(f"The run {execution.name} is not open.")
        run = self._known(execution).run
        await self.finish(execution, RunState(phase=ExecutionPhase.ABORTED, reason=reason, run=run))

    def _answer(self) -> None:
        if not self.available:
            raise PlatformUnavailable("The engine does not answer.")

    def _known(self, execution: ExecutionId) -> RunState:
        if execution not in self._states:
            raise NotFound(f"No run {execution.name} is known.")
        return self._states[execution]
