"""`AsyncClient`: starts and finds executions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from flyte_temporal.client.documents import (
    RecoverOptions,
    RecoverySubmission,
    StartOptions,
    Submission,
    with_options,
)
from flyte_temporal.client.executions import AsyncExecution
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.config.home import home_directory
from flyte_temporal.config.local import caller
from flyte_temporal.control.documents import CacheSweep, RecoverRequest, RecoveryPlan
from flyte_temporal.errors import StorageError
from flyte_temporal.local import protocol
from flyte_temporal.local.connection import Connection
from flyte_temporal.spec.cache import CacheEntry, EntryFilter
from flyte_temporal.spec.execution import ExecutionPhase, ExecutionRecord
from flyte_temporal.spec.identifiers import ExecutionId, project_name
from flyte_temporal.spec.uploads import UploadTicket

if TYPE_CHECKING:
    from flyte_temporal.sdk.entities import Entity
    from flyte_temporal.sdk.types.engine import ValueContext


class AsyncClient:
    """A client of the local stack, which is started by the first call that needs it. Made by `AsyncClient.local`.

    Args:
        workshop: Makes requests.
        connection: The way to the stack.
    """

    def __init__(self, workshop: Workshop, connection: Connection) -> None:
        self._workshop = workshop
        self._connection = connection

    @classmethod
    def local(
        cls,
        home: Path | None = None,
        on_wait: Callable[[str], None] | None = None,
        *,
        project: str | None = None,
        domain: str | None = None,
    ) -> Self:
        """Return a client of the local stack.

        Args:
            home: Its home; None = `FLYTE_TEMPORAL_HOME` or `~/.flyte-temporal`.
            on_wait: Is told, in a sentence, what a call waits for: the stack that is being started, an image that is built, a
                node that is not there yet; and what of a request is ignored.
            project: Where it starts and finds executions and cached results; None = `FLYTE_TEMPORAL_PROJECT` or `default`.
            domain: Likewise; None = `FLYTE_TEMPORAL_DOMAIN` or `development`.

        Raises:
            InvalidIdentifier: If a project or domain cannot have that name.
        """
        mine = caller(project, domain)
        for name in (mine.project, mine.domain):
            project_name(name)
        chosen = home.resolve() if home else home_directory()
        workshop = Workshop(chosen, mine, on_wait or (lambda _text: None))
        return cls(workshop, Connection(chosen, on_wait))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the use of the client. The stack and the executions go on; each call has a connection of its own."""

    @property
    def home(self) -> Path:
        """Return the home of the stack."""
        return self._connection.home

    def values(self) -> ValueContext:
        """Return where files and large values of inputs go, for callers that encode inputs themselves."""
        return self._workshop.values

    async def upload(self, path: str | Path) -> str:
        """Store a local file and return its address, to be given as an input: `run(wf, data=FlyteFile(address))`.

        Where the store can sign addresses (S3, GCS), the bytes go straight there, by an address that is good for this one file
        and 15 minutes at most; the client needs no credentials for it. A file that is there already is not sent again.

        Args:
            path: A file on this machine.

        Raises:
            BadRequest: If it cannot be read, or is larger than the store takes in one request (S3: 5 GiB).
            PlatformError: If the stack cannot be started, or the store refused the file or did not answer.
        """
        from flyte_temporal.storage.uploads import described, send

        file = Path(path)
        wanted = await asyncio.to_thread(described, file)
        ticket = UploadTicket.model_validate(await self._connection.call("upload", wanted))
        if ticket.stored:
            return ticket.uri
        if (
            ticket.upload is None
        ):  # a folder of this machine, or a store that cannot sign: ours to reach anyway
            await asyncio.to_thread(self._workshop.blobs.put_file, file)
            return ticket.uri
        await asyncio.to_thread(send, file, ticket.upload)
        done = UploadTicket.model_validate(await self._connection.call("upload", wanted))
        if not done.stored:
            raise StorageError(f"{ticket.uri} was sent, but does not hold the bytes of {str(file)!r}.")
        return ticket.uri

    async def run(
        self, entity: Entity, /, *, execution_id: str | None = None, **inputs: Any
    ) -> AsyncExecution:
        """Start a workflow or task.

        Args:
            entity: What `@workflow` or `@task` made.
            execution_id: The caller's own id: the same id and request attach to the same execution.
            **inputs: Python values. For an input that is itself called `execution_id`, use `start`.

        Raises:
            BadRequest: If the entity or an input is wrong; nothing was started.
            PlatformError: If the stack cannot be started or a store failed.
        """
        return await self.start(entity, inputs, execution_id=execution_id)

    async def start(
        self, entity: Entity, inputs: Mapping[str, Any], **options: Unpack[StartOptions]
    ) -> AsyncExecution:
        """Start a workflow or task, its inputs in a mapping, so that they may have any names; raises as `run` does.

        Args:
            entity: What `@workflow` or `@task` made.
            inputs: Python values by the names of the inputs.
            **options: What else is to be said: `StartOptions`.
        """
        submission = await asyncio.to_thread(
            self._workshop.submission, entity, inputs, options.get("execution_id")
        )
        return await self.submit(with_options(submission, options))

    async def submit(self, submission: Submission) -> AsyncExecution:
        """Start something that is compiled already; raises as `run` does."""
        # The stack comes up while the code is packed.
        _, request = await asyncio.gather(
            self._connection.ensure_running(), asyncio.to_thread(self._workshop.request, submission)
        )
        answer = await self._connection.call("start", request)
        record = ExecutionRecord.model_validate(answer)
        return AsyncExecution(record.request.id, self._connection, self._workshop)

    async def recover(
        self,
        id: str,  # noqa: A002 - as in `execution`
        *,
        entity: Entity | None = None,
        inputs: Mapping[str, Any] | None = None,
        options: RecoverOptions | None = None,
    ) -> AsyncExecution:
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
        return await self.submit_recovery(await self._recovery(id, entity, inputs, options))

    async def plan_recovery(
        self,
        id: str,  # noqa: A002 - as in `execution`
        *,
        entity: Entity | None = None,
        inputs: Mapping[str, Any] | None = None,
        options: RecoverOptions | None = None,
    ) -> RecoveryPlan:
        """Return what `recover` would copy and what it would run, and why; nothing is started. Raises as `recover`."""
        return await self.preview_recovery(await self._recovery(id, entity, inputs, options))

    async def _recovery(
        self,
        id_: str,
        entity: Entity | None,
        inputs: Mapping[str, Any] | None,
        options: RecoverOptions | None,
    ) -> RecoverySubmission:
        interface = await self.execution(id_).interface()
        made = await asyncio.to_thread(self._workshop.recovery, id_, entity, inputs or {}, interface)
        return made if options is None else options.applied(made)

    async def submit_recovery(self, submission: RecoverySubmission) -> AsyncExecution:
        """Recover an execution with code that is compiled already; raises as `recover` does."""
        answer = await self._connection.call("recover", await self._recover_request(submission))
        record = ExecutionRecord.model_validate(answer)
        return AsyncExecution(record.request.id, self._connection, self._workshop)

    async def preview_recovery(self, submission: RecoverySubmission) -> RecoveryPlan:
        """Return what `submit_recovery` would copy and run; raises as `recover` does."""
        wanted = await self._recover_request(submission, build=False)
        answer = await self._connection.call("plan_recovery", wanted)
        return RecoveryPlan.model_validate(answer)

    async def _recover_request(self, submission: RecoverySubmission, *, build: bool = True) -> RecoverRequest:
        before = (await self.execution(submission.source).record()).request
        return await asyncio.to_thread(self._workshop.recover_request, submission, before, build=build)

    def execution(self, id: str) -> AsyncExecution:  # noqa: A002 - the word of the CLI and of `Execution.id`
        """Return an execution by its id; whether it exists shows when it is asked something.

        Raises:
            InvalidIdentifier: If it cannot be an id.
        """
        mine = self._workshop.caller
        key = ExecutionId(project=mine.project, domain=mine.domain, name=id)
        return AsyncExecution(key, self._connection, self._workshop)

    async def executions(
        self, *, limit: int = 100, phases: Sequence[ExecutionPhase] = ()
    ) -> list[ExecutionRecord]:
        """Return executions of the client's project and domain, newest first."""
        mine = self._workshop.caller
        wanted = protocol.Many(project=mine.project, domain=mine.domain, phases=tuple(phases), limit=limit)
        answer = await self._connection.call("executions", wanted)
        return [ExecutionRecord.model_validate(record) for record in answer]

    async def cache_entries(
        self, *, key: str = "", task: str = "", execution: str = "", limit: int = 100
    ) -> list[CacheEntry]:
        """Return remembered outputs of the client's project and domain, the most recently used first.

        Args:
            key: Only that key; its beginning is enough.
            task: Only of that task; the last part of its name is enough.
            execution: Only those that this execution computed.
            limit: At most so many; 0 = all.
        """
        wanted = self._entries(key=key, task=task, execution=execution, limit=limit)
        return [CacheEntry.model_validate(e) for e in await self._connection.call("cache_entries", wanted)]

    async def cache_remove(
        self, *, key: str = "", task: str = "", execution: str = "", dry_run: bool = False
    ) -> CacheSweep:
        """Forget remembered outputs: of a key, a task or an execution. The outputs themselves stay where they are.

        Raises:
            BadRequest: If none is named, or the beginning of a key means several.
            NotFound: If there are none.
        """
        wanted = self._entries(key=key, task=task, execution=execution)
        answer = await self._connection.call(
            "cache_remove", protocol.CacheRemoval(wanted=wanted, dry_run=dry_run)
        )
        return CacheSweep.model_validate(answer)

    async def cache_gc(
        self, *, unused_s: float | None = None, most_bytes: int | None = None, dry_run: bool = False
    ) -> CacheSweep:
        """Forget what was not hit for `unused_s` seconds, and what was hit longest ago beyond `most_bytes` of outputs.

        Raises:
            BadRequest: If neither is given.
        """
        mine = self._workshop.caller
        asked = protocol.CacheCollection(
            project=mine.project,
            domain=mine.domain,
            unused_s=unused_s,
            most_bytes=most_bytes,
            dry_run=dry_run,
        )
        return CacheSweep.model_validate(await self._connection.call("cache_gc", asked))

    def _entries(self, **wanted: Any) -> EntryFilter:
        mine = self._workshop.caller
        return EntryFilter(project=mine.project, domain=mine.domain, **wanted)

    async def up(self) -> protocol.StackStatus:
        """Start the stack in the background, if it does not run, and return its status.

        Raises:
            PlatformUnavailable: If it cannot be started.
        """
        await self._connection.ensure_running()
        return await self._connection.status()

    async def down(self) -> bool:
        """Stop the stack; return whether one ran. Executions go on at the next start."""
        return await self._connection.down()

    async def status(self) -> protocol.StackStatus:
        """Return what is known about the stack, without starting it."""
        return await self._connection.status()
