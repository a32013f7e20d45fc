"""The processes of one zygote: forked on demand, stopped on demand, buried when they die at work."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.runtime import deaths, memory, orphans
from flyte_temporal.runtime.wakeups import SignalPipe, exit_code, kill_group
from flyte_temporal.runtime.warm import Page, WarmProcess, WarmSettings, folder_of
from flyte_temporal.runtime.wire import Wire
from flyte_temporal.spec.attempt import AttemptOrder
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.logs import INTERVAL_S, AttemptLog
from flyte_temporal.storage.sealing import remove

_TICK_S = 1.0


@dataclass
class _Child:
    number: int
    page: Page
    folder: Path
    kill_at: float | None = None
    name: str = ""
    shipped: int = 0
    shipped_at: float = 0.0


class Brood:
    """Forks and watches warm processes.

    Args:
        wire: Connection to the launcher.
        settings: What the processes share.
    """

    def __init__(self, wire: Wire, settings: WarmSettings) -> None:
        self._wire = wire
        self._settings = settings
        self._signals = SignalPipe((signal.SIGCHLD,))
        self._children: dict[int, _Child] = {}
        self._helpers: dict[int, Callable[[], None]] = {}
        self._kills = memory.kernel_kills()
        self._shipping = False
        orphans.adopt()
        # What the user's modules started when they were imported is for all attempts.
        self._spared = orphans.children()

    def serve(self) -> None:
        """Work until the launcher is gone and no process is left."""
        while self._wire.open or self._children or self._helpers:
            waiting_for: list[Any] = [self._signals] + ([self._wire] if self._wire.open else [])
            ready, _, _ = select.select(waiting_for, [], [], self._timeout())
            if self._signals in ready:
                self._signals.take()
                self._reap()
            if self._wire in ready:
                for message in self._wire.hear():
                    self._heed(message)
            self._kill_overdue()
            self._ship_logs()

    def _timeout(self) -> float | None:
        deadlines = [child.kill_at - time.monotonic() for child in self._children.values() if child.kill_at]
        if not self._children:
            return None
        return max(0.0, min([_TICK_S, *deadlines]))

    def _heed(self, message: dict[str, Any]) -> None:
        if "fork" in message:
            self._fork(message["fork"], self._wire.take_descriptor())
        elif "stop" in message:
            self._stop(message["stop"], message["grace"])

    def _fork(self, number: int, channel: int) -> None:
        page = Page()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_warm(channel, page)
            finally:
                os._exit(1)
        os.close(channel)
        _set_group(pid)
        self._children[pid] = _Child(number, page, folder_of(self._settings, pid))
        self._wire.say({"forked": number, "pid": pid, "started": scratch.start_time(pid) or ""})

    def _become_warm(self, channel: int, page: Page) -> None:
        self._leave()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _set_group(0)
        os.set_inheritable(channel, False)  # noqa: FBT003 - positional by signature
        WarmProcess(socket.socket(fileno=channel), page, self._settings).serve()

    def _leave(self) -> None:
        """Let go of what belongs to the zygote; in a process just forked."""
        self._signals.forget()
        self._wire.forget()

    def _stop(self, number: int, grace_s: float) -> None:
        for pid, child in self._children.items():
            if child.number == number:
                child.kill_at = time.monotonic() + grace_s
                kill_group(pid, signal.SIGTERM)

    def _kill_overdue(self) -> None:
        for pid, child in self._children.items():
            if child.kill_at is not None and time.monotonic() >= child.kill_at:
                kill_group(pid, signal.SIGKILL)
                child.kill_at = time.monotonic() + _TICK_S

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._helpers:
                self._helpers.pop(pid)()
            elif pid in self._children:
                rss = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                self._buried(pid, exit_code(status), rss)
                self._end_orphans()
            else:
                self._end_orphans()  # it was one, and may have left children of its own

    def _end_orphans(self) -> None:
        """End what was left by processes that could not do that themselves: those at work adopt their own."""
        orphans.kill_children(self._spared | self._children.keys() | self._helpers.keys())

    def _buried(self, pid: int, code: int, rss: int) -> None:
        child = self._children.pop(pid)
        # Subprocesses that user code left behind are in the group of the process that died.
        kill_group(pid, signal.SIGKILL)
        name = child.page.read()
        child.page.close()
        said = {"gone": child.number, "code": code, "name": name}
        if not name:
            remove(child.folder)
            self._wire.say(said)
            return
        kills = memory.kernel_kills()
        death = deaths.Death(code, rss, oom=code < 0 and kills > self._kills)
        self._kills = kills
        self._help(lambda: self._bury(name, death, child.folder), lambda: self._wire.say(said))

    def _bury(self, name: str, death: deaths.Death, folder: Path) -> None:
        deaths.bury(self._settings.attempts / name, death)
        remove(folder)

    def _help(self, action: Callable[[], object], then: Callable[[], None]) -> None:
        """Do something in a forked process, because it may start threads; go on when it has ended."""
        helper = os.fork()
        if helper:
            self._helpers[helper] = then
            return
        code = 1
        try:
            self._leave()
            action()
            code = 0
        except FlyteTemporalError as error:
            sys.stderr.write(f"flyte-temporal: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _ship_logs(self) -> None:
        """Upload what tasks at work have printed since the last time, every few seconds, if they printed anything."""
        if self._shipping:
            return
        due = [child for child in self._children.values() if self._is_due(child)]
        if not due:
            return
        for child in due:
            child.shipped += self._log(child).pending(child.shipped)
            child.shipped_at = time.monotonic()
        names = [child.name for child in due]
        self._shipping = True
        self._help(lambda: self._ship_all(names), self._shipped)

    def _shipped(self) -> None:
        self._shipping = False

    def _is_due(self, child: _Child) -> bool:
        name = child.page.read()
        if name != child.name:
            child.name, child.shipped, child.shipped_at = name, 0, time.monotonic()
        if not name:
            return False
        waiting = self._log(child).pending(child.shipped)
        late = time.monotonic() - child.shipped_at >= INTERVAL_S - _TICK_S
        return bool(waiting) and (late or waiting >= 1024 * 1024)

    def _log(self, child: _Child) -> AttemptLog:
        return AttemptLog(child.folder / scratch.LOG, "")

    def _ship_all(self, names: list[str]) -> None:
        for name in names:
            self._ship(name)

    def _ship(self, name: str) -> None:
        journal = scratch.read_journal(self._settings.attempts / name)
        if journal is not None and journal.log is not None and journal.ending is None:
            order = AttemptOrder.read(journal.order)
            AttemptLog(journal.log, order.attempt.key).ship(open_store(order.storage))


def _set_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        # The other of the two, parent or child, was faster.
        return
