"""`Engine`: the durable engine (Temporal) as the use cases need it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from flyte_temporal.spec.calls import GateAnswer, GateState, NodeAbort
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.entities import Closure
from flyte_temporal.spec.execution import Environment, ErrorDocument, ExecutionPhase, NodeRecord
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.repairs import GiveUp, NodeRetry, NodeSkip, Pause, RepairState
from flyte_temporal.spec.runs import RunInput, ShardEnd


class Started(StrEnum):
    """Outcome of a start."""

    NEW = "new"
    EXISTS = "exists"


class RunState(Document):
    """State of a run as the engine's log has it.

    Args:
        phase: Its phase.
        outputs: Its outputs, if it succeeded.
        error: Its error, if it failed.
        reason: Why it was aborted.
        shard: For a shard of a map, how its items ended.
        run: The engine's id of the run: after a reset, an execution is another one.
        began: For a run that goes on, when it began; if a reset has made it, when the run began that it repeats.
        work: For a shard of a map, what it runs (`Shard.work`), from its start on.
    """

    phase: ExecutionPhase
    outputs: dict[str, LiteralValue] = {}
    error: ErrorDocument | None = None
    reason: str = ""
    shard: ShardEnd | None = None
    run: str = ""
    began: datetime | None = None
    work: str = ""


class Engine(Protocol):
    """Starts runs and tells the truth about them."""

    async def start(self, run: RunInput, closure: Closure) -> Started:
        """Start a run under the execution's id, at most once.

        Raises:
            PlatformUnavailable: If the engine does not answer.
            LimitExceeded: If the request is larger than the engine takes.
        """

    async def state(self, execution: ExecutionId) -> RunState | None:
        """Return a run's state, or None if the engine does not know it.

        Raises:
            PlatformUnavailable: If the engine does not answer.
        """

    async def open_runs(self) -> dict[str, str]:
        """Return the ids of the runs that go on, by the name of their execution, of every project; one cheap call.

        It may lag behind by a moment: what is missing is to be asked for by `state`.

        Raises:
            PlatformUnavailable: If the engine does not answer.
        """

    async def wait(self, execution: ExecutionId, timeout_s: float) -> RunState | None:
        """Return the final state of an execution's newest run; None if it has not ended after `timeout_s` seconds.

        Raises:
            NotFound: If the engine does not know the run.
            PlatformUnavailable: If the engine does not answer.
        """

    async def served(self, environment: Environment) -> bool:
        """Return whether somebody takes, or has taken in the last minutes, attempts that run there.

        Workers that are full for longer do not count: they take nothing either.

        Raises:
            PlatformUnavailable: If the engine does not answer.
        """

    async def waiting(self, execution: ExecutionId) -> set[str]:
        """Return the paths of nodes whose attempt was asked for and which no worker has, from the engine's own books.

        Items of maps in shards are not among them.

        Raises:
            NotFound: If the engine does not know the run.
            PlatformUnavailable: If the engine does not answer.
        """

    async def nodes(self, execution: ExecutionId) -> list[NodeRecord]:
        """Return the live state of the nodes that a run holds, from the run itself.

        Nodes that had ended before the run last continued as new are not among them; the metadata store has those.

        Raises:
            NotFound: If the engine does not know the run.
            PlatformUnavailable: If it does not answer (no worker is up, for example).
        """

    async def gates(self, execution: ExecutionId) -> list[GateState]:
        """Return the gates of a run that can be answered, as far as it knows them.

        Raises:
            NotFound: If the engine does not know the run.
            PlatformUnavailable: If it does not answer (no worker is up, for example).
        """

    async def answer(self, execution: ExecutionId, answer: GateAnswer) -> GateState:
        """Give an answer to a gate; returns once the run has kept it.

        Raises:
            NotFound: If the engine does not know the run, or the run has no such gate.
            Conflict: If the gate was answered before, or has ended.
            InvalidInputs: If the gate waits for the other kind of answer.
            PlatformUnavailable: If it does not answer.
        """

    async def abort_node(self, execution: ExecutionId, request: NodeAbort) -> NodeRecord:
        """Have one node of a run fail for good; returns once the run has taken that in.

        Raises:
            NotFound: If the engine does not know the run, or the run has reached no such node.
            Conflict: If the node has ended, or is being ended.
            PlatformUnavailable: If it does not answer.
        """

    async def repairs(self, execution: ExecutionId) -> RepairState:
        """Return what of a run waits for somebody.

        Raises:
            NotFound: If the engine does not know the run.
            PlatformUnavailable: If it does not answer (no worker is up, for example).
        """

    async def repair(
        self, execution: ExecutionId, wish: NodeRetry | NodeSkip | GiveUp | Pause
    ) -> RepairState:
        """Repair, pause or resume a run; returns once the run has taken that in.

        Raises:
            NotFound: If the engine does not know the run, or the run has reached no such node.
            Conflict: If no such node is held.
            InvalidInputs: If the code or the outputs do not fit the node.
            PlatformUnavailable: If it does not answer.
        """

    async def forget_worker(self, execution: ExecutionId) -> None:
        """Let any worker go on with a run at once, because the one that had it in memory is gone.

        Without it the engine waits for that worker for a while. Nothing happens if the run is not open.

        Raises:
            PlatformUnavailable: If the engine does not answer.
        """

    async def abort_left(self, execution: ExecutionId, reason: str) -> int:
        """Ask whatever a run that was ended from outside has left running to stop: shards of maps, and child executions.

        Returns:
            How many there were.

        Raises:
            PlatformUnavailable: If the engine does not answer.
        """

    async def abort(self, execution: ExecutionId, reason: str) -> None:
        """Ask a run to stop; returns when the request is in its log.

        Raises:
            NotFound: If no such run is open.
            PlatformUnavailable: If the engine does not answer.
        """
