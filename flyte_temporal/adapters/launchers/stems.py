"""The launcher's side of the stem, and the lives of the zygotes that it forks; the other side is `runtime.stem`.

A stem is for this worker's own Python and environment. Zygotes of another Python, or with variables of their own, which
may matter when Python starts (`PYTHONPATH`, `LD_PRELOAD`), are processes by themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

from flyte_temporal.adapters.launchers.exits import ExitWatch
from flyte_temporal.adapters.launchers.lines import Lines
from flyte_temporal.adapters.launchers.settings import process_environment

Over = Callable[[int | None], None]
"""Hears that a zygote has ended; with its exit code, if somebody saw it."""

_numbers = itertools.count(1)

_HEEDED_WITHIN_S = 5.0
"""How long a stem may take to kill a zygote before it counts as hung."""


class Life(Protocol):
    """A zygote's process, as whoever has started it can see and end it."""

    def kill(self) -> None:
        """Kill it, if it is alive."""

    def hung_up(self) -> None:
        """Hear that its end of the connection is closed."""

    def let_go(self) -> None:
        """Do not watch it any more; it goes on."""


class Alone:
    """A zygote that was started by itself.

    Args:
        process: The process.
        over: Hears of its end.
    """

    def __init__(self, process: subprocess.Popen[bytes], over: Over) -> None:
        self._process = process
        self._watch = ExitWatch(process, over)

    def kill(self) -> None:
        """Kill it, if it is alive."""
        self._process.kill()

    def hung_up(self) -> None:
        """Hear that its end of the connection is closed; its exit code is told by the watch."""

    def let_go(self) -> None:
        """Do not watch it any more; it goes on."""
        self._watch.let_go()


class Forked:
    """A zygote that a stem has forked.

    Args:
        stem: The stem.
        number: By which the stem knows it.
        over: Hears of its end.
    """

    def __init__(self, stem: Stem, number: int, over: Over) -> None:
        self._stem = stem
        self._number = number
        self._over: Over | None = over
        self._hung_up = False

    def kill(self) -> None:
        """Have the stem kill it; if the stem does not, do without both."""
        self._stem.tell({"kill": self._number})
        asyncio.get_running_loop().call_later(_HEEDED_WITHIN_S, self._give_up)

    def hung_up(self) -> None:
        """Hear that its end of the connection is closed: without a stem that is all that is heard of its end."""
        self._hung_up = True
        self.orphaned()

    def orphaned(self) -> None:
        """Count it as ended if neither it nor the stem is left to say more."""
        if self._hung_up and not self._stem.alive:
            self.ended(None)

    def ended(self, code: int | None) -> None:
        """Pass on that it has ended."""
        over, self._over = self._over, None
        if over is not None:
            over(code)

    def let_go(self) -> None:
        """Do not watch it any more; it goes on."""
        self._over = None
        self._stem.forget(self._number)

    def _give_up(self) -> None:
        if self._over is not None:
            self._stem.close()
            # Should it be there yet, it ends when it finds nobody to work for.
            self.ended(None)


class Stem:
    """One stem. It is alive from the first moment on, and forks once it has imported what it needs.

    Raises:
        OSError: If it cannot be started.
    """

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "flyte_temporal.runtime.stem"]
        command += ["--control", str(theirs.fileno())]
        try:
            # Its output, which is that of a failure, goes where ours goes.
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env=process_environment({}),
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self.alive = True
        self._lines = Lines(self._control)
        self._forked: dict[int, Forked] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def fork(self, request: dict[str, Any], control: socket.socket, over: Over) -> Forked | None:
        """Ask for a zygote; return None if the stem is gone.

        Args:
            request: What it needs to know.
            control: Its end of its connection.
            over: Hears of its end.
        """
        self._listen()
        number = next(_numbers)
        line = json.dumps({"zygote": number, **request}).encode() + b"\n"
        try:
            socket.send_fds(self._control, [line], [control.fileno()])
        except OSError:
            return None
        found = self._forked[number] = Forked(self, number, over)
        return found

    def tell(self, message: dict[str, Any]) -> None:
        """Tell it something, if it is there."""
        try:
            self._control.send(json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def forget(self, number: int) -> None:
        """Forget a zygote; it goes on."""
        self._forked.pop(number, None)

    def close(self) -> None:
        """End it; its zygotes go on."""
        if self.alive:
            self._gone()
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        """Watch it, in the event loop in which it is used first: it may have been started before there was one."""
        if self._loop is None and self.alive:
            self._loop = asyncio.get_running_loop()
            self._control.setblocking(False)  # noqa: FBT003 - positional by signature
            self._loop.add_reader(self._control, self._hear)

    def _hear(self) -> None:
        messages = self._lines.take()
        if messages is None:
            self._gone()
            return
        for message in messages:
            if (ended := self._forked.pop(message["over"], None)) is not None:
                ended.ended(message["code"])

    def _gone(self) -> None:
        self.alive = False
        if self._loop is not None:
            self._loop.remove_reader(self._control)
        self._control.close()
        for orphan in list(self._forked.values()):
            orphan.orphaned()


class Stems:
    """Gives the stem of this process: one that was prepared, or a new one; another one when it has died."""

    def __init__(self) -> None:
        self._stem: Stem | None = None

    def fork(self, request: dict[str, Any], control: socket.socket, over: Over) -> Forked | None:
        """Ask for a zygote; return None if the stem has just died.

        Args:
            request: What it needs to know.
            control: Its end of its connection.
            over: Hears of its end.

        Raises:
            OSError: If there is no stem and none can be started.
        """
        if self._stem is None or not self._stem.alive:
            self.close()
            self._stem = _prepared.pop() if _prepared else Stem()
        return self._stem.fork(request, control, over)

    def close(self) -> None:
        """Let it end."""
        if self._stem is not None:
            self._stem.close()
            self._stem = None


_prepared: list[Stem] = []


def prepare() -> None:
    """Start a stem for the pool that this process will have, while there is time; needs no event loop.

    Raises:
        OSError: If it cannot be started.
    """
    if not _prepared:
        _prepared.append(Stem())
