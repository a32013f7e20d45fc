"""`python -m flyte_temporal.runtime.stem`: has imported the runtime and no user code; zygotes are forks of it.

Importing the runtime is most of what a zygote's start costs (docs/performance.md), and a new zygote is needed after each
change of the code and each restart of the worker. The stem does it once, ahead of the need. It talks to the launcher in
lines of JSON over a socket:

    → {"zygote": id, "settings": …, "preload": …, "log": path, "folder": path} with a descriptor: the zygote's own socket
    → {"kill": id}
    ← {"over": id, "code": …}    a zygote has ended

When the launcher is gone the stem ends; its zygotes see to their processes by themselves.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import sys
from typing import Any, NoReturn

from flyte_temporal.runtime import zygote
from flyte_temporal.runtime.wakeups import SignalPipe, exit_code
from flyte_temporal.runtime.wire import Wire


class Stem:
    """Forks zygotes and says when they have ended.

    Args:
        control: Descriptor of the connection to the launcher.
    """

    def __init__(self, control: int) -> None:
        self._wire = Wire(control)
        self._signals = SignalPipe((signal.SIGCHLD,))
        self._zygotes: dict[int, int] = {}

    def serve(self) -> None:
        """Work until the launcher is gone."""
        while self._wire.open:
            waiting_for: list[Any] = [self._signals, self._wire]
            ready, _, _ = select.select(waiting_for, [], [])
            if self._signals in ready:
                self._signals.take()
                self._reap()
            if self._wire in ready:
                for message in self._wire.hear():
                    self._heed(message)

    def _heed(self, message: dict[str, Any]) -> None:
        if "zygote" in message:
            self._fork(message, self._wire.take_descriptor())
            return
        for pid, number in self._zygotes.items():
            if number == message["kill"]:
                # Not collected yet, so the number is still its own.
                os.kill(pid, signal.SIGKILL)

    def _fork(self, message: dict[str, Any], control: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(message, control)
        os.close(control)
        self._zygotes[pid] = message["zygote"]

    def _become(self, message: dict[str, Any], control: int) -> NoReturn:
        """Go on as a zygote, as if it had been started by itself; never returns."""
        self._signals.forget()
        self._wire.forget()
        os.setsid()
        os.chdir(message["folder"])
        log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        zygote.serve(control, message["settings"], preload=message["preload"])
        # The ordinary way out: what the user's module has registered for its end happens.
        sys.exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._wire.say({"over": self._zygotes.pop(pid), "code": exit_code(status)})


def main() -> int:
    """Serve one launcher until it is gone."""
    parser = argparse.ArgumentParser(prog="python -m flyte_temporal.runtime.stem")
    parser.add_argument("--control", type=int, required=True, metavar="FD")
    control = parser.parse_args().control
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Objects made so far are left alone by the collector, so that their memory stays shared.
    gc.collect()
    gc.freeze()
    Stem(control).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
