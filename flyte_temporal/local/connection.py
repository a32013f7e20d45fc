"""The client's side of the socket. Light: standard library, pydantic and spec; no temporalio, no SQLAlchemy.

Starts the stack when it does not run, and repeats a call whose connection broke: the supervisor may be killed at any
moment, and all calls are idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flyte_temporal._version import __version__
from flyte_temporal.config.local import local_settings
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity, identify
from flyte_temporal.local.protocol import MAX_LINE, Method, Request, StackStatus, read_error
from flyte_temporal.local.starting import start_in_background
from flyte_temporal.local.state import StackState, read_state
from flyte_temporal.local.version import PROTOCOL

_PAUSE_S = 0.1
_DOWN_TIMEOUT_S = 30.0
_SOMEBODY_ELSE_S = 2.0


class _Broken(Exception):
    """The connection ended before the answer did."""


class Connection:
    """Calls to the stack of one home, one socket connection each.

    Args:
        home: The home, resolved.
        on_wait: Is told, in a sentence, why a call takes longer: the stack is being started.
    """

    def __init__(self, home: Path, on_wait: Callable[[str], None] | None = None) -> None:
        self.home = home
        self._layout = Layout(home)
        self._on_wait = on_wait or (lambda _text: None)
        self._settings = local_settings()
        self._starting = asyncio.Lock()

    async def call(self, method: Method, params: BaseModel | None = None) -> Any:
        """Return the result of a call, as JSON.

        Raises:
            FlyteTemporalError: What the stack raised.
            PlatformUnavailable: If the stack cannot be started or breaks off again and again.
        """
        async with contextlib.aclosing(self._lines(method, params)) as answers:
            async for answer in answers:
                if "result" in answer:
                    return answer["result"]
        raise PlatformUnavailable(f"The local stack gave no answer to {method}.")

    async def stream(self, method: Method, params: BaseModel | None = None) -> AsyncGenerator[Any, None]:
        """Yield the items of a call, as JSON. After a break it begins anew: a `None` comes first, then all items again.

        Raises:
            FlyteTemporalError: As for `call`.
        """
        async with contextlib.aclosing(self._lines(method, params)) as answers:
            async for answer in answers:
                if "end" in answer:
                    return
                yield answer.get("item")

    async def ensure_running(self) -> None:
        """Start the stack if it does not run; return when it answers.

        Raises:
            PlatformUnavailable: If it cannot be started.
        """
        reader, writer = await self._open()
        del reader
        writer.close()

    async def status(self) -> StackStatus:
        """Return what is known about the stack; it is not started for that."""
        try:
            reader, writer = await self._connect()
        except OSError:
            state = read_state(self._layout.state)
            return StackStatus(running=False, home=str(self.home), problems=_unreachable(state))
        async with contextlib.aclosing(self._exchange(reader, writer, "status", None)) as answers:
            try:
                async for answer in answers:
                    return StackStatus.model_validate(answer["result"])
            except _Broken:
                pass
        return StackStatus(running=False, home=str(self.home))

    async def down(self) -> bool:
        """Stop the stack; return whether one ran. Returns when all its processes are gone.

        Raises:
            PlatformUnavailable: If it does not end.
        """
        state = read_state(self._layout.state)
        supervisor = state.supervisor
        try:
            reader, writer = await self._connect()
        except OSError:
            if supervisor is None or not supervisor.alive:
                return False
            # It is just coming up, and does not listen yet.
            supervisor.send(signal.SIGTERM)
        else:
            async with contextlib.aclosing(self._exchange(reader, writer, "down", None)) as answers:
                with contextlib.suppress(_Broken):
                    async for answer in answers:
                        supervisor = identify(answer["result"])
        await self._gone(supervisor)
        return True

    async def _gone(self, supervisor: Identity | None) -> None:
        deadline = time.monotonic() + _DOWN_TIMEOUT_S
        while supervisor is not None and supervisor.alive:
            if time.monotonic() > deadline:
                raise PlatformUnavailable(
                    f"The local stack (process {supervisor.pid}) has not ended after {_DOWN_TIMEOUT_S:g} s. Its log is "
                    f"{self._layout.log('supervisor')}; `kill -9 {supervisor.pid}` is safe."
                )
            await asyncio.sleep(_PAUSE_S / 2)

    async def _lines(self, method: Method, params: BaseModel | None) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the lines of an answer, over as many connections as it takes."""
        deadline = time.monotonic() + self._settings.start_timeout_s
        while True:
            reader, writer = await self._open()
            try:
                async with contextlib.aclosing(self._exchange(reader, writer, method, params)) as answers:
                    async for answer in answers:
                        yield answer
                        deadline = time.monotonic() + self._settings.start_timeout_s
                return
            except _Broken:
                if time.monotonic() > deadline:
                    raise PlatformUnavailable(
                        f"The local stack of {self.home} breaks off again and again. Its log is "
                        f"{self._layout.log('supervisor')}."
                    ) from None
                await asyncio.sleep(_PAUSE_S)
                yield {"item": None}

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: Method,
        params: BaseModel | None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield the lines of its answer."""
        given = params.model_dump(mode="json") if params is not None else {}
        request = Request(protocol=PROTOCOL, version=__version__, method=method, params=given)
        try:
            writer.write(request.model_dump_json().encode() + b"\n")
            await writer.drain()
            while True:
                received = await reader.readline()
                if not received.endswith(b"\n"):
                    raise _Broken
                answer: dict[str, Any] = json.loads(received)
                if "error" in answer:
                    raise read_error(answer["error"])
                yield answer
                if "item" not in answer:
                    return
        except ConnectionError as error:
            raise _Broken from error
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        socket = read_state(self._layout.state).socket
        if not socket:
            raise FileNotFoundError(self._layout.state)
        return await asyncio.open_unix_connection(socket, limit=MAX_LINE)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection; start the stack first if nobody listens."""
        with contextlib.suppress(OSError):
            return await self._connect()
        deadline = time.monotonic() + self._settings.start_timeout_s
        # Calls of one client that find no stack have it started once, not once each.
        async with self._starting:
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(OSError):
                    return await self._connect()
                self._on_wait(f"Starting the local stack in {self.home} …")
                outcome = await asyncio.to_thread(start_in_background, self.home, left)
                if not outcome.socket:
                    # Another supervisor has the home: one that is coming up, or one that is just stopping.
                    with contextlib.suppress(OSError):
                        return await self._connect_soon()
        raise PlatformUnavailable(
            f"The local stack of {self.home} did not answer within {self._settings.start_timeout_s:g} s. Its log is "
            f"{self._layout.log('supervisor')}."
        )

    async def _connect_soon(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a stack that somebody else is starting; an OSError after a while, for it may be stopping."""
        deadline = time.monotonic() + _SOMEBODY_ELSE_S
        while True:
            try:
                return await self._connect()
            except OSError:
                if time.monotonic() > deadline or not read_state(self._layout.state).running:
                    await asyncio.sleep(_PAUSE_S)
                    raise
                await asyncio.sleep(_PAUSE_S / 2)


def _unreachable(state: StackState) -> list[str]:
    if not state.running or state.supervisor is None:
        return []
    return [
        f"Process {state.supervisor.pid} holds the home but does not answer; it may be starting or stopping."
    ]
