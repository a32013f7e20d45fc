"""The API of the stack on a unix socket: reads a request, calls the use case, writes the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from flyte_temporal._version import __version__
from flyte_temporal.config.local import storage_root
from flyte_temporal.control.documents import RecoverRequest, StartRequest
from flyte_temporal.control.logs import in_batches
from flyte_temporal.control.tailing import Wanted
from flyte_temporal.control.usecases import Control
from flyte_temporal.errors import BadRequest, FlyteTemporalError, PlatformError, PlatformUnavailable
from flyte_temporal.local import protocol
from flyte_temporal.local.stack import Stack
from flyte_temporal.local.version import PROTOCOL
from flyte_temporal.spec.cache import EntryFilter
from flyte_temporal.spec.execution import NodeRecord
from flyte_temporal.spec.uploads import UploadRequest

_log = logging.getLogger(__name__)

Send = Callable[[bytes], Awaitable[None]]
Handler = Callable[[dict[str, JsonValue], Send], Awaitable[None]]


class Host:
    """Serves one stack.

    Args:
        control: The use cases.
        stack: The processes, for `status` and for knowing that the worker cannot start.
        stop: Called by `down`.
    """

    def __init__(self, control: Control, stack: Stack, stop: Callable[[], None]) -> None:
        self._control = control
        self._stack = stack
        self._stop = stop
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._last_call = time.monotonic()
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "down": self._down,
            "start": self._start,
            "recover": self._recover,
            "plan_recovery": self._plan_recovery,
            "get": self._get,
            "executions": self._executions,
            "nodes": self._nodes,
            "node": self._node,
            "interface": self._interface,
            "wait": self._wait,
            "watch": self._watch,
            "logs": self._logs,
            "abort": self._abort,
            "gates": self._gates,
            "abort_node": self._abort_node,
            "answer": self._answer_gate,
            "repairs": self._repairs,
            "retry": self._retry,
            "repair": self._repair,
            "cache_entries": self._cache_entries,
            "cache_remove": self._cache_remove,
            "cache_gc": self._cache_gc,
            "upload": self._upload,
        }

    async def open(self, path: Path) -> None:
        """Listen on a socket that only its owner may use."""
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, path, limit=protocol.MAX_LINE)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Accept nothing more and break off what is being answered; clients come back by themselves."""
        if self._server is not None:
            self._server.close()
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def idle_s(self) -> float:
        """Return for how many seconds nobody has asked anything; 0 while somebody waits for an answer."""
        return 0.0 if self._calls else time.monotonic() - self._last_call

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ValueError) as error:
            _log.info("A client went away: %s", error)
        except asyncio.CancelledError:
            # From `close`. Not passed on: asyncio's streams would log it as an error of ours.
            _log.info("A call is broken off because the stack stops.")
        finally:
            if task is not None:
                self._calls.discard(task)
            self._last_call = time.monotonic()
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        received = await reader.readline()
        if not received:
            return
        answering = asyncio.create_task(self._answer(received, send))
        # A client sends nothing more; the end of its stream means that it has gone.
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, gone):
                task.cancel()
            results = await asyncio.gather(answering, gone, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _answer(self, received: bytes, send: Send) -> None:
        try:
            request = protocol.Request.model_validate_json(received)
            handler = self._handler(request)
            async with _signs_of_life(request.alive_s, send):
                await handler(request.params, send)
        except FlyteTemporalError as error:
            await send(protocol.error_line(error))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            await send(
                protocol.error_line(BadRequest(f"The request is malformed at {where}: {first['msg']}."))
            )
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad request must not end the stack
            _log.exception("A request failed")
            wrong = PlatformError(
                f"The local stack failed on this request ({type(error).__name__}: {error}). The details are in "
                f"{self._stack.layout.log('supervisor')}."
            )
            await send(protocol.error_line(wrong))

    def _handler(self, request: protocol.Request) -> Handler:
        if request.protocol != PROTOCOL and request.method not in protocol.ANY_VERSION:
            raise PlatformUnavailable(
                f"The local stack that runs on {self._stack.layout.home} is of version {__version__} (protocol "
                f"{PROTOCOL}), this client of version {request.version} (protocol {request.protocol}). When nothing "
                "runs any more, replace it: `flyte-temporal down`, then repeat your command."
            )
        handler = self._handlers.get(request.method)
        if handler is None:
            raise BadRequest(f"The local stack knows no method {request.method!r}.")
        mine = storage_root(self._stack.layout.storage.as_uri())
        if request.storage not in {"", mine} and request.method not in protocol.ANY_VERSION:
            raise BadRequest(
                f"The local stack on {self._stack.layout.home} keeps its files in {mine}, but FLYTE_TEMPORAL_STORAGE__ROOT of "
                f"this command means {request.storage}. Set the variable as it was, or end the stack with `flyte-temporal down` "
                "and repeat your command: the next one starts it with what the environment then says."
            )
        return handler

    async def _status(self, _params: dict[str, JsonValue], send: Send) -> None:
        state = self._stack.state
        problems = self._stack.problems()
        count: int | None = None
        try:
            count = await self._control.open_count()
        except PlatformError as error:
            problems.append(error.message)
        pids = {name: child.pid for name, child in state.children.items()}
        status = protocol.StackStatus(
            running=True,
            home=str(self._stack.layout.home),
            version=__version__,
            protocol=PROTOCOL,
            python=state.python,
            ui_url=self._stack.ui_url,
            temporal_address=self._stack.address,
            pids={"supervisor": os.getpid(), **pids},
            restarts={name: child.restarts for name, child in self._stack.children.items()},
            open_executions=count,
            problems=problems,
        )
        await send(protocol.line("result", status.model_dump(mode="json")))

    async def _down(self, _params: dict[str, JsonValue], send: Send) -> None:
        await send(protocol.line("result", os.getpid()))
        self._stop()

    async def _start(self, params: dict[str, JsonValue], send: Send) -> None:
        self._refuse_without_worker()
        wish = await asyncio.to_thread(StartRequest.model_validate, params)
        await send(_result(await self._control.start(wish)))

    def _refuse_without_worker(self) -> None:
        worker = self._stack.children.get("worker")
        if worker is not None and worker.failing:
            raise PlatformUnavailable(
                f"Nothing can run now, because the worker cannot start. {worker.problem}"
            )

    async def _recover(self, params: dict[str, JsonValue], send: Send) -> None:
        self._refuse_without_worker()
        wanted = await asyncio.to_thread(RecoverRequest.model_validate, params)
        await send(_result(await self._control.recover(wanted)))

    async def _plan_recovery(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = await asyncio.to_thread(RecoverRequest.model_validate, params)
        await send(_result(await self._control.plan_recovery(wanted)))

    async def _get(self, params: dict[str, JsonValue], send: Send) -> None:
        await send(_result(await self._control.get(protocol.One.model_validate(params).execution)))

    async def _cache_entries(self, params: dict[str, JsonValue], send: Send) -> None:
        found = await self._control.caching.entries(EntryFilter.model_validate(params))
        await send(protocol.line("result", [entry.model_dump(mode="json") for entry in found]))

    async def _cache_remove(self, params: dict[str, JsonValue], send: Send) -> None:
        asked = protocol.CacheRemoval.model_validate(params)
        await send(_result(await self._control.caching.remove(asked.wanted, dry_run=asked.dry_run)))

    async def _cache_gc(self, params: dict[str, JsonValue], send: Send) -> None:
        asked = protocol.CacheCollection.model_validate(params)
        swept = await self._control.caching.collect(
            asked.project,
            asked.domain,
            unused_s=asked.unused_s,
            most_bytes=asked.most_bytes,
            dry_run=asked.dry_run,
        )
        await send(_result(swept))

    async def _upload(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = UploadRequest.model_validate(params)
        await send(_result(await asyncio.to_thread(self._control.upload, wanted)))

    async def _executions(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.Many.model_validate(params)
        found = await self._control.executions(
            wanted.project, wanted.domain, phases=wanted.phases, limit=wanted.limit
        )
        await send(protocol.line("result", [_json(record) for record in found]))

    async def _nodes(self, params: dict[str, JsonValue], send: Send) -> None:
        asked = protocol.Nodes.model_validate(params)
        found = await self._control.nodes(asked.execution, asked.wanted)
        await send(protocol.line("result", [_json(node) for node in found]))

    async def _node(self, params: dict[str, JsonValue], send: Send) -> None:
        asked = protocol.Node.model_validate(params)
        await send(_result(await self._control.node(asked.execution, asked.node)))

    async def _interface(self, params: dict[str, JsonValue], send: Send) -> None:
        record = await self._control.get(protocol.One.model_validate(params).execution)
        await send(_result((await self._control.closure(record)).interface))

    async def _wait(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.Wait.model_validate(params)
        await send(_result(await self._control.wait(wanted.execution, wanted.timeout_s)))

    async def _watch(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.One.model_validate(params)
        sent: dict[str, NodeRecord] = {}
        async with contextlib.aclosing(self._control.watch(wanted.execution)) as updates:
            async for update in updates:
                # Only what has changed: an execution of thousands of nodes changes in a few of them at a time.
                # One that has not is the same object (`control.following`).
                changed = [node for node in update.nodes if sent.get(node.id) is not node]
                sent.update((node.id, node) for node in changed)
                await send(
                    protocol.line(
                        "item",
                        {"execution": _json(update.execution), "nodes": [_json(node) for node in changed]},
                    )
                )
        await send(protocol.line("end"))

    async def _logs(self, params: dict[str, JsonValue], send: Send) -> None:
        asked = protocol.Logs.model_validate(params)
        if asked.follow:
            found = self._control.follow_logs(Wanted(asked.execution, asked.node, asked.attempt))
        else:
            found = in_batches(await self._control.logs(asked.execution, asked.node, asked.attempt))
        async with contextlib.aclosing(found) as news:
            async for each in news:
                if each.waits:
                    await send(protocol.line("item", {"waits": each.waits}))
                await send(b"".join(protocol.line("item", _json(line)) for line in each.lines))
        await send(protocol.line("end"))

    async def _abort(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.Abort.model_validate(params)
        await send(_result(await self._control.abort(wanted.execution, wanted.reason, wanted.by)))

    async def _abort_node(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.AbortNode.model_validate(params)
        await send(_result(await self._control.abort_node(wanted.execution, wanted.request)))

    async def _gates(self, params: dict[str, JsonValue], send: Send) -> None:
        found = await self._control.gates(protocol.One.model_validate(params).execution)
        await send(protocol.line("result", [_json(gate) for gate in found]))

    async def _answer_gate(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.Answer.model_validate(params)
        await send(_result(await self._control.answer(wanted.execution, wanted.answer)))

    async def _repairs(self, params: dict[str, JsonValue], send: Send) -> None:
        execution = protocol.One.model_validate(params).execution
        await send(_result(await self._control.repairing.state(execution)))

    async def _retry(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = await asyncio.to_thread(protocol.Retry.model_validate, params)
        await send(_result(await self._control.repairing.retry(wanted.execution, wanted.request)))

    async def _repair(self, params: dict[str, JsonValue], send: Send) -> None:
        wanted = protocol.Repair.model_validate(params)
        await send(_result(await self._control.repairing.repair(wanted.execution, wanted.wish)))


@asynccontextmanager
async def _signs_of_life(every_s: float, send: Send) -> AsyncIterator[None]:
    """Send an `alive` line every `every_s` seconds while the block runs; none at all if that is 0."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(every_s)
            await send(protocol.line("alive"))

    if not every_s:
        yield
        return
    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        # A client that has gone ends the call itself; here it is no news.
        await asyncio.gather(task, return_exceptions=True)


def _json(document: BaseModel) -> JsonValue:
    dumped: JsonValue = document.model_dump(mode="json")
    return dumped


def _result(document: BaseModel) -> bytes:
    return protocol.line("result", _json(document))
