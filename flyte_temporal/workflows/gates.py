"""Gates of a run: timers that are slept, and answers that are awaited; an answer that comes early is kept.

Called by `run` to start gates, and by the interpreter's update `answer` and query `gates`.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from typing import Any

from temporalio import workflow

from flyte_temporal.errors import Conflict, GateRejected, GateTimedOut, InvalidInputs, NotFound, UserCodeError
from flyte_temporal.spec import calls
from flyte_temporal.spec.basis import basis_of_gate
from flyte_temporal.spec.conditions import comparable
from flyte_temporal.spec.execution import GateReply, NodePhase
from flyte_temporal.spec.literals import Inline, LiteralValue
from flyte_temporal.spec.nodes import BranchTarget, GateTarget, Node, WorkflowTarget
from flyte_temporal.spec.types import Simple, SimpleType, describe
from flyte_temporal.workflows.failures import document_of
from flyte_temporal.workflows.inbox import Ended, Inbox, pause
from flyte_temporal.workflows.programs import Program
from flyte_temporal.workflows.recovering import gate_outputs
from flyte_temporal.workflows.scope import NodeState
from flyte_temporal.workflows.spans import bounded, span

DURATION = SimpleType(simple=Simple.DURATION)


class Gates:
    """All gates that a run has or is known to come to.

    Args:
        planned: What the run executes, if that is a workflow; gates of dynamic tasks and of items of maps are added as
            they are reached.
        inbox: Where ends go.
        execution: Name of the execution, for the commands that are shown.
        children: Returns the names of the executions that it has started, which have gates of their own.
    """

    def __init__(
        self, planned: Program | None, inbox: Inbox, execution: str, children: Callable[[], list[str]]
    ) -> None:
        self._children = children
        self._inbox = inbox
        self._execution = execution
        known = _planned(planned, planned.main.nodes, "") if planned else []
        self._known: dict[str, GateTarget] = dict(known)
        self._states: dict[str, NodeState] = {}
        self._replies: dict[str, GateReply] = {}
        self._earlier: dict[str, NodePhase] = {}
        """States of gates in the run before this one."""

    def take_over(self, gates: tuple[calls.GateState, ...]) -> None:
        """Go on from what an earlier run of the execution knew."""
        for gate in gates:
            self._earlier[gate.node] = gate.phase
            if gate.node not in self._known:
                self._known[gate.node] = GateTarget(gate=gate.gate, name=gate.name, type=gate.type)
            if gate.reply is not None:
                self._replies[gate.node] = gate.reply

    def meet(self, program: Program, nodes: tuple[Node, ...], prefix: str) -> None:
        """Add the gates of a body that was opened."""
        self._known.update(_planned(program, nodes, prefix))

    def start(self, state: NodeState, inputs: dict[str, LiteralValue]) -> None:
        """Let a gate wait; one that waited in an earlier run goes on until the same moment."""
        gate = state.node.target
        if not isinstance(gate, GateTarget):  # pragma: no cover - the caller sorts kinds
            raise TypeError(f"{state.path} is no gate")
        self._states[state.path] = state
        if gate.gate == "sleep":
            seconds = _seconds(inputs["duration"])
            state.reason = f"sleeps for {span(seconds)}"
            left = _left(state, seconds)
            waiting: asyncio.Task[Any] = asyncio.create_task(pause(left, f"{state.path} sleep"))
        else:
            state.reason = _how(self._execution, gate, self._handle(state.path, gate.name))
            waiting = asyncio.create_task(self._reply(state, gate))
        self._inbox.watch(state, waiting, costly=False)
        self._inbox.after(waiting, lambda done: self._on_end(state, gate, inputs, done))

    def answered(self, state: NodeState) -> bool:
        """Return whether a gate was answered before it was reached."""
        return state.path in self._replies

    def forget(self, state: NodeState) -> None:
        """Let a gate be answered anew; from now on, also where a run before this one has held it."""
        self._states[state.path] = state
        state.reply = None
        self._replies.pop(state.path, None)

    def recalled(self, state: NodeState) -> None:
        """Take in that the answer of an earlier execution stands for a gate: it takes no other."""
        self._states[state.path] = state
        if state.reply is not None:
            self._replies[state.path] = state.reply

    def _handle(self, path: str, name: str) -> str:
        """Return what stands for a gate in commands: its name, or its path where others have or may get the name."""
        named = sum(gate.name == name for gate in self._known.values() if gate.gate != "sleep")
        return path if named > 1 or "[" in path else name

    async def _reply(self, state: NodeState, gate: GateTarget) -> GateReply:
        limit = span(_left(state, gate.timeout_s)) if gate.timeout_s else None
        try:
            await workflow.wait_condition(
                lambda: state.path in self._replies,
                timeout=limit,
                timeout_summary=f"{state.path} {gate.name}: time-out",
            )
        except TimeoutError:
            raise GateTimedOut(
                f"The gate {gate.name!r} got no answer within {span(gate.timeout_s)}."
            ) from None
        return self._replies[state.path]

    def _on_end(
        self,
        state: NodeState,
        gate: GateTarget,
        inputs: dict[str, LiteralValue],
        done: asyncio.Task[GateReply | None],
    ) -> None:
        self._inbox.forget(state)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            cancelled = isinstance(error, asyncio.CancelledError)
            document = None if cancelled else document_of(error, state.path)
            self._inbox.push(Ended(state, error=document, cancelled=cancelled))
            return
        state.reply = reply = done.result()
        state.basis = basis_of_gate(gate, inputs)
        if reply is not None and reply.approved is False:
            by = f" by {reply.by}" if reply.by else ""
            refused = GateRejected(f"The gate {gate.name!r} was rejected{by}.")
            self._inbox.push(Ended(state, error=document_of(refused, state.path)))
        else:
            self._inbox.push(Ended(state, outputs=gate_outputs(gate, inputs, reply)))

    def find(self, gate: str) -> str:
        """Return the path of the one gate that a name or path stands for.

        Raises:
            NotFound: If there is none; names those that there are.
            Conflict: If several gates have the name, or it was answered before.
        """
        askable = {path: g for path, g in self._known.items() if g.gate != "sleep"}
        paths = [gate] if gate in askable else [path for path, g in askable.items() if g.name == gate]
        if not paths:
            known = ", ".join(f"{g.name} ({path})" for path, g in askable.items()) or "none"
            started = ", ".join(self._children()[:20])
            others = f" It has started {started}, which may have gates of their own." if started else ""
            raise NotFound(f"The execution has no gate {gate!r}. Its gates: {known}.{others}")
        open_ = [path for path in paths if path not in self._replies]
        if len(open_) > 1:
            raise Conflict(
                f"Several gates are named {gate!r}: {', '.join(open_)}. Give the node id of one of them."
            )
        if not open_:
            reply = self._replies[paths[0]]
            by, at = reply.by or "somebody", reply.at
            when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
            raise Conflict(f"The gate {gate!r} was answered by {by}{when}. An answer cannot be changed.")
        return open_[0]

    def check(self, answer: calls.GateAnswer) -> str:
        """Return the path of the gate that an answer is for.

        Raises:
            NotFound: As for `find`.
            Conflict: As for `find`, or if the gate has ended, or has come while it was answered.
            InvalidInputs: If the gate waits for the other kind of answer.
        """
        path = self.find(answer.gate)
        answer.require_seen()
        gate, phase = self._known[path], self._phase(path)
        if phase.terminal:
            raise Conflict(f"The gate {answer.gate!r} has ended ({phase}) and takes no answer.")
        if (gate.gate == "approve") is not (answer.reply.approved is not None):
            wanted = "approve or reject it" if gate.gate == "approve" else "set its input"
            raise InvalidInputs(f"The gate {gate.name!r} waits for something else: {wanted}.")
        return path

    def check_asked(self, answer: calls.GateAnswer) -> None:
        """Refuse an answer to a gate that is held, which asks anew when it is tried again: its answer would be lost.

        Only what is newly given is refused so; a history may hold such an answer.

        Raises:
            NotFound: As for `check`.
            Conflict: As for `check`, or if the gate is held.
            InvalidInputs: As for `check`.
        """
        path = self.check(answer)
        if self._phase(path) is NodePhase.PAUSED:
            raise Conflict(
                f"The gate {answer.gate!r} has failed and is held. Let it ask again, then answer: flyte-temporal retry "
                f"{self._execution} {shlex.quote(path)}."
            )

    def answer(self, answer: calls.GateAnswer) -> calls.GateState:
        """Keep an answer; raises as `check`."""
        path = self.check(answer)
        self._replies[path] = answer.reply.model_copy(update={"at": workflow.now()})
        return self._state(path)

    def states(self) -> list[calls.GateState]:
        """Return all gates that can be answered."""
        return [self._state(path) for path, gate in self._known.items() if gate.gate != "sleep"]

    def _phase(self, path: str) -> NodePhase:
        state = self._states.get(path)
        return state.phase if state is not None else self._earlier.get(path, NodePhase.QUEUED)

    def _state(self, path: str) -> calls.GateState:
        gate = self._known[path]
        return calls.GateState(
            node=path,
            name=gate.name,
            gate=gate.gate,
            type=gate.type,
            phase=self._phase(path),
            reply=self._replies.get(path),
        )


def _planned(program: Program, nodes: tuple[Node, ...], prefix: str) -> list[tuple[str, GateTarget]]:
    """Return the gates of some nodes and of what they hold, by path, as far as that is known before they run."""
    found: list[tuple[str, GateTarget]] = []
    for node in nodes:
        path = prefix + node.id
        match node.target:
            case GateTarget():
                found.append((path, node.target))
            case WorkflowTarget():
                inner = program.closure.workflows[node.target.workflow]
                found += _planned(program, inner.nodes, f"{path}.")
            case BranchTarget():
                for body in node.target.bodies():
                    found += _planned(program, body.nodes, f"{path}.")
            case _:
                pass
    return found


def _left(state: NodeState, seconds: float) -> float:
    """Return how long a gate is still to wait."""
    if state.due is None:
        state.due = workflow.now() + span(seconds)
        return max(bounded(seconds), 0.001)
    return max((state.due - workflow.now()).total_seconds(), 0.001)


def _how(execution: str, gate: GateTarget, handle: str) -> str:
    """Return what a gate waits for, with the command that answers it."""
    name = shlex.quote(handle)
    if gate.gate == "approve":
        return f"waits for an approval: flyte-temporal approve {execution} {name}"
    kind = describe(gate.type) if gate.type is not None else "VALUE"
    return f"waits for an input ({kind}): flyte-temporal set-input {execution} {name} VALUE"


def _seconds(duration: LiteralValue) -> float:
    if not isinstance(duration, Inline):
        raise UserCodeError("The duration of a sleep travels by reference; it must be a timedelta.")
    found = comparable(duration.value, DURATION)
    return float(found)
