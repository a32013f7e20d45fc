"""Starting the stack in the background. Standard library only."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from flyte_temporal.config.home import child_environment
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout

_TAIL_BYTES = 1500


@dataclass(frozen=True)
class Outcome:
    """What a start came to.

    Args:
        socket: Where the API listens; empty if another supervisor has the home (it is starting, running or stopping).
    """

    socket: str


def start_in_background(home: Path, timeout_s: float) -> Outcome:
    """Start a supervisor for a home and wait until it is ready.

    Args:
        home: The home, resolved.
        timeout_s: How long to wait. The supervisor is left alone when the time is over.

    Raises:
        PlatformUnavailable: If it cannot start, with the cause, or is not ready in time, with the end of its log.
    """
    layout = Layout(home)
    layout.prepare()
    reading, writing = os.pipe()
    try:
        with layout.log("supervisor").open("ab") as log:
            process = subprocess.Popen(
                _command(home, writing),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
                env=child_environment({}),
                pass_fds=(writing,),
                # It must outlive this process, its terminal and Ctrl-C in it.
                start_new_session=True,
            )
        # Reaps it whenever it ends, so that a service that started it keeps no zombie.
        threading.Thread(target=process.wait, name=f"wait for {process.pid}", daemon=True).start()
        os.close(writing)
        writing = -1
        said = _read_report(reading, timeout_s)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if said is None:
        raise PlatformUnavailable(
            f"The local stack of {home} is not ready after {timeout_s:g} s. It goes on starting; try again, or raise "
            f"FLYTE_TEMPORAL_LOCAL__START_TIMEOUT_S. The end of {layout.log('supervisor')}:\n{_tail(layout)}"
        )
    if "failed" in said:
        raise PlatformUnavailable(said["failed"])
    if "locked" in said:
        return Outcome("")
    if "ready" not in said:
        raise PlatformUnavailable(
            f"The local stack of {home} died while starting. The end of {layout.log('supervisor')}:\n{_tail(layout)}"
        )
    return Outcome(said["ready"])


def _command(home: Path, report: int) -> list[str]:
    options = {"--home": str(home), "--report-fd": str(report), "--began": str(time.time())}
    # -P: the working directory is the home, and nothing in it may be imported.
    return [
        sys.executable,
        "-P",
        "-m",
        "flyte_temporal.local",
        *(word for item in options.items() for word in item),
    ]


def _read_report(descriptor: int, timeout_s: float) -> dict[str, str] | None:
    """Return what the supervisor said; {} if it died without a word, None if it said nothing in time."""
    deadline = time.monotonic() + timeout_s
    data = b""
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return {}
        data += chunk
    said: dict[str, str] = json.loads(data)
    return said


def _tail(layout: Layout) -> str:
    try:
        data = layout.log("supervisor").read_bytes()[-_TAIL_BYTES:]
    except OSError as error:
        return f"(it cannot be read: {error})"
    return data.decode("utf-8", "replace").strip()
