"""`Client` and `Execution`: the same as the asynchronous ones, for scripts. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from flyte_temporal.client.asynchronous import AsyncClient
from flyte_temporal.client.background import BackgroundLoop
from flyte_temporal.client.documents import (
    DeckCopy,
    RecoverOptions,
    RecoverySubmission,
    StartOptions,
    Submission,
    Update,
)
from flyte_temporal.client.executions import AsyncExecution
from flyte_temporal.control.documents import CacheSweep, LogLine, RecoveryPlan
from flyte_temporal.local.protocol import StackStatus
from flyte_temporal.spec.cache import CacheEntry
from flyte_temporal.spec.calls import GateState
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord, NodePhase, NodeRecord
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.repairs import RepairState

if TYPE_CHECKING:
    from flyte_temporal.sdk.entities import Entity
    from flyte_temporal.sdk.types.engine import ValueContext


class Execution:
    """One execution; see `AsyncExecution`, whose methods these are.

    Args:
        asynchronous: The execution.
        loop: Where its methods run.
    """

    def __init__(self, asynchronous: AsyncExecution, loop: BackgroundLoop) -> None:
        self._async = asynchronous
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._async)

    @property
    def id(self) -> str:
        """Return its id."""
        return self._async.id

    @property
    def outputs(self) -> dict[str, Any]:
        """Return its outputs as plain data; waits until it has ended.

        Raises:
            ExecutionFailed: If it ended otherwise than well.
        """
        return self._loop.run(self._async.outputs())

    @property
    def interface(self) -> Interface:
        """Return the interface of its root entity."""
        return self._loop.run(self._async.interface())

    @property
    def ui_url(self) -> str:
        """Return where the Temporal UI shows it; empty if the stack does not run."""
        return self._loop.run(self._async.ui_url())

    def record(self) -> ExecutionRecord:
        """Return its state."""
        return self._loop.run(self._async.record())

    def wait(self, timeout_s: float | None = None) -> ExecutionRecord:
        """Return its record when it has ended, however it ended; or as it is after `timeout_s` seconds."""
        return self._loop.run(self._async.wait(timeout_s))

    def nodes(
        self, below: str = "", *, phases: Sequence[NodePhase] = (), limit: int = 0, offset: int = 0
    ) -> list[NodeRecord]:
        """Return its nodes, also those not reached yet; see `AsyncExecution.nodes`."""
        return self._loop.run(self._async.nodes(below, phases=phases, limit=limit, offset=offset))

    def node(self, node: str) -> NodeRecord:
        """Return one of its nodes by its path or name.

        Raises:
            NotFound: If there is no such node.
        """
        return self._loop.run(self._async.node(node))

    def watch(self) -> Iterator[Update]:
        """Yield its state now and whenever something has changed, until it has ended."""
        return self._loop.iterate(self._async.watch())

    def logs(
        self, node: str | None = None, attempt: int | None = None, *, follow: bool = False
    ) -> Iterator[LogLine]:
        """Yield what its tasks have printed so far, or with `follow` as they print it; see `AsyncExecution.logs`."""
        return self._loop.iterate(self._async.logs(node, attempt, follow=follow))

    def deck(self, node: str) -> DeckCopy:
        """Return the deck of a node's last attempt; `node` is its path or name.

        Raises:
            NotFound: If there is no such node, or it left no deck.
        """
        return self._loop.run(self._async.deck(node))

    def abort(self, reason: str = "") -> ExecutionRecord:
        """Ask it to stop; nothing happens if it has ended."""
        return self._loop.run(self._async.abort(reason))

    def abort_node(self, node: str, reason: str = "") -> NodeRecord:
        """Have one node fail for good, as if it had failed by itself; see `AsyncExecution.abort_node`."""
        return self._loop.run(self._async.abort_node(node, reason))

    def repairs(self) -> RepairState:
        """Return what of it waits for somebody: nodes that are held, and whether it is paused."""
        return self._loop.run(self._async.repairs())

    def retry(
        self,
        node: str | None = None,
        *,
        code: Path | None = None,
        only_this: bool = False,
        resources: Mapping[str, str] | None = None,
    ) -> RepairState:
        """Try held nodes once more, with a fresh budget and perhaps fixed code; see `AsyncExecution.retry`."""
        return self._loop.run(self._async.retry(node, code=code, only_this=only_this, resources=resources))

    def skip(self, node: str, outputs: Mapping[str, Any] | None = None) -> RepairState:
        """End a held node with these outputs, as if it had given them; see `AsyncExecution.skip`."""
        return self._loop.run(self._async.skip(node, outputs))

    def skip_text(self, node: str, outputs: Mapping[str, str]) -> RepairState:
        """End a held node with outputs as a person types them."""
        return self._loop.run(self._async.skip_text(node, outputs))

    def fail(self, reason: str = "") -> RepairState:
        """Give up all held nodes; see `AsyncExecution.fail`."""
        return self._loop.run(self._async.fail(reason))

    def pause(self, reason: str = "") -> RepairState:
        """Let nothing new start; what runs goes on to its end."""
        return self._loop.run(self._async.pause(reason))

    def resume(self) -> RepairState:
        """Let new nodes start again; nodes that are held stay so."""
        return self._loop.run(self._async.resume())

    def gates(self) -> list[GateState]:
        """Return its gates that can be answered, reached or not."""
        return self._loop.run(self._async.gates())

    def approve(self, gate: str) -> GateState:
        """Approve a gate, by its name or node id, reached or not."""
        return self._loop.run(self._async.approve(gate))

    def reject(self, gate: str) -> GateState:
        """Reject a gate, by its name or node id: its node fails."""
        return self._loop.run(self._async.reject(gate))

    def set_input(self, gate: str, value: Any) -> GateState:
        """Give a gate the value that it waits for; see `AsyncExecution.set_input`."""
        return self._loop.run(self._async.set_input(gate, value))

    def set_input_text(self, gate: str, text: str) -> GateState:
        """Give a gate a value as a person types it."""
        return self._loop.run(self._async.set_input_text(gate, text))


class Client:
    """A client of the local stack; see `AsyncClient`, whose methods these are. Safe for threads.

    Args:
        asynchronous: The client.
    """

    def __init__(self, asynchronous: AsyncClient) -> None:
        self._async = asynchronous
        self._loop = BackgroundLoop()

    @classmethod
    def local(
        cls,
        home: Path | None = None,
        on_wait: Callable[[str], None] | None = None,
        *,
        project: str | None = None,
        domain: str | None = None,
    ) -> Self:
        """Return a client of the local stack, which the first call that needs it starts.

        Args:
            home: Its home; None = `FLYTE_TEMPORAL_HOME` or `~/.flyte-temporal`.
            on_wait: Is told, in a sentence, what a call waits for; see `AsyncClient.local`.
            project: Where it starts and finds executions and cached results; None = `FLYTE_TEMPORAL_PROJECT` or `default`.
            domain: Likewise; None = `FLYTE_TEMPORAL_DOMAIN` or `development`.

        Raises:
            InvalidIdentifier: If a project or domain cannot have that name.
        """
        return cls(AsyncClient.local(home, on_wait, project=project, domain=domain))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the use of the client. The stack and the executions go on."""
        self._loop.close()

    @property
    def home(self) -> Path:
        """Return the home of the stack."""
        return self._async.home

    def values(self) -> ValueContext:
        """Return where files and large values of inputs go, for callers that encode inputs themselves."""
        return self._async.values()

    def upload(self, path: str | Path) -> str:
        """Store a local file and return its address, to be given as an input: `run(wf, data=FlyteFile(address))`.

        Where the store can sign addresses (S3, GCS), the bytes go straight there; see `AsyncClient.upload`.

        Raises:
            BadRequest: If it cannot be read, or is too large.
            PlatformError: If the stack cannot be started, or the store refused the file or did not answer.
        """
        return self._loop.run(self._async.upload(path))

    def run(self, entity: Entity, /, *, execution_id: str | None = None, **inputs: Any) -> Execution:
        """Start a workflow or task with Python values.

        Args:
            entity: What `@workflow` or `@task` made.
            execution_id: The caller's own id: the same id and request attach to the same execution.
            **inputs: Python values. For an input that is itself called `execution_id`, use `start`.

        Raises:
            BadRequest: If the entity or an input is wrong; nothing was started.
            PlatformError: If the stack cannot be started or a store failed.
        """
        return self.start(entity, inputs, execution_id=execution_id)

    def start(self, entity: Entity, inputs: Mapping[str, Any], **options: Unpack[StartOptions]) -> Execution:
        """Start a workflow or task, its inputs in a mapping, so that they may have any names; raises as `run` does.

        Args:
            entity: What `@workflow` or `@task` made.
            inputs: Python values by the names of the inputs.
            **options: What else is to be said: `StartOptions`.
        """
        return Execution(self._loop.run(self._async.start(entity, inputs, **options)), self._loop)

    def submit(self, submission: Submission) -> Execution:
        """Start something that is compiled already; raises as `run` does."""
        return Execution(self._loop.run(self._async.submit(submission)), self._loop)

    def recover(
        self,
        id: str,  # noqa: A002 - as in `execution`
        *,
        entity: Entity | None = None,
        inputs: Mapping[str, Any] | None = None,
        options: RecoverOptions | None = None,
    ) -> Execution:
        """Start an execution that copies what an earlier one has done, as far as it still stands, and runs the rest.

        Args:
            id: Id of the earlier execution; it is over.
            entity: The fixed code: what `@workflow` or `@task` made; None = the code of then.
            inputs: Python values for inputs that are to be otherwise; the rest is as it was.
            options: What else is to be otherwise than by default.

        Raises:
            BadRequest: If the execution is not over, or the entity, an input or a node is wrong; nothing was started.
            PlatformError: If the stack cannot be started or a store failed.
        """
        started = self._loop.run(self._async.recover(id, entity=entity, inputs=inputs, options=options))
        return Execution(started, self._loop)

    def plan_recovery(
        self,
        id: str,  # noqa: A002 - as in `execution`
        *,
        entity: Entity | None = None,
        inputs: Mapping[str, Any] | None = None,
        options: RecoverOptions | None = None,
    ) -> RecoveryPlan:
        """Return what `recover` would copy and what it would run, and why; nothing is started. Raises as `recover`."""
        return self._loop.run(self._async.plan_recovery(id, entity=entity, inputs=inputs, options=options))

    def submit_recovery(self, submission: RecoverySubmission) -> Execution:
        """Recover an execution with code that is compiled already; raises as `recover` does."""
        return Execution(self._loop.run(self._async.submit_recovery(submission)), self._loop)

    def preview_recovery(self, submission: RecoverySubmission) -> RecoveryPlan:
        """Return what `submit_recovery` would copy and run; raises as `recover` does."""
        return self._loop.run(self._async.preview_recovery(submission))

    def execution(self, id: str) -> Execution:  # noqa: A002 - the word of the CLI and of `Execution.id`
        """Return an execution by its id; whether it exists shows when it is asked something."""
        return Execution(self._async.execution(id), self._loop)

    def executions(self, *, limit: int = 100, phases: Sequence[ExecutionPhase] = ()) -> list[ExecutionRecord]:
        """Return executions, newest first."""
        return self._loop.run(self._async.executions(limit=limit, phases=phases))

    def cache_entries(
        self, *, key: str = "", task: str = "", execution: str = "", limit: int = 100
    ) -> list[CacheEntry]:
        """Return remembered outputs, the most recently used first; see `AsyncClient.cache_entries`."""
        return self._loop.run(self._async.cache_entries(key=key, task=task, execution=execution, limit=limit))

    def cache_remove(
        self, *, key: str = "", task: str = "", execution: str = "", dry_run: bool = False
    ) -> CacheSweep:
        """Forget remembered outputs of a key, a task or an execution."""
        return self._loop.run(
            self._async.cache_remove(key=key, task=task, execution=execution, dry_run=dry_run)
        )

    def cache_gc(
        self, *, unused_s: float | None = None, most_bytes: int | None = None, dry_run: bool = False
    ) -> CacheSweep:
        """Forget what was not hit for so long, and what was hit longest ago beyond a size of outputs."""
        return self._loop.run(self._async.cache_gc(unused_s=unused_s, most_bytes=most_bytes, dry_run=dry_run))

    def up(self) -> StackStatus:
        """Start the stack in the background, if it does not run, and return its status."""
        return self._loop.run(self._async.up())

    def start_soon(self) -> None:
        """Begin to start the stack, if it does not run, while the caller does something else (reads a file, compiles).

        Nothing is raised: if it cannot be started, the next call that needs it says why.
        """
        self._loop.begin(self._async.up())

    def down(self) -> bool:
        """Stop the stack; return whether one ran. Executions go on at the next start."""
        return self._loop.run(self._async.down())

    def status(self) -> StackStatus:
        """Return what is known about the stack, without starting it."""
        return self._loop.run(self._async.status())
