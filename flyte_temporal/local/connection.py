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
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from flyte_temporal._version import __version__
from flyte_temporal.config.local import local_settings, storage_root
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import Identity, identify
from flyte_temporal.local.protocol import MAX_LINE, Method, Request, StackStatus, read_error
from flyte_temporal.local.starting import start_in_background
from flyte_temporal.local.state import StackState, read_state
from flyte_temporal.local.version import PROTOCOL

T = TypeVar("T")

_PAUSE_S = 0.1
_DOWN_TIMEOUT_S = 40.0
_DEAF_GRACE_S = 3.0
_SIGNS = 3
"""Signs of life that must have been missed in a row before the stack is said to hang."""

_SOMEBODY_ELSE_S = 2.0


Params = BaseModel | Callable[[], BaseModel] | None
"""What a call is given; a function is asked anew for each connection that the call takes."""


class _Broken(Exception):
    """The connection ended before the answer did."""


class _Silent(PlatformUnavailable):
    """The stack is there, but says nothing."""


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

    async def call(self, method: Method, params: Params = None) -> Any:
        """Return the result of a call, as JSON.

        Raises:
            FlyteTemporalError: What the stack raised.
            PlatformUnavailable: If the stack cannot be started, breaks off again and again, or hangs.
        """
        async with contextlib.aclosing(self._lines(method, params)) as answers:
            async for answer in answers:
                if "result" in answer:
                    return answer["result"]
        raise PlatformUnavailable(f"The local stack gave no answer to {method}.")

    async def stream(self, method: Method, params: Params = None) -> AsyncGenerator[Any, None]:
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
        """Return what is known about the stack; it is not started for that.

        Raises:
            PlatformUnavailable: If it hangs.
        """
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

        A stack that does not end when it is asked, because it hangs, is killed: nothing is lost by that.

        Raises:
            PlatformUnavailable: If it cannot even be killed.
        """
        grace_s = _DOWN_TIMEOUT_S
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
                try:
                    async for answer in answers:
                        supervisor = identify(answer["result"])
                except _Broken:
                    pass
                except _Silent:
                    grace_s = _DEAF_GRACE_S
                    if supervisor is not None:
                        supervisor.send(signal.SIGTERM)
        if supervisor is not None and not await self._gone(supervisor, grace_s):
            await self._kill(replace(state, supervisor=supervisor))
        return True

    async def _gone(self, supervisor: Identity, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while supervisor.alive:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PAUSE_S / 2)
        return True

    async def _kill(self, state: StackState) -> None:
        # Imported here: hardly any client ever needs it.
        from flyte_temporal.local.killing import kill

        self._on_wait(f"The local stack in {self.home} does not end by itself and is killed …")
        try:
            async with asyncio.timeout(_DOWN_TIMEOUT_S):
                await asyncio.to_thread(kill, self._layout, state)
        except TimeoutError:
            pids = [p.pid for p in (state.supervisor, *state.children.values()) if p is not None and p.alive]
            raise PlatformUnavailable(
                f"The local stack of {self.home} cannot be killed (processes {', '.join(map(str, pids))}); they may "
                f"wait for a disk that does not answer. Its log is {self._layout.log('supervisor')}."
            ) from None

    async def _lines(self, method: Method, params: Params) -> AsyncGenerator[dict[str, Any], None]:
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
        params: Params,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield the lines of its answer."""
        document = params() if callable(params) else params
        given = document.model_dump(mode="json") if document is not None else {}
        silence_s = self._settings.answer_timeout_s
        request = Request(
            protocol=PROTOCOL,
            version=__version__,
            method=method,
            params=given,
            alive_s=silence_s / _SIGNS,
            storage=storage_root(self._layout.storage.as_uri()),
        )
        try:
            writer.write(request.model_dump_json().encode() + b"\n")
            await self._in_time(writer.drain(), method)
            while True:
                received = await self._in_time(reader.readline(), method)
                if not received.endswith(b"\n"):
                    raise _Broken
                answer: dict[str, Any] = json.loads(received)
                if "alive" in answer:
                    continue
                if "error" in answer:
                    raise read_error(answer["error"])
                yield answer
                if "item" not in answer:
                    return
        except ConnectionError as error:
            raise _Broken from error
        finally:
            writer.close()

    async def _in_time(self, work: Coroutine[Any, Any, T], method: Method) -> T:
        try:
            async with asyncio.timeout(self._settings.answer_timeout_s or None):
                return await work
        except TimeoutError:
            supervisor = read_state(self._layout.state).supervisor
            raise _Silent(
                f"The local stack of {self.home} (process {supervisor.pid if supervisor else 'unknown'}) has not said "
                f"anything on {method} for {self._settings.answer_timeout_s:g} s: it hangs, or was stopped (SIGSTOP). "
                f"Its log is {self._layout.log('supervisor')}. `flyte-temporal down` ends it, by force if need be; the "
                "next command starts it anew, and executions go on."
            ) from None

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
