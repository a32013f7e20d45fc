"""The launcher's side of one zygote and of its warm processes; the other side is `runtime.zygote`.

They speak over sockets, in lines of JSON; the protocol is described there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flyte_temporal.adapters.launchers.lines import Lines
from flyte_temporal.adapters.launchers.queueing import Entry
from flyte_temporal.adapters.launchers.settings import PoolConfig, interpreter_of, process_environment
from flyte_temporal.adapters.launchers.stems import Alone, Life, Stems
from flyte_temporal.adapters.launchers.warm import Warm, ZygoteKey
from flyte_temporal.errors import LauncherError
from flyte_temporal.spec.attempt import AttemptOrder

_numbers = itertools.count(1)


@dataclass(frozen=True)
class ZygoteEvents:
    """What a zygote tells the pool, as functions.

    Args:
        idle: A process waits for work.
        done: A process has done its work, with its reply.
        gone: A process is gone; the exit code if somebody saw it.
        dead: The zygote itself is gone, with its exit code if somebody saw it.
    """

    idle: Callable[[Zygote, Warm], None]
    done: Callable[[Zygote, Warm, dict[str, Any]], None]
    gone: Callable[[Zygote, Warm, int | None], None]
    dead: Callable[[Zygote, int | None], None]


@dataclass(eq=False)
class Zygote:
    """One fork server and its processes.

    Args:
        key: What its processes have in common.
        order: The order that it was started for.
        config: Settings of the pool.
        events: Whom to tell.
        stems: Of whom it may be a fork.
        preload: Whether it imports the user's module ahead.
    """

    key: ZygoteKey
    order: AttemptOrder
    config: PoolConfig
    events: ZygoteEvents
    stems: Stems
    preload: bool = True
    ready: bool = False
    alive: bool = True
    used_at: float = field(default_factory=time.monotonic)
    processes: dict[int, Warm] = field(default_factory=dict)
    idle: list[Warm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.log = self.config.zygotes / f"{time.time_ns()}-{next(_numbers)}.log"
        self._control, theirs = socket.socketpair()
        try:
            self._life = self._start(theirs)
        except OSError as error:
            self._control.close()
            raise LauncherError(
                f"Could not start {self.key.interpreter}: {error.strerror or error}. Nothing runs."
            ) from error
        finally:
            theirs.close()
        self._control.setblocking(False)  # noqa: FBT003 - positional by signature
        self._lines = Lines(self._control)
        self._loop.add_reader(self._control, self._hear)
        self._deadline = self._loop.call_later(self.config.start_timeout_s, self._too_slow)

    @property
    def starting(self) -> int:
        """Return how many processes have been asked for and are not there yet."""
        return sum(1 for warm in self.processes.values() if warm.pid is None)

    @property
    def rests(self) -> bool:
        """Return whether none of its processes works or is on its way."""
        return len(self.idle) == len(self.processes)

    def fork(self) -> None:
        """Ask for a process; `events.idle` tells when it is there."""
        ours, theirs = socket.socketpair()
        warm = Warm(next(_numbers), ours)
        self.processes[warm.number] = warm
        try:
            socket.send_fds(
                self._control, [json.dumps({"fork": warm.number}).encode() + b"\n"], [theirs.fileno()]
            )
        except (BrokenPipeError, ConnectionResetError):
            # Its end is noticed, and told, by the watch on the process.
            pass
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - positional by signature
        self._loop.add_reader(ours, self._listen, warm)

    def give(self, warm: Warm, entry: Entry, handed: Sequence[int]) -> bool:
        """Hand an attempt to an idle process; return whether it could be handed over.

        Args:
            warm: The process.
            entry: The attempt.
            handed: Its journal with the lock, and the file that tells what follows it, if anything does.
        """
        self.used_at = time.monotonic()
        try:
            socket.send_fds(
                warm.channel, [f"{entry.name} {entry.task.start} {entry.task.stop}\n".encode()], list(handed)
            )
        except (BrokenPipeError, ConnectionResetError):
            return False
        warm.entry = entry
        return True

    def stop(self, warm: Warm, grace_s: float) -> bool:
        """Ask the zygote to stop a process; return whether there was somebody to ask."""
        warm.stopping = True
        if not self.alive:
            return False
        try:
            self._control.send(json.dumps({"stop": warm.number, "grace": grace_s}).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def retire(self, warm: Warm) -> None:
        """End an idle process: it ends by itself when its channel is closed."""
        if warm in self.idle:
            self.idle.remove(warm)
        self._forget(warm)

    def close(self) -> None:
        """Let go: processes without work end now, those at work when they are done, then the zygote."""
        self._deadline.cancel()
        for warm in list(self.processes.values()):
            self._forget(warm)
        self.idle.clear()
        if self.alive:
            self.alive = False
            self._loop.remove_reader(self._control)
            self._control.close()
            self._life.let_go()

    def last_words(self) -> str:
        """Return the end of its log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        except OSError:
            return ""

    def _start(self, theirs: socket.socket) -> Life:
        # After a failure it is one by itself, so that no fault of a stem's can be the cause of a second.
        if self.preload and self.key.interpreter == interpreter_of("") and not self.key.environment:
            request: dict[str, Any] = {"settings": self._settings(), "preload": self.preload}
            request |= {"log": str(self.log), "folder": str(self.config.scratch)}
            forked = self.stems.fork(request, theirs, self._died)
            if forked is not None:
                return forked
        return Alone(self._start_alone(theirs), self._died)

    def _start_alone(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        control = theirs.fileno()
        command = [self.key.interpreter, "-P", "-m", "flyte_temporal.runtime.zygote"]
        command += ["--control", str(control), "--settings", json.dumps(self._settings())]
        if not self.preload:
            command.append("--no-preload")
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command,
                pass_fds=(control,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.config.scratch,
                env=process_environment(dict(self.key.environment)),
            )

    def _settings(self) -> dict[str, Any]:
        bundle = self.order.environment.bundle
        entry = self.order.task.entry
        return {
            "storage": self.order.storage.model_dump(mode="json"),
            "bundle": bundle.model_dump(mode="json") if bundle else None,
            "module": entry.module if entry else "",
            "attempts": str(self.config.attempts),
            "folders": str(self.config.warm),
            "cache": str(self.config.bundles),
            "max_tasks": self.config.max_tasks,
            "max_growth_bytes": self.config.max_growth_bytes,
        }

    def _hear(self) -> None:
        messages = self._lines.take()
        if messages is None:
            self._loop.remove_reader(self._control)
            self._life.hung_up()
            return
        for message in messages:
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready = True
            self._deadline.cancel()
            return
        warm = self.processes.get(message["forked"] if "forked" in message else message["gone"])
        if warm is None:
            return
        if "forked" in message:
            warm.pid = message["pid"]
            self.idle.append(warm)
            self.events.idle(self, warm)
        else:
            self._lost(warm, message["code"])

    def _listen(self, warm: Warm) -> None:
        replies = warm.lines.take()
        if replies is None:
            self._loop.remove_reader(warm.channel)
            warm.hung_up = True
            # The zygote says how it ended, after it has buried it. Without one, the journal has to tell.
            if not self.alive:
                self._lost(warm, None)
            elif warm in self.idle:
                self.idle.remove(warm)
            return
        if replies:
            self.used_at = time.monotonic()
        for reply in replies:
            # Without a word about retiring, it goes on with its batch.
            if reply.get("retire") or ("retire" in reply and (warm.stopping or not self.alive)):
                self._forget(warm)
            elif "retire" in reply:
                self.idle.append(warm)
            self.events.done(self, warm, reply)

    def _lost(self, warm: Warm, code: int | None) -> None:
        if warm in self.idle:
            self.idle.remove(warm)
        self._forget(warm)
        self.events.gone(self, warm, code)

    def _forget(self, warm: Warm) -> None:
        if self.processes.pop(warm.number, None) is not None:
            if not warm.hung_up:
                self._loop.remove_reader(warm.channel)
            warm.channel.close()

    def _died(self, code: int | None) -> None:
        self.alive = False
        self._deadline.cancel()
        self._hear_the_rest()
        self._loop.remove_reader(self._control)
        self._control.close()
        for warm in list(self.processes.values()):
            # Idle ones end with their channel; those at work go on and answer when they are done.
            if warm.entry is None:
                self.retire(warm)
            elif warm.hung_up:
                self._lost(warm, None)
        self.events.dead(self, code)

    def _hear_the_rest(self) -> None:
        while messages := self._lines.take():
            for message in messages:
                self._take(message)

    def _too_slow(self) -> None:
        if not self.ready:
            self._life.kill()
