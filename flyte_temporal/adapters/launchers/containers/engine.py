"""`ContainerEngine`: the command line of podman or docker, as functions. Knows their words; decides nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import tempfile
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from flyte_temporal.errors import LauncherError

T = TypeVar("T")

ATTEMPT = "flyte-temporal.attempt"
"""Label of a container: the key of its attempt."""
OURS = "flyte-temporal.runtime"
"""Label of a container whose first process is our runtime."""
_ASK_S = 60.0
_CLOSE_S = 5.0
_NOT_BEGUN = frozenset({"created", "configured", "initialized"})
_EARLY_S = 5.0
"""By how much the engine's clock for the longest run may start before the container does."""
_OVER = frozenset({"exited", "stopped", "dead"})
_NO_SUCH = ("no such container", "no such object", "no container with name", "no such volume or container")


class EngineFailed(LauncherError):
    """The program said no, or nothing.

    Args:
        words: What it said.
        code: Its exit code.
    """

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.words, self.exit_code = words, code


class NotInstalled(LauncherError):
    """There is no such program."""


@dataclass(frozen=True)
class Container:
    """What the engine shows of a container.

    Args:
        status: The engine's word.
        exit_code: Exit code, if it is over.
        oom: Whether the engine says that the kernel killed it for its memory; some never say so.
        pid: Its first process on this machine; 0 = none, or on another machine.
        monitor: The process that notes its end (podman's conmon); 0 = there is none.
        started_at: When it was started.
        finished_at: When it ended.
        attempt: Key of its attempt; empty if it is none of ours.
        problem: What the engine says of its failure.
        ours: Whether its first process is our runtime.
        longest_s: After how many seconds the engine itself ends it; 0 = never.
    """

    status: str
    exit_code: int = 0
    oom: bool = False
    pid: int = 0
    monitor: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: str = ""
    problem: str = ""
    ours: bool = False
    longest_s: float = 0.0

    @property
    def begun(self) -> bool:
        """Return whether it was ever started."""
        return self.status not in _NOT_BEGUN

    @property
    def over(self) -> bool:
        """Return whether it has ended, and how is known."""
        return self.status in _OVER

    @property
    def out_of_time(self) -> bool:
        """Return whether the engine itself has ended it, because it ran for as long as it may at most."""
        if not self.over or not self.exit_code or self.started_at is None or self.finished_at is None:
            return False
        ran_s = (self.finished_at - self.started_at).total_seconds()
        return 0 < self.longest_s <= ran_s + _EARLY_S


class ContainerEngine:
    """The program of an engine.

    Args:
        program: Its name or path.
        podman: Whether it understands podman's words.
        runtime: The OCI runtime, if not the engine's own choice.
    """

    def __init__(self, program: str, *, podman: bool, runtime: str = "") -> None:
        self.program, self.podman, self._runtime = program, podman, runtime
        self._left: set[asyncio.Task[int]] = set()
        """Ends of calls whose caller did not wait for them."""

    async def close(self) -> None:
        """Wait for calls that nobody waits for any more: what they have begun is not cut short."""
        if self._left:
            await asyncio.wait(self._left, timeout=_CLOSE_S)

    @property
    def local(self) -> bool:
        """Return whether its processes are those of this machine, by the environment alone; see `sight` for all else.

        They are not on macOS, where they are those of a virtual machine.
        """
        where = os.environ.get("CONTAINER_HOST" if self.podman else "DOCKER_HOST", "")
        return Path("/proc/self").is_dir() and (not where or where.startswith(("unix:", "/")))

    async def create(self, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Make a container. Who is cancelled meanwhile ends the program, which may be pulling an image for minutes.

        Args:
            arguments: What follows `create`.
            env: Values of the variables that `arguments` name without one.

        Raises:
            LauncherError: If there is none afterwards, or one of its name was there.
        """
        chosen = ["--runtime", self._runtime] if self._runtime and not self.podman else []
        await self.run("create", *chosen, *arguments, env=env, timeout_s=None, ends=True)

    async def start(self, name: str, lock: int, folder: Path) -> None:
        """Start a container; one that runs is left alone. One that has ended would run again: see `launcher`.

        Args:
            name: Its name.
            lock: A descriptor that stays open while the program is at it, even if this process dies.
            folder: Where its monitor works: many versions of conmon leave a file `oom` in their working folder
                (https://github.com/containers/conmon/issues/504).

        Raises:
            LauncherError: If it does not run.
        """
        # Into a file: the monitor inherits uvloop's pipes, which would then end with the container.
        with tempfile.TemporaryFile() as said:
            process = await self._spawned(
                ("start", name), stdout=said, stderr=said, pass_fds=(lock,), cwd=folder
            )
            await self._in_time(process, process.wait(), "start", _ASK_S)
            if process.returncode:
                said.seek(0)
                raise self._failed("start", said.read(), process.returncode)

    async def inspect(self, name: str) -> Container | None:
        """Return what is known of a container; None if there is none of this name.

        Raises:
            LauncherError: If the engine does not answer.
        """
        try:
            found = await self.run("inspect", "--type", "container", name)
        except EngineFailed as error:
            if any(words in error.words.lower() for words in _NO_SUCH):
                return None
            raise
        return _container(json.loads(found)[0])

    async def kill(self, name: str, signal: str) -> None:
        """Send a signal to a container's first process; nothing happens if it does not run any more.

        Raises:
            LauncherError: If the engine does not answer.
        """
        try:
            await self.run("kill", "--signal", signal, name)
        except EngineFailed as error:
            words = error.words.lower()
            if not any(
                w in words for w in (*_NO_SUCH, "not running", "can only kill running", "improper state")
            ):
                raise

    async def remove(self, name: str) -> None:
        """Remove a container, and end it if it runs.

        Raises:
            LauncherError: If it is still there.
        """
        wait = ["--time", "0"] if self.podman else []
        try:
            await self.run("rm", "--force", "--volumes", *wait, name)
        except EngineFailed as error:
            if not any(words in error.words.lower() for words in (*_NO_SUCH, "already in progress")):
                raise

    async def logs(self, name: str, last: int | None = None, into: Path | None = None) -> str:
        """Return what a container wrote, its last lines only if so asked, or write it into a file.

        Raises:
            LauncherError: If the engine does not answer.
        """
        words = ["logs", *(["--tail", str(last)] if last is not None else []), name]
        if into is None:
            return await self.run(*words, errors_too=True)
        with into.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *self._line(words), stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
            )
            await process.wait()
        return ""

    async def is_remote(self) -> bool:
        """Return whether this is a podman that only speaks to another one, which then has the containers.

        Raises:
            LauncherError: If the engine does not answer.
        """
        return (await self.run("info", "--format", "{{.Host.ServiceIsRemote}}")).strip() == "true"

    async def names(self, label: str) -> list[str]:
        """Return the names of the containers with a label.

        Raises:
            LauncherError: If the engine does not answer.
        """
        found = await self.run("ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}")
        return found.split()

    async def run(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = _ASK_S,
        errors_too: bool = False,
        ends: bool = False,
    ) -> str:
        """Run the program and return what it wrote; `ends` = a caller that is cancelled ends it.

        Raises:
            EngineFailed: If it failed, or did not end in time.
            NotInstalled: If there is no such program.
        """
        process = await self._spawned(
            words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if errors_too else asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        try:
            out, said = await self._in_time(process, process.communicate(), words[0], timeout_s)
        except asyncio.CancelledError:
            if ends:
                await _end(process)
            raise
        if process.returncode:
            raise self._failed(words[0], said or out or b"", process.returncode)
        return out.decode(errors="replace")

    async def _spawned(self, words: Sequence[str], **options: Any) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._line(words), stdin=asyncio.subprocess.DEVNULL, start_new_session=True, **options
            )
        except OSError as error:
            raise NotInstalled(
                f"The program {self.program!r} cannot be run on the worker's machine: {error.strerror}. Install it (Debian, "
                f"Ubuntu: apt-get install {'podman' if self.podman else 'docker.io'}), or choose another launcher."
            ) from error

    async def _in_time(
        self, process: asyncio.subprocess.Process, end: Awaitable[T], word: str, timeout_s: float | None
    ) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await end
        except asyncio.CancelledError:
            self._leave(process)
            raise
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            self._leave(process)
            raise EngineFailed(f"`{self.program} {word}` did not answer for {timeout_s:g} s.", -1) from None

    def _leave(self, process: asyncio.subprocess.Process) -> None:
        ending = asyncio.create_task(process.wait())
        self._left.add(ending)
        ending.add_done_callback(self._left.discard)

    def _failed(self, word: str, said: bytes, code: int) -> EngineFailed:
        text = said.decode(errors="replace").strip()
        return EngineFailed(text or f"`{self.program} {word}` failed.", code)

    def _line(self, words: Sequence[str]) -> list[str]:
        chosen = ["--runtime", self._runtime] if self._runtime and self.podman else []
        return [self.program, *chosen, *words]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it has started; it may first leave what it is at in order."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await process.wait()
                return


def _container(found: dict[str, Any]) -> Container:
    state = found.get("State", {})
    labels = found.get("Config", {}).get("Labels") or {}
    return Container(
        status=str(state.get("Status", "")).lower(),
        exit_code=int(state.get("ExitCode", 0)),
        oom=bool(state.get("OOMKilled")),
        pid=int(state.get("Pid", 0)),
        monitor=int(state.get("ConmonPid", 0)),
        started_at=_time(str(state.get("StartedAt", ""))),
        finished_at=_time(str(state.get("FinishedAt", ""))),
        attempt=str(labels.get(ATTEMPT, "")),
        problem=str(state.get("Error", "")),
        ours=OURS in labels,
        longest_s=float(found.get("Config", {}).get("Timeout") or 0),
    )


def _time(text: str) -> datetime | None:
    """Return a time as the engines write it, with nanoseconds; None for the year 1, which stands for never."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
    except ValueError:
        return None
    return found if found.year > 1 else None
